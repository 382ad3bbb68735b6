"""Put finger motion before a camera: where the hands are, how they turn and travel, and how a clip looks.

Separate from `motion`, which knows fingers only, and from `clips`, which draws. Everything is drawn from a generator.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from hmpfit.hands.model import HandModels
from hmpfit.records import DETECTED, Camera, Floats, HandMotion
from hmpfit.synthesis.clips import Appearance
from hmpfit.synthesis.demo_motion import PALM_TO_CAMERA, wave
from hmpfit.synthesis.shading import Light

_TURN_DEG = ((22.0, 1.0), (35.0, 0.8), (25.0, 0.6))  # amplitude about the camera's x, y, z, and cycles a clip
_TRAVEL_M = ((0.05, 1.0), (0.03, 1.4), (0.06, 0.8))
_APART_M = 0.085  # of two hands from the middle
# Skin from dark to light, linear between; RGB.
_DARK, _LIGHT = np.array([0.30, 0.19, 0.13]), np.array([0.93, 0.74, 0.64])


def stage(
    hand_poses: list[Floats], is_right: list[bool], models: HandModels, fps: float, generator: np.random.Generator
) -> HandMotion:
    """Place finger motions [T, 15, 3] of right hands before the camera, as hands of the given sides.

    One hand moves about the middle of the picture, two about their own halves, right hands on the camera's left, as if
    a person faced it.
    """
    count = min(len(pose) for pose in hand_poses)
    phase = np.arange(count) / max(count - 1, 1) * max(count / fps / 6.0, 0.3)
    distance = generator.uniform(0.42, 0.62)
    orient, transl, betas = [], [], []
    for side in is_right:
        middle = np.array([0.0 if len(is_right) == 1 else (-_APART_M if side else _APART_M), 0.05, distance])
        turns = np.deg2rad(np.stack([wave(phase, *turn, generator) for turn in _TURN_DEG], axis=1))
        yaw = np.deg2rad(generator.uniform(-60, 60) + (180.0 if generator.random() < 0.35 else 0.0))
        base = Rotation.from_rotvec([0, yaw, 0]) * Rotation.from_matrix(PALM_TO_CAMERA)
        orient.append((Rotation.from_euler("xyz", turns) * base).as_rotvec())
        shape = generator.normal(0, 0.6, 10)
        model = models.side(side)
        root = model.J_regressor[0] @ (model.v_template + model.shapedirs @ shape)
        wrist = np.stack([wave(phase, *move, generator) for move in _TRAVEL_M], axis=1) + middle
        mirror = np.array([1.0 if side else -1.0, 1.0, 1.0])
        transl.append(wrist * mirror - root)  # as a right hand; left hands are mirrored below
        betas.append(shape)
    right = HandMotion(
        global_orient=np.stack(orient),
        hand_pose=np.stack([pose[:count] for pose in hand_poses]),
        transl=np.stack(transl),
        betas=np.stack(betas),
        is_right=np.ones(len(is_right), dtype=bool),
        status=np.full((len(is_right), count), DETECTED, np.uint8),
        person_id=np.zeros(len(is_right), dtype=np.int64),
    )
    return right.mirrored(~np.array(is_right))


def sample_skin(generator: np.random.Generator) -> tuple[float, float, float]:
    """Draw a skin color."""
    tone = generator.uniform(0.05, 1.0)
    red, green, blue = np.clip(_DARK + (_LIGHT - _DARK) * tone + generator.normal(0, 0.015, 3), 0.08, 0.97)
    return float(red), float(green), float(blue)


def sample_appearance(generator: np.random.Generator) -> Appearance:
    """Draw skin, lamp, noise and blur."""
    skin = sample_skin(generator)
    towards = generator.normal(0, 1, 3) * [0.8, 0.4, 0.2] + [0.0, -0.7, -0.7]
    x, y, z = towards / np.linalg.norm(towards)
    light = Light((x, y, z), float(generator.uniform(0.35, 0.6)), float(generator.uniform(0.4, 0.7)))
    noise, _ = float(generator.uniform(1.0, 5.0)), generator.uniform(0, 25)  # the second keeps clips as they were
    return Appearance(
        skin=skin,
        light=light,
        noise=noise,
        shutter=float(generator.choice((0.0, 0.3, 0.5))),
        crf=int(generator.integers(18, 27)),
    )


def sample_camera(width: int, height: int, generator: np.random.Generator) -> Camera:
    """Draw a camera of 0.75 to 1.1 focal lengths per longer side, its principal point near the middle."""
    focal = generator.uniform(0.75, 1.1) * max(width, height)
    x, y = width / 2 + generator.normal(0, 0.01 * width), height / 2 + generator.normal(0, 0.01 * height)
    return Camera(np.array([[[focal, 0, x], [0, focal, y], [0, 0, 1.0]]]), width, height, None, "given")
