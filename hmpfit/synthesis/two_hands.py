"""Scenes of two hands that meet: fingertips that touch, hands that clasp, cross, or act on each other.

Separate from `staging`, whose hands keep apart. A kind says which poses the hands take and how they want to be placed;
`touching` then lays the meshes against each other, so that they touch and never overlap. Left hands are described as
right hands in the mirror (x -> -x), so that +x is always the way to the other hand.

Many pictures quickly: `sample_two_hands` needs no rendering; `hmpfit synthesize --hands both --contact mixed
--frames 16 --size 256x256 --count N` renders short clips.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hmpfit.errors import UnknownNameError
from hmpfit.hands.mano import ManoHand, PosedTensors
from hmpfit.hands.model import HandModel, HandModels
from hmpfit.hands.watertight import HandSurface
from hmpfit.records import DETECTED, MIRROR_X, Floats, HandMotion
from hmpfit.skeleton import OPENPOSE_PALM
from hmpfit.synthesis.demo_motion import wave
from hmpfit.synthesis.hand_degrees_of_freedom import Subject, angles_to_hand_pose
from hmpfit.synthesis.handshapes import GESTURES, Handshape
from hmpfit.synthesis.motion import EVERYTHING, KINDS, generate_motion
from hmpfit.synthesis.scene import Scene
from hmpfit.synthesis.timing import minimum_jerk
from hmpfit.synthesis.touching import Frames, close_fingers, draw_back, free_distance

_ACROSS, _UP, _NEARER = np.eye(3)[0], -np.eye(3)[1], -np.eye(3)[2]  # camera axes: x right, y down, z away
_TURN_DEG = ((12.0, 0.7), (28.0, 0.8), (15.0, 0.6))  # of the pair, about x, y, z; and cycles a clip
_TRAVEL_M = ((0.03, 0.7), (0.02, 0.9), (0.03, 0.6))
_PALM = list(OPENPOSE_PALM)


@dataclass(frozen=True)
class HandTrajectory:
    """One hand's trajectory of T frames: a right hand, the other hand towards +x."""

    pose: Floats  # [T, 15, 3]
    fingers: Floats  # [T, 3] where the straight fingers point
    palm: Floats  # [T, 3] where the palm faces
    middle: Floats  # [T, 3] where the palm's middle is
    grip: Floats | None = None  # [T, 15, 3] the pose towards which the fingers close until they touch

    def pose_at(self, grip: Floats, frames: Frames) -> Floats:
        """Return the poses [N, 15, 3] at frames [N], closed by grip [N] in 0..1."""
        if self.grip is None:
            return self.pose[frames]
        return np.asarray(self.pose[frames] + grip[:, None, None] * (self.grip - self.pose)[frames])


@dataclass(frozen=True)
class HandInteraction:
    """Both hands, right first, and when they are to touch."""

    hands: tuple[HandTrajectory, HandTrajectory]
    touch: Floats  # [T] 1 in contact, 0 apart
    way: Floats  # [3] from the right hand to the left one, along which they come and go
    apart_m: float  # how far the hands part in between


def sample_two_hands(
    kind: str, seconds: float, fps: float, models: HandModels, generator: np.random.Generator
) -> HandMotion:
    """Return a right and a left hand that meet before the camera, T = round(seconds * fps) frames.

    `kind`: a name in `CONTACTS`, or "mixed" for any of them. No vertex of either hand lies inside the other in any
    frame; in most frames of contact the surfaces are less than a few millimeters apart. Raises UnknownNameError.
    """
    if kind == "mixed":
        kind = str(generator.choice(np.array(list(CONTACTS))))
    if kind not in CONTACTS:
        raise UnknownNameError("kind of contact", kind, CONTACTS)
    times_s = np.arange(max(round(seconds * fps), 1)) / fps
    meeting = CONTACTS[kind](times_s, fps, generator)
    shape = generator.normal(0, 0.6, 10)
    betas = np.stack([shape, shape + generator.normal(0, 0.05, 10)])  # one person's hands are nearly the same
    turns = np.stack([_orientation(hand) for hand in meeting.hands])
    hands = [
        _PosedTrajectory.of(hand, turns[side], betas[side], models.side(side == 0), side == 1)
        for side, hand in enumerate(meeting.hands)
    ]
    surfaces = (HandSurface.of(models.right), HandSurface.of(models.left))
    every, opened = np.arange(len(times_s)), np.zeros(len(times_s))
    apart = free_distance(hands[0].mesh(opened, every), hands[1].mesh(opened, every), meeting.way)
    apart = apart + (1 - meeting.touch) * meeting.apart_m

    def meshes(grip: Floats, frames: Frames) -> tuple[Floats, Floats]:
        right, left = (hand.mesh(grip, frames) for hand in hands)
        return right, left + np.multiply.outer(apart[frames], meeting.way)[:, None]

    grips = any(hand.grip is not None for hand in meeting.hands)
    grip = close_fingers(meshes, len(times_s), surfaces) if grips else opened
    back, grip = draw_back(meshes, grip, meeting.way, surfaces)
    move = _along(apart + back, meeting.way)
    places = np.stack((hands[0].wrists - move / 2, hands[1].wrists + move / 2 * MIRROR_X))
    poses = [hand.pose_at(grip, every) for hand in meeting.hands]
    return _before_camera(turns, places, poses, betas, models, times_s, generator)


