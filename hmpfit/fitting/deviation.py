"""Standard deviations of joints, calibrated on real hands, from what is known when the fit is done.

A fit's own covariance knows noise, and not what a detector gets wrong for many frames together; that part was measured
on hands with 3D truth (`benchmarks/calibrate_deviation.py`; `joint_deviation.json` holds the numbers and says which).
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.alignment import unit
from hmpfit.geometry.near_in_time import mean_around, seconds_to_nearest
from hmpfit.records import Floats, KeypointTracks
from hmpfit.skeleton import OPENPOSE_21, OPENPOSE_WRIST

TABLE = Path(__file__).with_name("joint_deviation.json")
NAMES = (
    "thumb_base", "knuckle", "middle_joint", "tip", "confidence", "frame_confidence", "joint_along_ray",
    "log_across_ray", "log_extent", "palm_faced", "no_landmark", "log_speed", "log_linear", "one",
)  # fmt: skip
_GROUP = {"thumb1": 0, "thumb2": 1, "index1": 1, "middle1": 1, "ring1": 1, "pinky1": 1}
_PALM = tuple(OPENPOSE_21.index(name) for name in ("wrist", "index1", "pinky1"))
_FLOOR_M = 0.01  # of a distance whose logarithm is taken
_FLOOR_MM, _FLOOR_M_S = 1.0, 0.015  # of the fit's own deviation and of a speed, likewise
_SPEED_OVER_S = 0.3  # to either side
_NEAREST = 1e-6


@dataclass(frozen=True)
class JointDeviation:
    """Standard deviations in mm, [H, T, 21]: in the camera's frame, and of the joint as seen from the wrist."""

    camera_mm: Floats
    wrist_mm: Floats


def calibrate(
    linear_mm: Floats,
    joints: Floats,
    tracks: KeypointTracks,
    focal_log_std: float,
    size_std: float,
) -> JointDeviation:
    """Return calibrated deviations of joints [H, T, 21, 3] (camera frame) from the fit's own `linear_mm` [H, T, 21].

    `tracks` is the evidence. From frame to frame without evidence the wrist-relative deviation grows with the time to
    the nearest frame that has some. In the camera's frame come the unknown size of the hand (`size_std`, relative), the
    focal length's share and what the fit says of the wrist. NaN where `linear_mm` is.
    """
    table = _table()
    features = deviation_features(joints, tracks, linear_mm)
    known = np.clip(features, table["low"], table["high"])  # nothing is extrapolated
    wrist_mm = np.exp(known @ table["weights"]) * table["scale"]
    seconds = _seconds_to_evidence(tracks)
    growth = np.sqrt(1 + (seconds / table["gap_time_s"]) ** 2)
    wrist_mm = wrist_mm * np.minimum(growth, table["most_gap_growth"])[..., None]
    wrist_mm[..., OPENPOSE_WRIST] = 0.0
    distance_mm = 1e3 * np.linalg.norm(joints[:, :, OPENPOSE_WRIST], axis=-1)
    away = distance_mm * np.hypot(np.hypot(size_std, table["distance_std"]), focal_log_std)
    place = np.hypot(away, np.hypot(linear_mm[..., OPENPOSE_WRIST], table["wrist_mm"]))
    unknown = np.isnan(linear_mm)
    camera_mm = np.where(unknown, np.nan, np.hypot(wrist_mm, place[..., None]))
    return JointDeviation(camera_mm, np.where(unknown, np.nan, wrist_mm))


def deviation_features(joints: Floats, tracks: KeypointTracks, linear_mm: Floats) -> NDArray[np.float64]:
    """Return what the deviation is read from, [H, T, 21, len(NAMES)]; frames without evidence have confidence 0.

    `joints` [H, T, 21, 3] are in the camera's frame, `linear_mm` [H, T, 21] is the fit's own deviation (NaN: unknown).
    """
    groups = np.zeros((21, 4))
    for row, name in enumerate(OPENPOSE_21):
        if row != OPENPOSE_WRIST:
            groups[row, 3 if name.endswith("_tip") else _GROUP.get(name, 2)] = 1
    seen = tracks.seen[..., None]
    confidence = np.where(seen, tracks.confidence, 0.0)
    ray = unit(joints.mean(2), _NEAREST)
    from_wrist = joints - joints[:, :, [OPENPOSE_WRIST]]
    along = np.abs((from_wrist * ray[:, :, None]).sum(-1))
    away = np.linalg.norm(from_wrist, axis=-1)
    columns = dict(zip(NAMES[:4], groups.T)) | {
        "confidence": confidence,
        "frame_confidence": confidence.mean(-1, keepdims=True),
        "joint_along_ray": along / np.maximum(away, _FLOOR_M),
        "log_across_ray": np.log(np.sqrt(np.maximum(away**2 - along**2, 0.0)) + _FLOOR_M),
        "log_extent": np.log(away.mean(-1, keepdims=True) + _FLOOR_M),  # of the hand: a fist is known less
        "palm_faced": np.abs((_palm_normal(joints) * ray).sum(-1))[..., None],  # 1: seen flat, 0: edge-on
        "no_landmark": (seen & ~np.isfinite(tracks.xy_px).all(-1)).astype(np.float64),  # something covers it
        "log_speed": np.log(_speed(from_wrist, tracks.times_s) + _FLOOR_M_S)[..., None],  # a moving hand is blurred
        "log_linear": np.log(np.nan_to_num(linear_mm) + _FLOOR_MM),
        "one": np.ones(21),
    }
    shape = joints.shape[:3]
    return np.stack([np.broadcast_to(columns[name], shape) for name in NAMES], axis=-1)


def _speed(from_wrist: Floats, times_s: Floats) -> Floats:
    """Return the mean speed [H, T] in m/s of joints [H, T, 21, 3] around every frame; 0 in a clip of one frame."""
    if len(times_s) < 2:
        return np.zeros(from_wrist.shape[:2])
    steps = np.linalg.norm(np.diff(from_wrist, axis=1), axis=-1).mean(-1) / np.diff(times_s)
    return mean_around(steps, (times_s[1:] + times_s[:-1]) / 2, times_s, _SPEED_OVER_S)


def _palm_normal(joints: Floats) -> Floats:
    """Return unit normals [H, T, 3] of the palms."""
    wrist, index, pinky = (joints[:, :, row] for row in _PALM)
    return unit(np.cross(index - wrist, pinky - wrist), _NEAREST)


@cache
def _table() -> dict[str, NDArray[np.float64] | float]:
    stored = json.loads(TABLE.read_text())
    return {**stored, **{key: np.array([stored[key][name] for name in NAMES]) for key in ("weights", "low", "high")}}


def _seconds_to_evidence(tracks: KeypointTracks) -> Floats:
    out = np.zeros(tracks.seen.shape)
    for hand, seen in enumerate(tracks.seen):
        if seen.any() and not seen.all():
            out[hand] = seconds_to_nearest(tracks.times_s[seen], tracks.times_s)
    return out
