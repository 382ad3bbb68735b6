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
from hmpfit.records import Floats, KeypointTracks
from hmpfit.skeleton import OPENPOSE_21, OPENPOSE_WRIST

TABLE = Path(__file__).with_name("joint_deviation.json")
NAMES = (
    "thumb_base", "knuckle", "middle_joint", "tip", "confidence", "frame_confidence", "log_box_px", "palm_facing",
    "fingers_along_ray", "joint_along_ray", "log_residual", "log_frame_residual", "one",
)  # fmt: skip
BOX_RANGE_PX = (50.0, 800.0)
_GROUP = {"thumb1": 0, "thumb2": 1, "index1": 1, "middle1": 1, "ring1": 1, "pinky1": 1}
_RESIDUAL_FLOOR = 0.5  # percent of the box
_NEAREST = 1e-6


@dataclass(frozen=True)
class JointDeviation:
    """Standard deviations in mm, [H, T, 21]: in the camera's frame, and of the joint as seen from the wrist."""

    camera_mm: Floats
    wrist_mm: Floats


def calibrate(
    linear_mm: Floats,
    joints: Floats,
    landmarks_px: Floats,
    tracks: KeypointTracks,
    focal_log_std: float,
    size_std: float,
) -> JointDeviation:
    """Return calibrated deviations of joints [H, T, 21, 3] (camera frame) from the fit's own `linear_mm` [H, T, 21].

    `landmarks_px` [H, T, 21, 2] are their projections, `tracks` the evidence. From frame to frame without evidence the
    wrist-relative deviation grows with the time to the nearest frame that has some. In the camera's frame come the
    unknown size of the hand (`size_std`, relative), the focal length's share and what the fit says of the wrist.
    NaN where `linear_mm` is.
    """
    table = _table()
    known = np.clip(
        deviation_features(joints, landmarks_px, tracks), table["low"], table["high"]
    )  # nothing is extrapolated
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


def deviation_features(joints: Floats, landmarks_px: Floats, tracks: KeypointTracks) -> NDArray[np.float64]:
    """Return what the deviation is read from, [H, T, 21, len(NAMES)]; frames without evidence have confidence 0."""
    groups = np.zeros((21, 4))
    for row, name in enumerate(OPENPOSE_21):
        if row != OPENPOSE_WRIST:
            groups[row, 3 if name.endswith("_tip") else _GROUP.get(name, 2)] = 1
    seen = tracks.seen & np.isfinite(tracks.box_diagonal_px)
    box = np.clip(_held(tracks.box_diagonal_px, seen, 200.0), *BOX_RANGE_PX)
    off = np.linalg.norm(landmarks_px - np.nan_to_num(tracks.xy_px), axis=-1) / np.maximum(box, 1.0)[..., None] * 100
    off = np.where(np.isfinite(off), off, 0.0)
    median = float(np.median(off[seen])) if seen.any() else 1.0
    off = np.where(seen[..., None], off, median)
    confidence = np.where(seen[..., None], tracks.confidence, 0.0)
    wrist, index, middle, pinky = (
        joints[:, :, OPENPOSE_21.index(name)] for name in ("wrist", "index1", "middle1", "pinky1")
    )
    ray = unit(joints.mean(2), _NEAREST)
    ahead, across = unit(middle - wrist, _NEAREST), index - pinky
    facing = np.abs((unit(np.cross(ahead, across), _NEAREST) * ray).sum(-1))
    along = np.abs(((joints - wrist[:, :, None]) * ray[:, :, None]).sum(-1))
    along = along / np.maximum(np.linalg.norm(joints - wrist[:, :, None], axis=-1), 0.01)
    by_frame = {
        "frame_confidence": confidence.mean(-1),
        "log_box_px": np.log(box),
        "palm_facing": facing,
        "fingers_along_ray": np.abs((ahead * ray).sum(-1)),
        "log_frame_residual": np.log(off.mean(-1) + _RESIDUAL_FLOOR),
    }
    columns = dict(zip(NAMES[:4], groups.T)) | {
        "confidence": confidence,
        "joint_along_ray": along,
        "log_residual": np.log(off + _RESIDUAL_FLOOR),
        "one": np.ones(21),
        **{name: values[..., None] for name, values in by_frame.items()},
    }
    shape = joints.shape[:3]
    return np.stack([np.broadcast_to(columns[name], shape) for name in NAMES], axis=-1)


@cache
def _table() -> dict[str, NDArray[np.float64] | float]:
    stored = json.loads(TABLE.read_text())
    return {**stored, **{key: np.array([stored[key][name] for name in NAMES]) for key in ("weights", "low", "high")}}


def _held(values: Floats, seen: NDArray[np.bool_], otherwise: float) -> Floats:
    """Return values [H, T] interpolated where not seen."""
    out = np.full(values.shape, otherwise)
    frames = np.arange(values.shape[1])
    for hand, known in enumerate(seen):
        if known.any():
            out[hand] = np.interp(frames, frames[known], values[hand, known])
    return out


def _seconds_to_evidence(tracks: KeypointTracks) -> Floats:
    out = np.zeros(tracks.seen.shape)
    for hand, seen in enumerate(tracks.seen):
        if seen.any() and not seen.all():
            times = tracks.times_s[seen]
            right = np.searchsorted(times, tracks.times_s).clip(0, len(times) - 1)
            left = (right - 1).clip(0)
            near = np.minimum(np.abs(times[right] - tracks.times_s), np.abs(tracks.times_s - times[left]))
            out[hand] = near
    return out
