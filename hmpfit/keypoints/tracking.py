"""Whose hand is it: tracklets become at most one left and one right hand, by evidence from the whole clip.

Separate from `tracklets`, which only follows what is certain. Pure numpy, no pixels. Every tracklet is given to the
left hand, the right hand or nobody, so that the sum of four costs is least: its handedness against the hand's side,
how implausibly the hand would have moved between its tracklets, sightings that are thrown away, and two sightings at
once. The search goes through the tracklets in time and keeps the best few hundred stories.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError, NoHandError, UnknownNameError
from hmpfit.keypoints.tracklets import Tracklet, distance, link, sizes, velocity
from hmpfit.records import Bools, Floats, HandDetections

HANDS = ("auto", "left", "right", "both")

# Costs are in units of log-odds; see the module's docstring.
_SIDE_FRAMES = 6  # a tracklet's votes are not independent: they count as at most this many
_SIDE_LIMIT = 8.0
_FRESH = 12.0  # a hand that appears anew or jumps: more than any handedness vote
_SPREAD, _SPREAD_PER_S = 0.12, 1.0  # expected distance from the prediction, in hand diagonals
_SIZE_SPREAD, _SIZE_SPREAD_PER_S = 0.1, 0.5  # of the logarithm of the size
_THROWN_AWAY = 1.5  # per frame, times score
_COAST_S = 0.1  # how long a vanished hand is thought to move on
_STORIES = 400
_LEAST_FRAMES, _LEAST_SHARE = 5, 0.05  # a second hand seen less than this is spurious


@dataclass(frozen=True)
class HandTracks:
    """Detections by hand: the hands' landmarks where they were seen."""

    xy_px: Floats  # [H, T, 21, 2], NaN where unseen
    seen: Bools  # [H, T]
    is_right: Bools  # [H]
    right_log_odds: Floats  # [H] the vote: mean over the track, positive for a right hand
    times_s: Floats  # [T]


def track(detections: HandDetections, hands: str = "auto") -> HandTracks:
    """Follow at most one left and one right hand through the clip; most seen first.

    `hands`: "auto" and "both" follow what is there (a rarely seen second hand is spurious to "auto"); "left" and
    "right" keep one hand, and trust the user about its side when only one is found. Raises NoHandError and
    UnknownNameError.
    """
    if hands not in HANDS:
        raise UnknownNameError("choice of hands", hands, HANDS)
    if len(detections.frame) == 0:
        raise NoHandError(
            "No hand was found in any frame; check that the video shows a hand that is large and sharp enough, "
            "and that --frames and --hide-keypoints leave some of it."
        )
    pieces = link(detections)
    sides = _assign(detections, pieces)
    frames = len(detections.times_s)
    rows = {right: _rows_by_frame(detections, pieces, sides, side, frames) for right, side in ((True, 1), (False, 0))}
    counts = {right: int((r >= 0).sum()) for right, r in rows.items()}
    order = sorted(rows, key=lambda right: (-counts[right], not right))
    least = 1 if hands == "both" else min(_LEAST_FRAMES, counts[order[0]])
    if hands == "auto":
        least = max(least, _LEAST_SHARE * counts[order[0]])
    kept = [right for right in order if counts[right] >= least]
    labels = np.array(kept)
    if hands in ("left", "right"):
        wanted = hands == "right"
        kept = [wanted] if wanted in kept else kept[:1]
        labels = np.array([wanted])
    if not kept:
        raise InputError("No hand was followed.")
    table = np.stack([rows[right] for right in kept])
    seen = table >= 0
    odds = [np.mean(_odds(detections, table[h][seen[h]])) for h in range(len(kept))]
    xy = np.where(seen[..., None, None], detections.xy_px[table], np.nan)
    return HandTracks(xy, seen, labels, np.array(odds), detections.times_s)


def _odds(detections: HandDetections, rows: NDArray[np.int64]) -> Floats:
    from hmpfit.keypoints.tracklets import log_odds

    return log_odds(detections.right_probability[rows])


