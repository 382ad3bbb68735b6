"""Training clips rendered here: a few consecutive frames of one or two hands, close up, everything drawn at random.

Separate from `clips`, which writes videos of seconds: here only the neighborhood of the hand is drawn, and nothing is
kept from one clip to the next but the finger motion of a take.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.records import DETECTED, Bools, Camera, Floats, HandMotion
from hmpfit.regressors import crops
from hmpfit.regressors.samples import HandClip
from hmpfit.synthesis import occluders
from hmpfit.synthesis.clips import Arm, background, sensor_noise, skin_colors
from hmpfit.synthesis.demo_motion import PALM_TO_CAMERA
from hmpfit.synthesis.motion import KINDS, TRAINING, Vocabulary, generate_motion
from hmpfit.synthesis.renderer import pixels_and_depth, render
from hmpfit.synthesis.shading import Mesh
from hmpfit.synthesis.staging import sample_appearance
from hmpfit.synthesis.two_hands import sample_two_hands

FPS, TAKE_S, MEETING_S = 30.0, 5.3, 2.7
SIDES = {"right": [True], "left": [False], "both": [True, False]}
PER_TAKE = 12  # clips of one take of finger motion
_MARGIN = 1.9  # of the stored picture around the joints, so that training can turn and shift its crop inside


@dataclass(frozen=True)
class CloseUpOptions:
    """What the clips show. `anywhere` is the share of hands turned any way; the rest hold their fingers about up."""

    size: int = 160  # of the stored pictures, pixels
    frames: int = 2
    hands: str = "right"
    anywhere: float = 0.35
    occluded: float = 0.45  # share of clips with something before or in the hand
    contact: float = 0.5  # share of takes of two hands in which they meet: touch, clasp, cross
    vocabulary: Vocabulary = TRAINING


def close_up_clips(models: HandModels, close: CloseUpOptions, seed: int, first: int = 0) -> Iterator[HandClip]:
    """Yield clips without end, beginning with clip number `first`; a clip depends on `seed` and its number only."""
    sides = SIDES[close.hands]
    arms = [Arm.of(models.side(side), side, np.zeros((len(models.side(side).v_template), 3))) for side in sides]
    number = first
    while True:
        take, place = divmod(number, PER_TAKE)
        meeting = _meeting(close, models, seed, take)
        takes = _take(close, seed, take) if meeting is None else list(meeting.hand_pose)
        for at in range(place, PER_TAKE):
            generator = np.random.default_rng((seed, take, at, 1))
            start = int((at + generator.random()) / PER_TAKE * (len(takes[0]) - close.frames))
            frames = slice(start, start + close.frames)
            if meeting is None:
                motion = _staged([pose[frames] for pose in takes], sides, models, close, generator)
            else:
                motion = _stretch(meeting, frames)
            yield _clip(motion, sides, models, arms, close, generator)
            number += 1


def _meeting(close: CloseUpOptions, models: HandModels, seed: int, take: int) -> HandMotion | None:
    """Draw a take of two hands that touch and never overlap, or none."""
    generator = np.random.default_rng((seed, take, 2))
    if close.hands != "both" or generator.random() >= close.contact:
        return None
    return sample_two_hands("mixed", MEETING_S, FPS, models, generator)


def _stretch(motion: HandMotion, frames: slice) -> HandMotion:
    names = ("global_orient", "hand_pose", "transl", "status")
    return replace(motion, **{name: getattr(motion, name)[:, frames] for name in names})


def _take(close: CloseUpOptions, seed: int, take: int) -> list[Floats]:
    generator = np.random.default_rng((seed, take))
    kinds = list(KINDS)
    return [
        generate_motion(kinds[int(generator.integers(len(kinds)))], TAKE_S, FPS, generator, close.vocabulary)
        for _ in SIDES[close.hands]
    ]


def _clip(
    motion: HandMotion,
    sides: list[bool],
    models: HandModels,
    arms: list[Arm],
    close: CloseUpOptions,
    generator: np.random.Generator,
) -> HandClip:
    posed = pose_hands(models, motion, vertices=True)
    assert posed.vertices is not None
    frames, look = close.frames, sample_appearance(generator)
    K = _camera(posed.joints, close.size)
    arms = [replace(arm, skin=skin_colors(models.side(side), look.skin, generator)) for arm, side in zip(arms, sides)]
    rooms = background(close.size, close.size, np.arange(frames) / FPS, look, generator)
    noise = sensor_noise(close.size, close.size, look.noise, generator)
    things = _things(posed.joints, generator) if generator.random() < close.occluded else []
    colorful, images = generator.uniform(0.05, 0.9), []
    for frame in range(frames):
        meshes = [mesh for arm, hand in zip(arms, posed.vertices[:, frame]) for mesh in arm.meshes(hand)]
        drawing = render([*meshes, *things], K, close.size, close.size, look.light)
        image = _grayer(next(rooms), colorful)
        drawing.over(image)
        images.append(next(noise)(image))
    pixels = [
        pixels_and_depth(points.reshape(-1, 3), K)[:, :2].reshape(*points.shape[:2], 2) for points in posed.joints
    ]
    return HandClip(
        images=_blurred(np.stack(images), generator),
        K=K,
        is_right=np.array(sides),
        joints_px=np.stack(pixels),
        joints_m=posed.joints,
        global_orient=motion.global_orient,
        hand_pose=motion.hand_pose,
        betas=motion.betas,
    )


def _staged(
    poses: list[Floats], sides: list[bool], models: HandModels, close: CloseUpOptions, generator: np.random.Generator
) -> HandMotion:
    """Place hands before the camera: any direction in the picture, two hands side by side and often touching."""
    steps = np.arange(close.frames) / FPS
    orient, transl, betas = [], [], []
    middle = np.array([generator.uniform(-0.18, 0.18), generator.uniform(-0.12, 0.12), generator.uniform(0.35, 0.8)])
    apart = generator.uniform(0.03, 0.09)
    for side in sides:
        base = Rotation.from_matrix(PALM_TO_CAMERA)
        if generator.random() < close.anywhere:
            turn = Rotation.random(random_state=int(generator.integers(2**31)))
        else:
            yaw = Rotation.from_rotvec([0, generator.uniform(-np.pi, np.pi), 0])
            turn = Rotation.from_rotvec(np.deg2rad(generator.normal(0, (30, 0, 25)))) * yaw
        spin = np.deg2rad(generator.normal(0, 50, 3))  # a second
        turns = Rotation.from_rotvec(steps[:, None] * spin) * turn * base
        where = middle + (
            0 if len(sides) == 1 else np.array([-apart if side else apart, *generator.normal(0, 0.02, 2)])
        )
        path = where + steps[:, None] * generator.normal(0, 0.25, 3)
        shape = generator.normal(0, 0.8, 10)
        model = models.side(side)
        root = model.J_regressor[0] @ (model.v_template + model.shapedirs @ shape)
        mirror = np.array([1.0 if side else -1.0, 1.0, 1.0])
        orient.append(turns.as_rotvec())
        transl.append(path * mirror - root)
        betas.append(shape)
    right = HandMotion(
        np.stack(orient), np.stack(poses), np.stack(transl), np.stack(betas),
        np.ones(len(sides), dtype=bool), np.full((len(sides), close.frames), DETECTED, np.uint8),
        person_id=np.zeros(len(sides), dtype=np.int64),
    )  # fmt: skip
    lefts: Bools = ~np.array(sides)
    return right.mirrored(lefts)


def _camera(joints: Floats, size: int) -> Floats:
    """Return K [3, 3] of the square around the joints [H, F, 21, 3] of a camera at the origin."""
    far = Camera(np.array([[[1000.0, 0, 0], [0, 1000.0, 0], [0, 0, 1.0]]]), 1, 1)
    xy = pixels_and_depth(joints.reshape(-1, 3), far.K[0])[:, :2]
    crop = crops.around(xy, margin=_MARGIN)
    scale = size / crop.side_px
    K = far.K[0] * [[scale], [scale], [1.0]]
    K[:2, 2] = size / 2 - scale * crop.center_px
    return K


def _things(joints: Floats, generator: np.random.Generator) -> list[Mesh]:
    """Draw one or two things: held in the palm, or between the hand and the camera, covering a part of it."""
    out: list[Mesh] = []
    for _ in range(int(generator.choice((1, 2), p=(0.7, 0.3)))):
        points = joints[int(generator.integers(len(joints))), 0]
        kind, color = int(generator.integers(4)), generator.uniform(0.05, 0.95, 3)
        if kind == 0:
            out += occluders.held(joints[int(generator.integers(len(joints)))], generator)(0)
            continue
        if kind == 1:
            vertices, faces = occluders.ball(generator.uniform(0.012, 0.04))
        elif kind == 2:
            vertices, faces = occluders.box(generator.uniform(0.008, 0.045, 3))
        else:
            vertices, faces = occluders.box(np.array([0.25, generator.uniform(0.005, 0.02), 0.004]))
        turn = Rotation.random(random_state=int(generator.integers(2**31))).as_matrix()
        if kind == 3:
            turn = Rotation.from_rotvec([0, 0, generator.uniform(0, np.pi)]).as_matrix()
        target = points[int(generator.integers(len(points)))] + generator.normal(0, 0.012, 3)
        nearer = target * generator.uniform(0.75, 0.97)
        out.append(Mesh(vertices @ turn.T * (nearer[2] / target[2]) + nearer, faces, color))
    return out


def _grayer(image: np.ndarray, colorful: float) -> np.ndarray:
    """Take color out of a room: real ones are mostly gray and brown."""
    gray = image.mean(axis=2, keepdims=True)
    return np.asarray(gray + colorful * (image - gray), dtype=np.uint8)


def _blurred(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Blur some clips: out of focus, or along a line as motion does."""
    import cv2

    drawn = generator.random()
    if drawn < 0.6:
        return images
    if drawn < 0.8:
        sigma = float(generator.uniform(0.4, 1.4))
        return np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in images]).astype(np.uint8)
    length, angle = int(generator.integers(3, 10)), generator.uniform(0, np.pi)
    kernel = np.zeros((length, length), np.float32)
    ends = np.round((length - 1) / 2 * (1 + np.outer((-1, 1), (np.cos(angle), np.sin(angle))))).astype(int)
    cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), (1.0,))
    return np.stack([cv2.filter2D(image, -1, kernel / kernel.sum()) for image in images]).astype(np.uint8)
