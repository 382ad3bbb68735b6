"""Hands of several people before one camera, held up, that change places with their neighbors: crossings with truth.

Separate from `staging`, which keeps hands apart, and from `two_hands`, whose hands act on each other.
"""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from hmpfit.hands.model import HandModels
from hmpfit.records import DETECTED, Camera, Floats, HandMotion
from hmpfit.synthesis.clips import Appearance
from hmpfit.synthesis.demo_motion import PALM_TO_CAMERA, wave
from hmpfit.synthesis.motion import generate_motion
from hmpfit.synthesis.staging import sample_appearance, sample_skin

WIDTH, HEIGHT, FOCAL_PX = 1280, 720, 1000.0
_DISTANCE_M, _APART_M = 0.95, 0.26  # of the hands from the camera, and of neighbors
_DEPTH_STEP_M = 0.1  # between hands that change places
_TURN_DEG = ((8.0, 1.0), (20.0, 0.8), (15.0, 0.6))  # amplitude about the camera's x, y, z, and cycles a clip
_UP_AND_DOWN_M = 0.03
_CHANGE_S = (0.7, 1.2)  # how long a change of places lasts
_REST_S = 0.4


def sample_people(
    models: HandModels, people: int, seconds: float, fps: float, generator: np.random.Generator, kind: str = "gestures"
) -> HandMotion:
    """Draw the motion of the right and the left hand of each of some people, [2 people, T]; camera axes, meters.

    Hands stand side by side, a person's right hand on the camera's left. Again and again two neighbors change places,
    one passing before the other. `kind` is the fingers' motion, a name in `motion.KINDS`.
    """
    sides = [True, False] * people
    frames = max(round(seconds * fps), 1)
    places = _paths(len(sides), frames, fps, generator)
    phase = np.arange(frames) / max(frames - 1, 1) * max(seconds / 6.0, 0.3)
    orient, pose, transl, betas = [], [], [], []
    shapes = generator.normal(0, 0.6, (people, 10))
    for hand, side in enumerate(sides):
        turns = np.deg2rad(np.stack([wave(phase, *turn, generator) for turn in _TURN_DEG], axis=1))
        orient.append((Rotation.from_euler("xyz", turns) * Rotation.from_matrix(PALM_TO_CAMERA)).as_rotvec())
        pose.append(generate_motion(kind, seconds, fps, generator)[:frames])
        shape = shapes[hand // 2]
        model = models.side(side)
        root = model.J_regressor[0] @ (model.v_template + model.shapedirs @ shape)
        bob = wave(phase, _UP_AND_DOWN_M, 1.3, generator)
        wrist = places[hand] + np.stack((np.zeros(frames), bob, np.zeros(frames)), axis=1)
        transl.append(wrist * np.array([1.0 if side else -1.0, 1.0, 1.0]) - root)
        betas.append(shape)
    right = HandMotion(
        global_orient=np.stack(orient),
        hand_pose=np.stack(pose),
        transl=np.stack(transl),
        betas=np.stack(betas),
        is_right=np.ones(len(sides), dtype=bool),
        status=np.full((len(sides), frames), DETECTED, np.uint8),
        person_id=np.repeat(np.arange(people), 2),
    )
    return right.mirrored(~np.array(sides))


def people_look(people: int, generator: np.random.Generator) -> Appearance:
    """Draw how a clip of some people looks: everyone's own skin, sharp pictures."""
    look = replace(sample_appearance(generator), shutter=0.3, crf=20, noise=2.0)
    skins = [sample_skin(generator) for _ in range(people)]
    return replace(look, skins=tuple(skin for skin in skins for _ in range(2)))


def people_camera() -> Camera:
    """Return the camera that sees all places."""
    K = np.array([[[FOCAL_PX, 0, WIDTH / 2], [0, FOCAL_PX, HEIGHT / 2], [0, 0, 1.0]]])
    return Camera(K, WIDTH, HEIGHT, None, "given")


def _paths(hands: int, frames: int, fps: float, generator: np.random.Generator) -> Floats:
    """Return the wrists' paths [H, T, 3]: at their places, and now and then a change of two neighbors."""
    x = (np.arange(hands) - (hands - 1) / 2) * _APART_M
    path = np.zeros((hands, frames, 3))
    path[:] = np.array([0.0, 0.08, _DISTANCE_M])
    at = np.arange(hands)  # the hand at each place
    position = x.copy()
    path[:, :, 0] = position[:, None]
    start = _REST_S
    while start + _CHANGE_S[1] + _REST_S < frames / fps:
        place, lasts = int(generator.integers(hands - 1)), generator.uniform(*_CHANGE_S)
        first, second = at[place], at[place + 1]
        share = np.clip((np.arange(frames) / fps - start) / lasts, 0, 1)
        way = share**2 * (3 - 2 * share)
        nearer = 1.0 if generator.random() < 0.5 else -1.0
        for hand, goal, sign in ((first, x[place + 1], nearer), (second, x[place], -nearer)):
            path[hand, :, 0] += way * (goal - position[hand])
            path[hand, :, 2] += sign * _DEPTH_STEP_M / 2 * np.sin(np.pi * way)
            position[hand] = goal
        at[[place, place + 1]] = second, first
        start += lasts + _REST_S * generator.uniform(0.2, 1.5)
    return path