def _assign(detections: HandDetections, pieces: list[Tracklet]) -> list[int]:
    """Give every tracklet to the left (0), the right (1) or nobody (-1): the cheapest story found."""
    start: tuple[int, int] = (-1, -1)
    stories: dict[tuple[int, int], tuple[float, tuple[int, ...] | None]] = {start: (0.0, None)}
    back: list[dict[tuple[int, int], tuple[tuple[int, int], int]]] = []
    costs = {start: 0.0}
    moves: dict[tuple[int, int], float] = {}

    def moving(before: int, after: int) -> float:
        if (before, after) not in moves:
            moves[before, after] = _moving_cost(detections, pieces[before], pieces[after]) if before >= 0 else _FRESH
        return moves[before, after]

    for n, piece in enumerate(pieces):
        vote = float(np.clip(piece.right_log_odds * min(len(piece.rows), _SIDE_FRAMES), -_SIDE_LIMIT, _SIDE_LIMIT))
        unlikely = (max(vote, 0.0), max(-vote, 0.0))
        grown: dict[tuple[int, int], float] = {}
        came_from: dict[tuple[int, int], tuple[tuple[int, int], int]] = {}

        def offer(state: tuple[int, int], cost: float, origin: tuple[int, int], side: int) -> None:
            if cost < grown.get(state, np.inf):  # noqa: B023 (used within the iteration)
                grown[state] = cost  # noqa: B023
                came_from[state] = origin, side  # noqa: B023

        for state, cost in costs.items():
            offer(state, cost + _THROWN_AWAY * piece.weight, state, -1)
            for side in (1, 0):
                last = state[side]
                price = cost + unlikely[side] + moving(last, n)
                if last >= 0 and pieces[last].frames[-1] >= piece.frames[0]:
                    price += _THROWN_AWAY * _doubled(pieces[last], piece)
                    ends_last = n if piece.frames[-1] >= pieces[last].frames[-1] else last
                else:
                    ends_last = n
                after = (ends_last, state[1]) if side == 0 else (state[0], ends_last)
                offer(after, price, state, side)
        best = sorted(grown, key=lambda state: (grown[state], state))[:_STORIES]
        costs = {state: grown[state] for state in best}
        back.append({state: came_from[state] for state in best})
    state = min(costs, key=lambda s: (costs[s], s))
    sides: list[int] = []
    for step in reversed(back):
        state, side = step[state]
        sides.append(side)
    return sides[::-1]


def _moving_cost(detections: HandDetections, before: Tracklet, after: Tracklet) -> float:
    """Return how implausible it is that a hand moves from one tracklet to the other; never more than a fresh start."""
    times, xy = detections.times_s, detections.xy_px
    earlier = before.rows[before.frames < after.frames[0]]
    if len(earlier) == 0:
        return _FRESH
    first = after.rows[0]
    gap = float(times[after.frames[0]] - times[detections.frame[earlier[-1]]])
    recent, soon = earlier[-8:], after.rows[:8]
    coast = min(gap, _COAST_S) / 2
    forward = velocity(xy[recent], times[detections.frame[recent]], at_end=True) * coast
    backward = velocity(xy[soon], times[detections.frame[soon]], at_end=False) * coast
    apart = float(distance(xy[earlier[-1]] + forward, xy[first] - backward)) / (_SPREAD + _SPREAD_PER_S * gap)
    ratio = float(np.log(sizes(xy[first]) / sizes(xy[earlier[-1]]))) / (_SIZE_SPREAD + _SIZE_SPREAD_PER_S * gap)
    return min(0.5 * (apart**2 + ratio**2), _FRESH)


def _doubled(before: Tracklet, after: Tracklet) -> float:
    """Return how many frames would have two sightings of one hand."""
    return float(len(np.intersect1d(before.frames, after.frames)))


def _rows_by_frame(
    detections: HandDetections, pieces: list[Tracklet], sides: list[int], side: int, frames: int
) -> NDArray[np.int64]:
    """Return each frame's detection of one hand, -1 where there is none; of two sightings the more certain."""
    rows = np.full(frames, -1, dtype=np.int64)
    for piece, given in zip(pieces, sides, strict=True):
        if given != side:
            continue
        for frame, row in zip(piece.frames, piece.rows, strict=True):
            if rows[frame] < 0 or detections.score[row] > detections.score[rows[frame]]:
                rows[frame] = row
    return rows
