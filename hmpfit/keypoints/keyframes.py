"""Choose the frames for the palm detector: a few every second, and more only where those disagree.

Separate from detection because no pixels are needed to decide. The palm network costs more than the landmarks of a
hand; between two looks a fifth of a second apart that show the same hands near the same places it tells nothing new.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from hmpfit.keypoints.networks import Landmarks
from hmpfit.keypoints.tracklets import distance, log_odds
from hmpfit.records import Bools, Floats

Seen = tuple[Landmarks, Floats]  # the hands of a frame and their scores

EVERY_S = 0.2
CLOSE_S = 0.1  # where two key frames disagree, frames so far apart are looked at, and where those disagree, all
_SAME = 0.25  # mean landmark distance, in hand boxes' diagonals, up to which two detections show one hand
_AMBIGUOUS = 2.0  # any other hand must be this many times farther
_LEAST_SCORE = 0.6
_SLACK_S = 1e-4


def key_frames(wanted: Bools, times_s: Floats, every_s: float = EVERY_S) -> Bools:
    """Choose frames [T] of the wanted ones at most `every_s` apart, with both ends of every unbroken stretch."""
    keys = np.zeros(len(wanted), dtype=bool)
    last = -1
    for frame in np.flatnonzero(wanted):
        first = frame == 0 or not wanted[frame - 1]
        final = frame + 1 == len(wanted) or not wanted[frame + 1]
        too_far = not final and times_s[frame + 1] - times_s[last] > every_s + _SLACK_S
        if first or final or too_far:
            keys[frame], last = True, int(frame)
    return keys


def unsure(a: int, b: int, wanted: Bools, seen: Mapping[int, Seen]) -> bool:
    """Return whether wanted frames [T] lie between two that do not show the same hands: they need their own look."""
    return bool(b > a + 1 and wanted[a:b].all() and _partners(seen[a], seen[b]) is None)


def halved(a: int, b: int, times_s: Floats, unsure: Callable[[int, int], bool]) -> list[int]:
    """Return the frames to look at between `a` and `b`: none, the middle one, or, of frames close in time, all."""
    if b <= a + 1 or not unsure(a, b):
        return []
    return [(a + b) // 2] if times_s[b] - times_s[a] > CLOSE_S + _SLACK_S else list(range(a + 1, b))


def longest_gap(keys: Bools) -> int:
    """Return the most frames between two consecutive key frames [T], with the second."""
    return int(np.diff(np.flatnonzero(keys)).max(initial=0))


def between(wanted: Bools, times_s: Floats, seen: Mapping[int, Seen]) -> dict[int, Seen]:
    """Return hands for the wanted frames that were not processed: on straight lines between those that were."""
    out: dict[int, Seen] = {}
    for a, b in pairwise(sorted(seen)):
        if b == a + 1 or not wanted[a:b].all():
            continue
        order = _partners(seen[a], seen[b])
        assert order is not None
        for frame in range(a + 1, b):
            share = float((times_s[frame] - times_s[a]) / (times_s[b] - times_s[a]))
            out[frame] = _mixed(seen[a], seen[b], order, share)
    return out


def _partners(a: Seen, b: Seen) -> Floats | None:
    """Return for each hand of `a` its row in `b`, or None when it is not plain that they are the same hands."""
    (before, score_a), (after, score_b) = a, b
    count = len(score_a)
    if count == 0 or len(score_b) != count or min(score_a.min(), score_b.min()) < _LEAST_SCORE:
        return None
    apart = distance(before.xy_px[:, None], after.xy_px[None])
    rows, columns = linear_sum_assignment(apart)
    own = apart[rows, columns]
    others = apart.copy()
    others[rows, columns] = np.inf
    if own.max() > _SAME or (np.minimum(others.min(0)[columns], others.min(1)) < _AMBIGUOUS * own).any():
        return None
    same_side = (before.right > 0.5) == (after.right[columns] > 0.5)
    return np.asarray(columns) if same_side.all() else None


def _mixed(a: Seen, b: Seen, order: Floats, share: float) -> Seen:
    (before, score_a), (after, score_b) = a, b

    def mix(x: Floats, y: Floats) -> Floats:
        return np.asarray((1 - share) * x + share * y[order])

    odds = mix(log_odds(before.right), log_odds(after.right))
    hands = Landmarks(
        mix(before.xy_px, after.xy_px),
        mix(before.world_m, after.world_m),
        mix(before.presence, after.presence),
        1 / (1 + np.exp(-odds)),
    )
    return hands, mix(score_a, score_b)