@dataclass(frozen=True)
class _PosedTrajectory:
    """A trajectory's mesh, as it is (a left hand to the right of the mirror)."""

    hand: HandTrajectory
    model: ManoHand
    turns: Floats  # [T, 3] axis-angle
    betas: Floats
    shift: Floats  # [T, 3] translation
    is_left: bool

    @classmethod
    def of(
        cls, hand: HandTrajectory, turns: Floats, betas: Floats, model: HandModel, is_left: bool
    ) -> "_PosedTrajectory":
        tensors = ManoHand(model, torch.float32)
        about = cls(hand, tensors, Rotation.from_matrix(turns).as_rotvec(), betas, np.zeros((len(turns), 3)), is_left)
        joints = about._posed(hand.pose, np.arange(len(turns)), vertices=False).joints.double().numpy()
        return replace(about, shift=hand.middle - joints[:, _PALM].mean(1))

    @property
    def wrists(self) -> Floats:
        """The wrist's target positions, [T, 3]; mirrored for a left hand."""
        root = self.model.model.J_regressor[0] @ (self.model.model.v_template + self.model.model.shapedirs @ self.betas)
        return np.asarray(root + self.shift)

    def mesh(self, grip: Floats, frames: Frames) -> Floats:
        """Return the mesh [N, V, 3] at frames [N] with the fingers closed by grip [N]."""
        vertices = self._posed(self.hand.pose_at(grip, frames), frames, vertices=True).vertices
        assert vertices is not None
        return np.asarray(vertices.numpy() * (MIRROR_X if self.is_left else 1.0))

    def _posed(self, pose: Floats, frames: Frames, vertices: bool) -> PosedTensors:
        fields = (self.turns[frames], pose, self.betas, self.shift[frames])
        orient, bent, betas, transl = (torch.as_tensor(field, dtype=torch.float32) for field in fields)
        return self.model.forward(orient, bent, betas, transl, vertices)


def _before_camera(
    turns: Floats,
    wrists: Floats,
    poses: list[Floats],
    betas: Floats,
    models: HandModels,
    times_s: Floats,
    generator: np.random.Generator,
) -> HandMotion:
    """Turn and move the pair as one: rotations [2, T, 3, 3] and wrists [2, T, 3], the left hand's in the mirror."""
    seconds = len(times_s) * (times_s[1] if len(times_s) > 1 else 1.0)
    phase = times_s / max(seconds, 1e-9) * max(seconds / 6.0, 0.3)
    angles = np.deg2rad(np.stack([wave(phase, *turn, generator) for turn in _TURN_DEG], axis=1))
    base = Rotation.from_euler("xy", [generator.uniform(-25, 15), generator.uniform(-40, 40)], degrees=True)
    pair = (Rotation.from_euler("xyz", angles) * base).as_matrix()
    center = np.array([0.0, 0.02, generator.uniform(0.42, 0.62)])
    center = center + np.stack([wave(phase, *move, generator) for move in _TRAVEL_M], axis=1)
    orient, transl = [], []
    for side in range(2):
        mirror = np.ones(3) if side == 0 else MIRROR_X
        seen = mirror[:, None] * pair * mirror  # the pair's turn as the mirrored hand sees it
        orient.append(Rotation.from_matrix(seen @ turns[side]).as_rotvec())
        model = models.side(side == 0)
        root = model.J_regressor[0] @ (model.v_template + model.shapedirs @ betas[side])
        transl.append((seen @ wrists[side][..., None])[..., 0] + center * mirror - root)
    as_right = HandMotion(
        global_orient=np.stack(orient),
        hand_pose=np.stack(poses),
        transl=np.stack(transl),
        betas=betas,
        is_right=np.ones(2, dtype=bool),
        status=np.full((2, len(times_s)), DETECTED, np.uint8),
        person_id=np.zeros(2, dtype=np.int64),
    )
    return as_right.mirrored(np.array([False, True]))


