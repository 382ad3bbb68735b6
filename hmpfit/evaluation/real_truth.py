"""Errors against real, triangulated truth, of which single joints may lack: position, size, depth, deviation.

Separate from `metrics`, whose protocols want all 21 joints of a frame. Meters in, millimeters out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from hmpfit.evaluation.rigid_lengths import bone_length_ratio
from hmpfit.geometry.alignment import best_similarity
from hmpfit.hands.open_hand.proportions import FINGER_SHARES
from hmpfit.skeleton import OPENPOSE_21, OPENPOSE_WRIST

Points = NDArray[np.floating]
LEAST_JOINTS = 6
BONE_SHARES = (0.75, 1.33)


@dataclass(frozen=True)
class RealErrors:
    """Means over the frames of a hand that both have; the deviation's shares are over joints."""

    frames: int
    pa_mpjpe_mm: float
    ra_mpjpe_mm: float
    camera_mm: float
    size_ratio: float  # of the estimate to the truth, by alignment, which errors shrink: this reads too large
    length_ratio: float  # of the bones, whatever the pose
    depth_ratio: float  # of the wrist's
    ra_acc_mm: float  # mm per frame^2
    peak_speed_ratio: float  # 95th percentile of wrist-relative speed, estimate to truth
    within_1_std: float = float("nan")
    within_2_std: float = float("nan")
    rank_correlation: float = float("nan")
    wrist_within_1_std: float = float("nan")
    wrist_within_2_std: float = float("nan")
    wrist_rank_correlation: float = float("nan")


def real_errors(
    joints: Points, truth: Points, joint_std_mm: Points | None = None, joint_std_wrist_mm: Points | None = None
) -> RealErrors:
    """Score joints [T, 21, 3] in the camera's frame against a truth [T, 21, 3], NaN where either is unknown.

    `joint_std_mm` [T, 21] is compared with the distance in the camera's frame, `joint_std_wrist_mm` with the distance
    of all joints but the wrist when both hands' wrists lie on each other. Frames without the true wrist or with
    fewer than `LEAST_JOINTS` true joints do not count.
    """
    known = np.isfinite(joints).all(-1) & np.isfinite(truth).all(-1)
    frames = known[:, OPENPOSE_WRIST] & (known.sum(-1) >= LEAST_JOINTS)
    known &= frames[:, None]
    aligned, scales = np.full_like(joints, np.nan), np.full(len(joints), np.nan)
    for t in np.flatnonzero(frames):
        rotation, scales[t], shift = best_similarity(joints[t, known[t]], truth[t, known[t]])
        aligned[t] = scales[t] * joints[t] @ rotation.T + shift
    wrist, true_wrist = joints[:, [OPENPOSE_WRIST]], truth[:, [OPENPOSE_WRIST]]
    relative, true_relative = joints - wrist, truth - true_wrist
    apart = np.linalg.norm(joints - truth, axis=-1) * 1e3
    rooted = np.linalg.norm(relative - true_relative, axis=-1) * 1e3
    fingers = known & (np.arange(known.shape[1]) != OPENPOSE_WRIST)
    return RealErrors(
        int(frames.sum()),
        _mean(np.linalg.norm(aligned - truth, axis=-1) * 1e3, known),
        _mean(rooted, known),
        _mean(apart, known),
        float(np.median(1 / scales[frames])) if frames.any() else float("nan"),
        _lengths(joints, truth, known),
        float(np.median((wrist / true_wrist)[frames, 0, 2])) if frames.any() else float("nan"),
        _differences(relative, true_relative, known),
        _peak(relative, known) / max(_peak(true_relative, known), 1e-9),
        *_calibration(apart, joint_std_mm, known),
        *_calibration(rooted, joint_std_wrist_mm, fingers),
    )


def _lengths(joints: Points, truth: Points, known: NDArray[np.bool_]) -> float:
    return bone_length_ratio(*(np.where(known[..., None], points, np.nan) for points in (joints, truth)))


def _calibration(error: Points, std: Points | None, known: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return the shares of known errors within one and two deviations, and the rank correlation of the two."""
    if std is None or not known.any():
        return (float("nan"),) * 3
    errors, stds = error[known], std[known]
    return float((errors < stds).mean()), float((errors < 2 * stds).mean()), _rank_correlation(stds, errors)


def _rank_correlation(a: Points, b: Points) -> float:
    varies = np.ptp(a) > 0 and np.ptp(b) > 0
    return float(spearmanr(a, b)[0]) if varies else float("nan")


def _mean(values: Points, known: NDArray[np.bool_]) -> float:
    return float(values[known].mean()) if known.any() else float("nan")


def _differences(found: Points, true: Points, known: NDArray[np.bool_]) -> float:
    triplets = known[2:] & known[1:-1] & known[:-2]
    return _mean(np.linalg.norm(np.diff(found - true, n=2, axis=0), axis=-1) * 1e3, triplets)


def _peak(relative: Points, known: NDArray[np.bool_]) -> float:
    steps = np.linalg.norm(np.diff(relative, axis=0), axis=-1)[known[1:] & known[:-1]]
    return float(np.percentile(steps, 95)) if len(steps) else float("nan")


def plausible_joints(truth: Points) -> Points:
    """Return a hand's true joints [T, 21, 3] without those of fingers whose bones are no hand's, as NaN.

    A finger counts up to its first bone whose median length, in shares of wrist to middle knuckle, is not within
    `BONE_SHARES` of the average adult's (`hands.open_hand.proportions`): triangulation fails on curled fingertips.
    """
    out = np.array(truth, dtype=np.float64)
    index = {name: row for row, name in enumerate(OPENPOSE_21)}
    palm = np.nanmedian(np.linalg.norm(out[:, index["middle1"]] - out[:, OPENPOSE_WRIST], axis=-1))
    for finger, shares in FINGER_SHARES.items():
        rows = [index[f"{finger}{part}"] for part in ("1", "2", "3", "_tip")]
        for k, share in enumerate(shares):
            length = np.nanmedian(np.linalg.norm(out[:, rows[k + 1]] - out[:, rows[k]], axis=-1))
            if not BONE_SHARES[0] < length / (share * palm) < BONE_SHARES[1]:
                out[:, rows[k + 1] : rows[-1] + 1] = np.nan
                break
    return out
