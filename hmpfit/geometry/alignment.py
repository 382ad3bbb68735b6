"""Alignment of point sets, frame by frame: what the word "aligned" in a metric's name means."""

import numpy as np
from numpy.typing import NDArray

from hmpfit.skeleton import OPENPOSE_WRIST


def unit(vectors: NDArray[np.floating], least: float = 1e-12) -> NDArray[np.float64]:
    """Return vectors [..., 3] divided by their lengths; shorter ones than `least` by that."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), least))


def closest_rotation(products: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the proper rotations [..., 3, 3] closest to matrices [..., 3, 3], and their singular values [..., 3].

    Of targets' transpose times sources, centered, it is the rotation that turns sources onto targets (Kabsch 1976); the
    last singular value is negative where the closest orthogonal matrix would be a mirror.
    """
    left, stretch, right = np.linalg.svd(products)
    handedness = np.ones_like(stretch)
    handedness[..., -1] = np.sign(np.linalg.det(left @ right))
    return (left * handedness[..., None, :]) @ right, stretch * handedness


def similarity_aligned(points: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return points [..., N, 3] after the rotation, scale and translation that bring them closest to the target.

    The least-squares optimum of Umeyama (1991), a proper rotation always (a mirrored hand stays mirrored).
    """
    points, target = np.asarray(points, dtype=np.float64), np.asarray(target, dtype=np.float64)
    center, target_center = points.mean(axis=-2, keepdims=True), target.mean(axis=-2, keepdims=True)
    source, goal = points - center, target - target_center
    rotation, stretch = closest_rotation(np.swapaxes(goal, -1, -2) @ source)
    scale = stretch.sum(axis=-1) / np.maximum((source**2).sum(axis=(-1, -2)), 1e-30)
    return scale[..., None, None] * source @ np.swapaxes(rotation, -1, -2) + target_center


def best_similarity(
    points: NDArray[np.floating], target: NDArray[np.floating], scaled: bool = True
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Return rotation [3, 3], scale and shift [3] that bring points [N, 3] closest to the target; scale 1 unless asked.

    Closest is scale * rotation @ point + shift (Umeyama 1991). Points in a line, or a single one, leave turns open, of
    which the smallest is as good as any.
    """
    center, target_center = points.mean(axis=0), target.mean(axis=0)
    source, goal = points - center, target - target_center
    rotation, stretch = closest_rotation(goal.T @ source)
    if stretch[0] < 1e-15:
        return np.eye(3), 1.0, np.asarray(target_center - center, np.float64)
    scale = float(stretch.sum() / max((source**2).sum(), 1e-30)) if scaled else 1.0
    return rotation, scale, target_center - scale * rotation @ center


def wrist_aligned(joints: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return joints [..., 21, 3] in OpenPose order relative to their wrist."""
    joints = np.asarray(joints, dtype=np.float64)
    return joints - joints[..., OPENPOSE_WRIST : OPENPOSE_WRIST + 1, :]