def _orientation(hand: HandTrajectory) -> Floats:
    """Return rotations [T, 3, 3] that point the fingers (model axis -x) and the palm (-y) where they should."""
    fingers = hand.fingers / np.linalg.norm(hand.fingers, axis=1, keepdims=True)
    palm = hand.palm - (hand.palm * fingers).sum(1, keepdims=True) * fingers
    palm = palm / np.linalg.norm(palm, axis=1, keepdims=True)
    return np.stack((-fingers, -palm, np.cross(fingers, palm)), axis=-1)


def _fingertips(times_s: Floats, fps: float, generator: np.random.Generator) -> HandInteraction:
    """Fingertips of both hands laid together, palms towards each other, down or to the body, and apart again."""
    shapes = [GESTURES[name] for name in ("open", "tent", "soft", "cup", "relaxed", "point", "half")]
    chosen = [shapes[place] for place in generator.integers(0, len(shapes), 3)]
    rise, roll = np.deg2rad(generator.uniform(0, 65)), np.deg2rad(generator.uniform(-30, 100))
    hands = []
    for _ in range(2):
        scene = _take(times_s, fps, generator)
        pose = angles_to_hand_pose(scene.sequence(chosen, (0.5, 1.0), (0.4, 1.5)), scene.subject)
        lean = rise + np.deg2rad(generator.normal(0, 6)) + 0.06 * scene.noise(0.4, 1)[:, 0]
        fingers = _along(np.cos(lean), _ACROSS) + _along(np.sin(lean), _UP)
        down = _along(np.sin(lean), _ACROSS) - _along(np.cos(lean), _UP)
        palm = np.cos(roll) * down - np.sin(roll) * _NEARER
        hands.append(HandTrajectory(pose, fingers, palm, -0.075 * fingers + _sway(scene)))
    return HandInteraction((hands[0], hands[1]), _touches(times_s, generator), _ACROSS, generator.uniform(0.01, 0.03))


def _clasping(times_s: Floats, fps: float, generator: np.random.Generator) -> HandInteraction:
    """Hands that hold each other: palm on palm, a fist in a palm, or a palm over the other's back; fingers close."""
    way = str(generator.choice(np.array(["palms", "fist", "over"])))
    twist = np.deg2rad(generator.uniform(15, 55)) * (1, -1)[int(generator.integers(2))]
    hands = []
    for side in range(2):
        scene = _take(times_s, fps, generator)
        held = side == 1 and way != "palms"
        turn = twist * (1 if side == 0 else -1) + 0.08 * scene.noise(0.4, 1)[:, 0]
        fingers = _along(np.cos(turn), _UP) + _along(np.sin(turn), _NEARER)
        palm = np.broadcast_to(_ACROSS if not held else -_ACROSS, fingers.shape)
        if held and way == "fist":  # its knuckles in the palm
            palm = -fingers
            fingers = np.broadcast_to(_ACROSS, fingers.shape)
        start = GESTURES["fist" if held and way == "fist" else "flat"]
        pose, grip = (_held(scene, shape) for shape in (start, GESTURES["half"]))
        middle = np.broadcast_to(-0.02 * _ACROSS, fingers.shape) + _sway(scene)
        hands.append(HandTrajectory(pose, fingers, palm, middle, None if held else grip))
    return HandInteraction((hands[0], hands[1]), _touches(times_s, generator), _ACROSS, generator.uniform(0.01, 0.04))


