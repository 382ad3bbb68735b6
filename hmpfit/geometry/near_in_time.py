"""What lies near a moment: how far the nearest of some moments is, means of values around it, and gaps between.

Separate from what asks, so that nobody compares all moments with all: that takes the square of a clip's length.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SAME_S = 1e-9  # moments closer than this are one


def seconds_to_nearest(times_s: Floats, asked_s: Floats) -> Floats:
    """Return how far, in seconds, each of asked_s [T] is from the nearest of times_s [N], N > 0, both in order."""
    return np.asarray(np.abs(times_s[nearest(times_s, asked_s)] - asked_s))


def nearest(times_s: Floats, asked_s: Floats) -> NDArray[np.int64]:
    """Return which of times_s [N], N > 0, is nearest to each of asked_s [T], both in order; of two the earlier."""
    after = np.searchsorted(times_s, asked_s).clip(0, len(times_s) - 1)
    before = (after - 1).clip(0)
    nearer = np.abs(times_s[after] - asked_s) < np.abs(asked_s - times_s[before])
    return np.asarray(np.where(nearer, after, before))


def mean_around(values: Floats, times_s: Floats, asked_s: Floats, over_s: float) -> Floats:
    """Return the means [..., T] of values [..., N] at times_s [N] that lie within over_s of asked_s [T], both in order.

    Around a moment that has none so near it is the nearest one, or two that are as near; N > 0.
    """
    reach = np.maximum(over_s, seconds_to_nearest(times_s, asked_s)) + _SAME_S
    sums = np.concatenate((np.zeros_like(values[..., :1]), values.cumsum(-1)), axis=-1)
    first = np.searchsorted(times_s, asked_s - reach)
    last = np.searchsorted(times_s, asked_s + reach, side="right")
    return np.asarray((sums[..., last] - sums[..., first]) / (last - first))


def gaps(known: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield the half-open stretches of unknown frames [T] that have a known frame on either side."""
    for before, after in pairwise(np.flatnonzero(known).tolist()):
        if after - before > 1:
            yield before + 1, after


def short_gaps(known: NDArray[np.bool_], times_s: Floats, longest_s: float) -> Iterator[tuple[int, int]]:
    """Yield those of the `gaps` whose unknown frames last at most `longest_s`, from the first to the last."""
    for start, stop in gaps(known):
        if times_s[stop - 1] - times_s[start] <= longest_s:
            yield start, stop
