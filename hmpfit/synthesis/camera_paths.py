"""Camera paths of truth clips: still, in a hand, around the hands, walking with them, panning.

World axes are those of the camera's nominal place: x right, y down, z forward, meters. Everything is drawn from a
generator; the paths know nothing of what is seen.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from hmpfit.errors import UnknownNameError
from hmpfit.geometry.rigid_transforms import rigid
from hmpfit.records import Floats
from hmpfit.synthesis.timing import smooth_noise

_DISTANCE_M = 0.52  # of the hands before the nominal camera (staging draws 0.42 to 0.62)
_SHAKE_DEG, _SHAKE_HZ = 0.12, 5.0  # of the hands that hold the camera
_STEP_HZ = (1.6, 2.0)  # steps a second of ordinary walking


@dataclass(frozen=True)
class CameraPathSample:
    """Where the camera of a truth clip is, and what moves along with the person who carries it."""

    kind: str
    world_from_camera: Floats  # [T, 4, 4]
    carried_m: Floats  # [T, 3] how far the hands are carried through the world with the body


def sample_camera_path(kind: str, frames: int, fps: float, generator: np.random.Generator) -> CameraPathSample:
    """Draw a camera path of one of `KINDS`; the same generator state gives the same path.

    Raises UnknownNameError for another kind.
    """
    if kind not in _PATHS:
        raise UnknownNameError("camera", kind, KINDS)
    return _PATHS[kind](frames, fps, generator)


def _still(frames: int, fps: float, generator: np.random.Generator) -> CameraPathSample:
    return CameraPathSample("static", np.repeat(np.eye(4)[None], frames, axis=0), np.zeros((frames, 3)))


def _handheld(frames: int, fps: float, generator: np.random.Generator) -> CameraPathSample:
    """A camera held in a hand: it sways by some centimeters, turns by some degrees, and shakes."""
    size = generator.uniform(0.03, 0.07)
    place = size * smooth_noise(frames, 3, fps, generator.uniform(0.4, 0.8), generator)
    turn = generator.uniform(1.5, 3.0) * smooth_noise(frames, 3, fps, 0.6, generator)
    towards = np.rad2deg(np.stack((place[:, 1], -place[:, 0], 0 * place[:, 0]), axis=1) / _DISTANCE_M)
    turned = turn + 0.6 * towards + _shake(frames, fps, generator)
    return CameraPathSample("handheld", rigid(_turns(turned), place), np.zeros((frames, 3)))


def _orbit(frames: int, fps: float, generator: np.random.Generator) -> CameraPathSample:
    """A camera that goes around the hands and looks at them."""
    sweep = np.deg2rad(generator.uniform(25, 50)) * generator.choice([-1.0, 1.0])
    share = np.linspace(0, 1, frames)
    around = sweep * (0.5 - 0.5 * np.cos(np.pi * share)) - 0.3 * sweep
    up = np.deg2rad(generator.uniform(-8, 8)) * np.sin(np.pi * share)
    radius = _DISTANCE_M * (1 + 0.12 * np.sin(2 * np.pi * share * generator.uniform(0.5, 1.0)))
    back = np.stack((np.sin(around) * np.cos(up), np.sin(up), -np.cos(around) * np.cos(up)), axis=1)
    place = np.array([0, 0, _DISTANCE_M]) + radius[:, None] * back
    look = np.rad2deg(np.stack((up, -around, 0 * up), axis=1))
    look += 0.4 * smooth_noise(frames, 3, fps, 0.6, generator) + 0.5 * _shake(frames, fps, generator)
    return CameraPathSample("orbit", rigid(_turns(look), place), np.zeros((frames, 3)))


def _walk(frames: int, fps: float, generator: np.random.Generator) -> CameraPathSample:
    """A camera on the head of someone who walks and holds the hands steady before the body.

    The head bobs with each step and sways with every other; the hands are carried along without it.
    """
    time_s = np.arange(frames) / fps
    speed = generator.uniform(0.4, 0.9) * (1 + 0.08 * smooth_noise(frames, 1, fps, 0.4, generator)[:, 0])
    heading = np.deg2rad(generator.uniform(-6, 6) + 4 * smooth_noise(frames, 1, fps, 0.3, generator)[:, 0])
    steps = np.stack((np.sin(heading), 0 * heading, np.cos(heading)), axis=1) * (speed / fps)[:, None]
    carried = np.cumsum(steps, axis=0) - steps[0]
    phase = 2 * np.pi * (generator.uniform(*_STEP_HZ) * time_s + generator.uniform(0, 1))
    bob = generator.uniform(0.018, 0.03) * np.sin(phase)
    sway = generator.uniform(0.015, 0.03) * np.sin(0.5 * phase)
    surge = 0.012 * np.sin(phase + 1.0)
    place = carried + np.stack((sway, bob, surge), axis=1)
    turn = np.stack((0.8 * np.sin(phase + 0.5), 1.2 * np.sin(0.5 * phase), 0.8 * np.sin(0.5 * phase)), axis=1)
    turn += 1.5 * smooth_noise(frames, 3, fps, 0.5, generator) * [1.0, 1.5, 0.3]
    return CameraPathSample("walk", rigid(_turns(turn), place), carried)


def _pan(frames: int, fps: float, generator: np.random.Generator) -> CameraPathSample:
    """A camera on a tripod that turns to and fro about its optical center."""
    share = np.linspace(0, 1, frames)
    yaw = generator.uniform(7, 14) * np.sin(2 * np.pi * (generator.uniform(0.5, 1.2) * share + generator.uniform()))
    pitch = generator.uniform(1, 4) * np.sin(2 * np.pi * (generator.uniform(0.4, 1.0) * share + generator.uniform()))
    return CameraPathSample(
        "pan", rigid(_turns(np.stack((pitch, yaw, 0 * yaw), axis=1)), np.zeros((frames, 3))), np.zeros((frames, 3))
    )


def _shake(frames: int, fps: float, generator: np.random.Generator) -> Floats:
    return _SHAKE_DEG * smooth_noise(frames, 3, fps, min(_SHAKE_HZ, 0.3 * fps), generator)


def _turns(degrees: Floats) -> Floats:
    """Return rotations [T, 3, 3] of angles [T, 3] about x, y, z: pitch within yaw, roll first."""
    return Rotation.from_euler("YXZ", degrees[:, [1, 0, 2]], degrees=True).as_matrix()


_PATHS: dict[str, Callable[[int, float, np.random.Generator], CameraPathSample]] = {
    "static": _still,
    "handheld": _handheld,
    "orbit": _orbit,
    "walk": _walk,
    "pan": _pan,
}
KINDS = tuple(_PATHS)