def _crossing(times_s: Floats, fps: float, generator: np.random.Generator) -> HandInteraction:
    """Hands that pass each other, one before the other, brushing as they meet."""
    cycles = generator.uniform(0.5, 1.0) * max(times_s[-1] / 3.0, 0.5)
    swing = np.cos(2 * np.pi * (cycles * times_s / max(times_s[-1], 1e-9) + generator.uniform(0, 1)))
    reach = generator.uniform(0.08, 0.13)
    facing = generator.choice(np.array([-1.0, 1.0]), 2)
    hands = []
    for side in range(2):
        scene = _take(times_s, fps, generator)
        pose = _any_pose(times_s, fps, generator)
        lean = np.deg2rad(generator.uniform(-20, 35)) + 0.15 * scene.noise(0.4, 1)[:, 0]
        fingers = _along(np.cos(lean), _UP) + _along(np.sin(lean), _ACROSS)
        palm = np.broadcast_to(facing[side] * _NEARER, fingers.shape) + 0.25 * scene.noise(0.3, 3)
        depth = (1.0 if side == 0 else -1.0) * 0.004 * _NEARER
        hands.append(HandTrajectory(pose, fingers, palm, _along(-reach * swing, _ACROSS) + depth + _sway(scene)))
    touch = minimum_jerk(1.6 - 2.2 * np.abs(swing))
    return HandInteraction((hands[0], hands[1]), touch, -_NEARER, generator.uniform(0.0, 0.03))


def _interacting(times_s: Floats, fps: float, generator: np.random.Generator) -> HandInteraction:
    """Hands turned any way that act on each other: moving fingers, touching here and there, parting."""
    hands = []
    for _ in range(2):
        scene = _take(times_s, fps, generator)
        tilt = Rotation.from_rotvec(generator.normal(0, 0.6, 3)) * Rotation.from_rotvec(0.25 * scene.noise(0.4, 3))
        inwards = generator.uniform(0.1, 1.0)
        fingers = tilt.apply(inwards * _ACROSS + (1 - inwards) * _UP)
        palm = tilt.apply(generator.uniform(-0.3, 1.0) * _ACROSS + generator.choice(np.array([-1.0, 1.0])) * _NEARER)
        middle = -generator.uniform(0.02, 0.05) * fingers + _sway(scene, 0.02)
        hands.append(HandTrajectory(_any_pose(times_s, fps, generator), fingers, palm, middle))
    return HandInteraction((hands[0], hands[1]), _touches(times_s, generator), _ACROSS, generator.uniform(0.01, 0.04))


CONTACTS: dict[str, Callable[[Floats, float, np.random.Generator], HandInteraction]] = {
    "interacting": _interacting,
    "crossing": _crossing,
    "clasping": _clasping,
    "touching_fingertips": _fingertips,
}


def _take(times_s: Floats, fps: float, generator: np.random.Generator) -> Scene:
    return Scene(Subject.sample(generator), times_s, fps, generator, EVERYTHING)


def _any_pose(times_s: Floats, fps: float, generator: np.random.Generator) -> Floats:
    kind = str(generator.choice(np.array([name for name in KINDS if name != "rest"])))
    return generate_motion(kind, len(times_s) / fps, fps, generator)


def _along(amounts: Floats, direction: Floats) -> Floats:
    """Return a direction [3] times amounts [T], [T, 3]."""
    return np.asarray(amounts[:, None] * direction, np.float64)


def _held(scene: Scene, shape: Handshape) -> Floats:
    """A handshape held, never quite still."""
    angles = scene.posture(shape) + scene.noise(0.6) * scene.uniform(0.3, 2.0)
    return angles_to_hand_pose(angles, scene.subject)


def _sway(scene: Scene, amplitude_m: float = 0.006) -> Floats:
    return amplitude_m * scene.noise(0.5, 3)


def _touches(times_s: Floats, generator: np.random.Generator) -> Floats:
    """Return when the hands touch [T]: in contact for a second or two, apart for half a second, and again."""
    touch = np.ones(len(times_s))
    time = generator.uniform(-0.5, 2.0)
    while time < times_s[-1]:
        length, ramp = generator.uniform(0.3, 0.8), generator.uniform(0.2, 0.4)
        away = minimum_jerk((times_s - time) / ramp) - minimum_jerk((times_s - time - ramp - length) / ramp)
        touch = np.minimum(touch, 1 - away)
        time += length + 2 * ramp + generator.uniform(1.2, 3.0)
    return touch
