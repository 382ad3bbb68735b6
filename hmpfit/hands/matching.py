"""Match hands of two sources: hands of one side, by how near they are over time.

Separate from tracking, which follows hands within one source. It works on pixels and on meters alike.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hmpfit.records import Bools, Floats, Ids

_NEVER_TOGETHER = 10.0  # hand sizes: hands without a common frame are matched last, by their side alone
_OTHER_SIDE = 1e6


def match_hands(points: Floats, is_right: Bools, own_points: Floats, own_is_right: Bools) -> Ids:
    """Return for each of H own hands the row of the same hand among `points`, -1 for none; every row is given once.

    Points [G, T, K, D] and [H, T, K, D] are in the same unit and order, NaN where unknown. Of a side with one hand in
    both sources these two are the same however far apart; among more, the sum of median distances is least, in units of
    the own hands' sizes.
    """
    cost = np.full((len(own_points), len(points)), _OTHER_SIDE)
    for row, column in zip(*np.nonzero(own_is_right[:, None] == is_right[None]), strict=True):
        cost[row, column] = _distance(own_points[row], points[column])
    out = np.full(len(own_points), -1, dtype=np.int64)
    for row, column in zip(*linear_sum_assignment(cost), strict=True):
        if cost[row, column] < _OTHER_SIDE:
            out[row] = column
    return out


def pick_hands(values: Floats, rows: NDArray[np.int64]) -> Floats:
    """Return values [G, ...] by rows [H], NaN where a row is -1."""
    picked = np.full((len(rows), *values.shape[1:]), np.nan)
    picked[rows >= 0] = values[rows[rows >= 0]]
    return picked


def _distance(own: Floats, other: Floats) -> float:
    apart = np.linalg.norm(own - other, axis=-1)
    known = np.isfinite(apart)
    frames = known.any(-1)
    if not frames.any():
        return _NEVER_TOGETHER
    both = own[frames]
    size = np.linalg.norm(np.fmax.reduce(both, axis=1) - np.fmin.reduce(both, axis=1), axis=-1)
    means = np.where(known, apart, 0.0)[frames].sum(-1) / known[frames].sum(-1)
    return float(np.median(means / np.maximum(size, 1e-9)).clip(max=2 * _NEVER_TOGETHER))
