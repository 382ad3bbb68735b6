"""Motion of the camera between two frames: a rotation alone, or a rotation and a translation.

A rotation moves the image by the homography K R K^-1 whatever is seen; a translation moves near and far points apart
along epipolar lines. Which of them holds is decided by Torr's GRIC ("Geometric motion segmentation and model
selection", 1998). Points are normalized image coordinates throughout.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.alignment import closest_rotation, unit
from hmpfit.records import Floats

_TRIES = 64
_SEED = 5


@dataclass(frozen=True)
class TwoViews:
    """The verdict on a pair of frames."""

    rotation: Floats  # [3, 3] second from first camera, of the rotation alone
    rotation_px: float  # median distance to it, of the points that it explains best (half of them)
    moves: bool  # whether epipolar geometry explains the points better
    parallax_px: float  # median distance that no rotation explains, over all points


def compare(first: Floats, second: Floats, focal_px: float, noise_px: float = 0.7) -> TwoViews:
    """Compare a rotation with epipolar geometry for points [N, 2] seen in two frames, at least 8.

    `focal_px` turns normalized distances into pixels; `noise_px` is the standard deviation of a corner.
    """
    import cv2

    rotation = rotation_between(first, second, 2.0 * noise_px / focal_px)
    by_rotation = rotation_errors(rotation, first, second) * focal_px
    cv2.setRNGSeed(_SEED)
    essential, _ = cv2.findEssentialMat(
        first, second, np.eye(3), method=cv2.RANSAC, prob=0.999, threshold=1.0 / focal_px
    )
    by_line = np.full(len(first), np.inf)
    for matrix in () if essential is None else np.split(essential, len(essential) // 3):
        by_line = np.minimum(by_line, _sampson(np.asarray(matrix, np.float64), first, second) * focal_px)
    variance = noise_px**2
    moves = _gric(by_line**2 / variance, 3, 5) < _gric(by_rotation**2 / variance, 2, 3)
    half = np.sort(by_rotation)[: max(len(first) // 2, 1)]
    return TwoViews(rotation, float(np.median(half)), bool(moves), float(np.median(by_rotation)))


def rotation_between(first: Floats, second: Floats, threshold: float) -> NDArray[np.float64]:
    """Return the rotation [3, 3] that turns most directions of points [N, 2] onto those of the second frame.

    RANSAC over triples, then Kabsch on the points within `threshold` (normalized), three times.
    """
    a, b = directions(first), directions(second)
    generator = np.random.default_rng(_SEED)
    triples = generator.integers(0, len(a), (_TRIES, 3))
    trials = closest_rotation(np.swapaxes(b[triples], -1, -2) @ a[triples])[0]
    errors = np.linalg.norm(np.einsum("kij,nj->kni", trials, a) - b, axis=-1)
    best = trials[(errors < threshold).sum(axis=1).argmax()]
    for _ in range(3):
        near = np.linalg.norm(a @ best.T - b, axis=-1) < threshold
        if near.sum() < 3:
            break
        best = closest_rotation(b[near].T @ a[near])[0]
    return np.asarray(best, dtype=np.float64)


def rotation_errors(rotation: Floats, first: Floats, second: Floats) -> NDArray[np.float64]:
    """Return the distances [N] of the turned points from the second frame's, normalized."""
    turned = directions(first) @ rotation.T
    return np.linalg.norm(turned[:, :2] / np.maximum(turned[:, 2:], 1e-3) - second, axis=1)


def directions(xy: Floats) -> NDArray[np.float64]:
    """Return unit directions [N, 3] of normalized points [N, 2]."""
    homogeneous = np.concatenate((xy, np.ones((len(xy), 1))), axis=1)
    return unit(homogeneous)


def _sampson(essential: Floats, first: Floats, second: Floats) -> NDArray[np.float64]:
    ones = np.ones((len(first), 1))
    a, b = np.concatenate((first, ones), axis=1), np.concatenate((second, ones), axis=1)
    line, back = a @ essential.T, b @ essential
    gradient = np.sqrt(line[:, 0] ** 2 + line[:, 1] ** 2 + back[:, 0] ** 2 + back[:, 1] ** 2)
    return np.abs((b * line).sum(1)) / np.maximum(gradient, 1e-12)


def _gric(squared: Floats, dimension: int, parameters: int) -> float:
    count, ambient = len(squared), 4
    cost = np.minimum(squared, 2.0 * (ambient - dimension)).sum()
    return float(cost + dimension * count * np.log(ambient) + parameters * np.log(ambient * count))
