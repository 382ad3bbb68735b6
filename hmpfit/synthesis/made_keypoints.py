"""Keypoints of a generated motion as a detector might give them: noisy, partly hidden, with frames that were missed.

Separate from `clips` because no picture is drawn: a fit can be timed or tested without a renderer and a detector.
"""

from dataclasses import dataclass

import numpy as np

from hmpfit.geometry.cameras import assumed_intrinsics, project_array
from hmpfit.hands.kinematics import Kinematics, landmark_points
from hmpfit.hands.model import HandModels
from hmpfit.records import Camera, Floats, HandMotion, KeypointTracks
from hmpfit.skeleton import FINGERS, OPENPOSE_21
from hmpfit.synthesis.motion import generate_motion
from hmpfit.synthesis.staging import stage

WIDTH, HEIGHT = 640, 480
NOISE, HIDDEN_NOISE = 0.008, 0.05  # of the hand box's diagonal
WORLD_NOISE_M, HIDDEN_WORLD_NOISE_M = 0.004, 0.012
STEADINESS = 0.8  # share of the noise of a frame that the next one keeps: detectors err alike in neighboring frames
HIDES_EVERY, HIDES_FOR, MISSED_FOR = 45, (10, 30), 6  # frames


@dataclass(frozen=True)
class MadeKeypoints:
    """A motion that is known, and the evidence made of it. One right hand."""

    truth: HandMotion
    tracks: KeypointTracks
    camera: Camera


def make_keypoints(models: HandModels, frames: int, fps: float, seed: int, kind: str = "mixed") -> MadeKeypoints:
    """Generate a motion of `frames` frames and its keypoints; the same seed gives the same numbers.

    Per 45 frames one or two fingers are hidden for 10 to 30 frames: their landmarks stray and their confidence is low.
    In every 100 frames a stretch of 6 has no detection at all. `kind` is a name of `synthesis.motion.KINDS`.
    """
    generator = np.random.default_rng(seed)
    pose = generate_motion(kind, frames / fps, fps, generator)
    truth = stage([pose], [True], models, fps, generator)
    camera = Camera(assumed_intrinsics(WIDTH, HEIGHT)[None], WIDTH, HEIGHT, source="given")
    points = _points(models, truth)
    pixels = project_array(points, camera.K[0])
    hidden, seen = _hidden(frames, generator), _seen(frames, generator)
    box = np.linalg.norm(pixels.max(1) - pixels.min(1), axis=-1)[:, None, None]
    strayed = np.where(hidden, HIDDEN_NOISE, NOISE)[..., None]
    xy = pixels + strayed * box * _wander((frames, 21, 2), generator)
    depth_noise = np.where(hidden, HIDDEN_WORLD_NOISE_M, WORLD_NOISE_M)[..., None]
    world = points - points.mean(1, keepdims=True) + depth_noise * _wander((frames, 21, 3), generator)
    confidence = np.where(hidden, generator.uniform(0.0, 0.4, hidden.shape), generator.uniform(0.7, 1.0, hidden.shape))
    tracks = KeypointTracks(
        xy_px=np.where(seen[:, None, None], xy, np.nan)[None],
        confidence=np.where(seen[:, None], confidence, 0.0)[None],
        seen=seen[None],
        is_right=np.array([True]),
        times_s=np.arange(frames) / fps,
        world_m=np.where(seen[:, None, None], world, np.nan)[None],
    )
    return MadeKeypoints(truth, tracks, camera)


def _points(models: HandModels, motion: HandMotion) -> Floats:
    """Return the landmark points [T, 21, 3] of the one right hand of a motion."""
    import torch

    from hmpfit.geometry import rotations

    def tensor(array: Floats) -> torch.Tensor:
        return torch.as_tensor(array[0], dtype=torch.float64)

    turns, bends = rotations.exp(tensor(motion.global_orient)), rotations.exp(tensor(motion.hand_pose))
    kinematics = Kinematics.of(models.right)
    points: Floats = landmark_points(kinematics, turns, bends, tensor(motion.betas), tensor(motion.transl)).numpy()
    return points


def _wander(shape: tuple[int, ...], generator: np.random.Generator) -> Floats:
    """Return noise of unit deviation that neighboring frames (first axis) share."""
    fresh = generator.normal(size=shape)
    out = np.empty(shape)
    out[0] = fresh[0]
    for frame in range(1, len(fresh)):
        out[frame] = STEADINESS * out[frame - 1] + np.sqrt(1 - STEADINESS**2) * fresh[frame]
    return out


def _hidden(frames: int, generator: np.random.Generator) -> np.ndarray:
    hidden = np.zeros((frames, 21), dtype=bool)
    for start in range(0, frames, HIDES_EVERY):
        first = start + int(generator.integers(HIDES_EVERY))
        last = first + int(generator.integers(*HIDES_FOR))
        for finger in generator.choice(np.array(FINGERS), int(generator.integers(1, 3)), replace=False):
            points = [place for place, name in enumerate(OPENPOSE_21) if name.startswith(str(finger))]
            hidden[first:last, points] = True
    return hidden


def _seen(frames: int, generator: np.random.Generator) -> np.ndarray:
    seen = np.ones(frames, dtype=bool)
    for start in range(0, frames, 100):
        missed = start + 20 + int(generator.integers(60))
        seen[missed : missed + MISSED_FOR] = False
    return seen
