"""Whose hand is it: every tracklet is given to the left hand, the right hand or nobody.

Separate from `tracklets`, which only follows what is certain, and from `tracking`, which turns the answer into tracks.
The least sum of four costs wins: a tracklet's handedness against the hand's side, how implausibly the hand would have
moved between its tracklets, sightings that are thrown away, and two sightings at once. The search goes through the
tracklets in time and keeps the best few hundred stories.
"""

from collections.abc import Sequence

import numpy as np

from hmpfit.keypoints.extend_tracklets import Trail
from hmpfit.keypoints.tracklets import Tracklet, distance, sizes, velocity
from hmpfit.records import HandDetections

LEFT, RIGHT, NOBODY = 0, 1, -1

# Costs are in units of log-odds.
_SIDE_FRAMES = 6  # a tracklet's votes are not independent: they count as at most this many
_SIDE_LIMIT = 5.0
_FRESH = 12.0  # a hand that appears for the first time: more than any handedness vote
_JUMP = 6.0  # a hand that was seen before, somewhere else altogether
_ARRIVED_BOTH_WAYS, _ARRIVED, _ARRIVED_AFTER_A_GAP = 0.0, 1.0, 4.0
_SPREAD, _SPREAD_PER_S = 0.12, 1.0  # expected distance from the prediction, in hand diagonals
_SIZE_SPREAD, _SIZE_SPREAD_PER_S = 0.1, 0.5  # of the logarithm of the size
_THROWN_AWAY = 1.5  # per frame, times score
_COAST_S = 0.1  # how long a vanished hand is thought to move on
_STORIES = 400


def assign(detections: HandDetections, pieces: Sequence[Tracklet], trails: Sequence[Trail] = ()) -> list[int]:
    """Give every tracklet to LEFT, RIGHT or NOBODY: the cheapest story found. Tracklets are ordered by first frame."""
    start: tuple[int, int] = (-1, -1)
    back: list[dict[tuple[int, int], tuple[tuple[int, int], int]]] = []
    costs = {start: 0.0}
    moves: dict[tuple[int, int], float] = {}

    arrivals = _arrivals(trails)
    # In a short clip no hand has enough frames to pay the full price; the best seen one must always be worth keeping.
    fresh = min(_FRESH, 0.5 * _THROWN_AWAY * max((piece.weight for piece in pieces), default=0.0))
    jump = min(_JUMP, fresh / 2)

    def moving(before: int, after: int) -> float:
        if before < 0:
            return fresh
        if (before, after) not in moves:
            seen = arrivals.get((before, after), jump)
            moves[before, after] = min(seen, jump, _moving_cost(detections, pieces[before], pieces[after]))
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
    """Return how implausible it is that a hand moves from one tracklet to the other."""
    times, xy = detections.times_s, detections.xy_px
    earlier = before.rows[before.frames < after.frames[0]]
    if len(earlier) == 0:
        return float(np.inf)
    first = after.rows[0]
    gap = float(times[after.frames[0]] - times[detections.frame[earlier[-1]]])
    recent, soon = earlier[-8:], after.rows[:8]
    coast = min(gap, _COAST_S) / 2
    forward = velocity(xy[recent], times[detections.frame[recent]], at_end=True) * coast
    backward = velocity(xy[soon], times[detections.frame[soon]], at_end=False) * coast
    apart = float(distance(xy[earlier[-1]] + forward, xy[first] - backward)) / (_SPREAD + _SPREAD_PER_S * gap)
    ratio = float(np.log(sizes(xy[first]) / sizes(xy[earlier[-1]]))) / (_SIZE_SPREAD + _SIZE_SPREAD_PER_S * gap)
    return 0.5 * (apart**2 + ratio**2)


def _doubled(before: Tracklet, after: Tracklet) -> float:
    """Return how many frames would have two sightings of one hand."""
    return float(len(np.intersect1d(before.frames, after.frames)))


def _arrivals(trails: Sequence[Trail]) -> dict[tuple[int, int], float]:
    """Return the cost of going from one tracklet to another that its trail reached (or the other way round)."""
    ways: dict[tuple[int, int], list[bool]] = {}
    for trail in trails:
        if trail.arrived is not None:
            pair = (trail.tracklet, trail.arrived) if trail.onward else (trail.arrived, trail.tracklet)
            ways.setdefault(pair, []).append(trail.unbroken)
    return {
        pair: (_ARRIVED_AFTER_A_GAP, _ARRIVED, _ARRIVED_BOTH_WAYS)[min(sum(unbroken), 2)]
        for pair, unbroken in ways.items()
    }
