"""Measures on aligned points: mean errors, the curve of correct points and its area, F-scores.

Everything in meters; the protocols turn it into their own units. Source: the data set's own tools.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Points = NDArray[np.floating]
Bools = NDArray[np.bool_]


def distances(found: Points, true: Points) -> Points:
    """Return the Euclidean distances [..., N] of points [..., N, 3]."""
    return np.linalg.norm(np.asarray(found, np.float64) - np.asarray(true, np.float64), axis=-1)


def mean_over_points(errors: Points, valid: Bools | None = None) -> float:
    """Return the mean over points of each point's mean over its valid samples, errors [S, N]; NaN without samples."""
    if valid is None:
        return float(errors.mean(0).mean()) if len(errors) else float("nan")
    known = valid.sum(0)
    sums = np.where(valid, errors, 0.0).sum(0)
    return float((sums[known > 0] / known[known > 0]).mean()) if (known > 0).any() else float("nan")


def area_under_curve(errors: Points, low: float, high: float, steps: int, valid: Bools | None = None) -> float:
    """Return the area under the share of errors [S, N] at or below a threshold, from `low` to `high`, mean over points.

    Trapezoidal rule over `steps` thresholds, divided by the range: 1 is perfect. One sorted pass per point. Rounding
    counts: where an alignment leaves 1e-17 of an exact point, it is not within a threshold of 0, as in the scripts.
    """
    thresholds = np.linspace(low, high, steps)
    areas = []
    for point in range(errors.shape[1]):
        column = errors[:, point] if valid is None else errors[valid[:, point], point]
        if not len(column):
            continue
        share = np.searchsorted(np.sort(column), thresholds, side="right") / len(column)
        areas.append(_trapezoid(share, thresholds) / _trapezoid(np.ones_like(thresholds), thresholds))
    return float(np.mean(areas)) if areas else float("nan")


def share_within(errors: Points, threshold: float, valid: Bools | None = None) -> float:
    """Return the PCK: the share of errors [S, N] at or below a threshold, per point and then the mean."""
    return mean_over_points((errors <= threshold).astype(np.float64), valid)


def f_scores(
    found: Points, true: Points, thresholds: tuple[float, ...], workers: int | None = None
) -> dict[float, float]:
    """Return the mean F-score of vertex sets [S, V, 3] for each threshold in meters.

    Nearest neighbors both ways, counted strictly below the threshold; F = 2PR / (P + R), 0 when both are 0; then the
    mean over samples. KD-trees on threads: scipy lets go of the interpreter while it searches.
    """

    def nearest(sample: int) -> tuple[Points, Points]:
        return (
            cKDTree(found[sample]).query(true[sample])[0],
            cKDTree(true[sample]).query(found[sample])[0],
        )

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        pairs = list(pool.map(nearest, range(len(found))))
    scores: dict[float, float] = {}
    for threshold in thresholds:
        recall = np.array([(forth < threshold).mean() for forth, _ in pairs])
        precision = np.array([(back < threshold).mean() for _, back in pairs])
        both = precision + recall
        each = np.where(both > 0, 2 * precision * recall / np.where(both > 0, both, 1.0), 0.0)
        scores[threshold] = float(each.mean()) if len(each) else float("nan")
    return scores


def _trapezoid(values: Points, at: Points) -> float:
    return float(((values[1:] + values[:-1]) * np.diff(at) / 2).sum())
