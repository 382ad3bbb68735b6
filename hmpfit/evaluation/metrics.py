"""Errors against a known truth, in millimeters, as the papers define them (`docs/method.md` section 7).

Every function takes one hand over time in meters and returns one number; frames that are not finite are left out.
"""

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.alignment import similarity_aligned, wrist_aligned

Points = NDArray[np.floating]

_MILLIMETERS = 1000.0
_PAPER_FPS = 30.0


def pa_mpjpe_mm(joints: Points, true_joints: Points) -> float:
    """Return PA-MPJPE: the mean distance of joints [T, N, 3] after a similarity alignment of each frame.

    Applied to vertices it is PA-MPVPE. NaN when no frame is finite in both.
    """
    found, true = _known(joints, true_joints)
    return _mean_distance(similarity_aligned(found, true) if len(found) else found, true)


def ra_mpjpe_mm(joints: Points, true_joints: Points) -> float:
    """Return RA-MPJPE: the mean distance of joints [T, 21, 3] (OpenPose order) after moving the wrists together."""
    found, true = _known(joints, true_joints)
    return _mean_distance(wrist_aligned(found), wrist_aligned(true))


def ra_acc_mm(joints: Points, true_joints: Points, fps: float) -> float:
    """Return RA-ACC: the mean error of the second differences of wrist-aligned joints [T, 21, 3], mm per frame².

    Scaled to frames of 30 per second, as the paper reports it. Triplets with a missing frame are dropped.
    """
    second = [np.diff(wrist_aligned(points), n=2, axis=0) for points in (joints, true_joints)]
    found, true = _known(*second)
    return _mean_distance(found, true) * (fps / _PAPER_FPS) ** 2


def _known(found: Points, true: Points) -> tuple[Points, Points]:
    if found.shape != true.shape:
        raise ValueError(f"shapes {found.shape} and {true.shape} differ")
    known = np.isfinite(found).all(axis=(1, 2)) & np.isfinite(true).all(axis=(1, 2))
    return found[known], true[known]


def _mean_distance(found: Points, true: Points) -> float:
    return float(np.linalg.norm(found - true, axis=-1).mean() * _MILLIMETERS) if len(found) else float("nan")
