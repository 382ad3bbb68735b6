"""A result of two moving hands, for the tests of exporters, report and viewer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.records import DETECTED, Camera, HandMotion, KeypointTracks
from hmpfit.results.npz import StoredResult, write_copy


def two_hands(models: HandModels, frames: int) -> StoredResult:
    """A right and a left hand in front of a 640 x 480 camera, moving, at 30 frames per second, seen throughout."""
    return several_hands(models, frames, (True, False))


def several_hands(models: HandModels, frames: int, is_right: tuple[bool, ...]) -> StoredResult:
    """Hands of the given sides, otherwise as `two_hands`."""
    rng, hands = np.random.default_rng(3), len(is_right)
    steps = np.linspace(0, 1, frames)[None, :, None]
    motion = HandMotion(
        global_orient=rng.normal(size=(hands, 1, 3)) + steps * rng.normal(size=(hands, 1, 3)),
        hand_pose=(rng.normal(scale=0.3, size=(hands, 1, 45)) * (1 + steps)).reshape(hands, frames, 15, 3),
        transl=rng.normal(scale=0.1, size=(hands, 1, 3)) + steps * 0.1 + [0, 0, 0.6],
        betas=rng.normal(size=(hands, 10)),
        is_right=np.array(is_right),
        status=np.full((hands, frames), DETECTED, np.uint8),
    )
    joints = pose_hands(models, motion).joints
    K = np.array([[[500.0, 0, 320], [0, 500.0, 240], [0, 0, 1]]])
    pixels = joints[..., :2] / joints[..., 2:] * 500 + [320, 240]
    ones = np.ones((hands, frames, 21))
    tracks = KeypointTracks(pixels, ones, ones[..., 0] > 0, motion.is_right, np.arange(frames) / 30)
    return StoredResult(motion, joints, ones, tracks, Camera(K, 640, 480), pixels)


def camera_path(frames: int) -> np.ndarray:
    """World from camera [T, 4, 4] of a camera that turns and moves."""
    rng = np.random.default_rng(5)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    turns = rng.normal(size=3) + np.linspace(0, 1, frames)[:, None] * rng.normal(size=3)
    poses[:, :3, :3] = Rotation.from_rotvec(turns).as_matrix()
    poses[:, :3, 3] = np.linspace(0, 0.5, frames)[:, None] * rng.normal(size=3)
    return poses


def summary_of(stored: StoredResult, **changes: Any) -> dict[str, Any]:
    """The parts of a `result.json` that readers of it use."""
    hands = [
        {
            "is_right": bool(right), "detected": len(stored.tracks.times_s), "joint_std_mm_median": 1.0,
            "reprojection_px": {"mean": 1.0, "median": 1.0}, "hidden_keypoint_px": None,
        }
        for right in stored.motion.is_right
    ]  # fmt: skip
    stage = {
        "name": "stage I", "solver": "gauss_newton", "outcome": "converged", "steps": 3, "seconds": 0.1,
        "cost_start": 9.0, "cost_end": 3.0, "terms_start": {"keypoints_2d": 9.0}, "terms_end": {"keypoints_2d": 3.0},
    }  # fmt: skip
    base = {
        "frames": len(stored.tracks.times_s), "fps": 30.0, "hands": hands, "stages": [stage],
        "video": "<two> hands.mp4",
        "camera": {"source": "given", "moving": False}, "seconds": {"total": 1.0}, "first_frame": 0, "version": "x",
        "recipe": {"name": "default", "stages": [{"name": "stage I", "weights": {"prior": 1.0}}]},
    }  # fmt: skip
    return {**base, **changes}


def write_run(folder: Path, stored: StoredResult, models: HandModels, **changes: Any) -> Path:
    """Write the two files of a finished run that readers need."""
    write_copy(stored, models, folder)
    (folder / "result.json").write_text(json.dumps(summary_of(stored, **changes)))
    return folder
