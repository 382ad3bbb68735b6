"""Assign tracklets to hands: a minimum-cost assignment to any number of right and left hands.

Separate from `tracklets`, which only follows what is certain, and from `tracking`, which turns the answer into tracks.
A minimum-cost flow over time: hands start, move from tracklet to tracklet, or vanish and come back elsewhere. The sum
of costs is least: votes against a hand's side, implausible motion, sightings left out, and hands that start.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hmpfit.keypoints.extend_tracklets import TrackletExtension
from hmpfit.keypoints.merge_tracklets import contested
from hmpfit.keypoints.minimum_cost_paths import PathEdge, PathNode, PathPiece, minimum_cost_paths
from hmpfit.keypoints.moving_cost import moving_cost
from hmpfit.keypoints.tracklets import Tracklet
from hmpfit.records import Floats, HandDetections

RIGHT, LEFT = 0, 1  # sides of the flow

# Costs are in units of log-odds.
_SIDE_FRAMES = 6  # a tracklet's votes are not independent: they count as at most this many
_NEW_HAND = 12.0
_JUMP = 6.0  # a hand that was seen before, somewhere else altogether
_ARRIVED_BOTH_WAYS, _ARRIVED, _ARRIVED_AFTER_A_GAP = 0.0, 1.0, 4.0
_LEFT_OUT = 1.5  # per thirtieth of a second, times score
_MOST_INDEPENDENT = 3.0  # thirtieths that a frame of a slow video counts as
_COUNTED_WEIGHT, _TOGETHER_FRAMES = 3.0, 5  # of tracklets, and for how long, to count as hands at once
_UNPAIRED = 6.0  # each hand of a side beyond half of all: people have one right and one left hand
_NEXT = 24  # tracklets that are considered as a tracklet's continuation, in order of their start
_MOST_DOUBLED = 15  # frames that two tracklets of one hand may share


@dataclass(frozen=True)
class Hand:
    """One hand: its tracklets in order of time, and its side by their votes."""

    tracklets: tuple[int, ...]
    is_right: bool


def assign(
    detections: HandDetections,
    tracklets: Sequence[Tracklet],
    extensions: Sequence[TrackletExtension] = (),
    most: int | None = None,
) -> list[Hand]:
    """Sort tracklets, ordered by first frame, into hands, at most `most`; a tracklet may belong to none.

    A tracklet whose vote is consistent never joins a hand of the other side.
    """
    if not tracklets:
        return []
    left_out = _LEFT_OUT * _independence(detections.times_s)
    # In a short clip no hand has enough frames to pay the full price; the best seen one must always be worth keeping.
    start = min(_NEW_HAND, 0.5 * left_out * max(tracklet.weight for tracklet in tracklets))
    jump, unpaired = min(_JUMP, start / 2), min(_UNPAIRED, start / 2)
    stretches = [
        PathNode(int(tracklet.frames[0]), int(tracklet.frames[-1]), left_out * tracklet.weight, side_costs(tracklet))
        for tracklet in tracklets
    ]
    most = min(_most_hands(tracklets), len(tracklets) if most is None else most)
    moves = _moves(detections, tracklets, extensions, jump, left_out)
    parts = minimum_cost_paths(stretches, moves, start, jump, most, unpaired)
    return _hands(detections, tracklets, parts)


def _independence(times_s: Floats) -> float:
    """Return how many thirtieths of a second of evidence a frame is: few for fast videos, more for slow ones."""
    step_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 1 / 30
    return min(30 * step_s, _MOST_INDEPENDENT)


def _most_hands(tracklets: Sequence[Tracklet]) -> int:
    """Return how many hands there are at most: those that are there at once, or one of each side that is sure.

    Hands whose votes are mixed, as those that hold cups, would else be explained by ever more hands in turn.
    """
    least = min(_COUNTED_WEIGHT, 0.3 * max(one.weight for one in tracklets))  # in photos there is no time
    spans = [np.arange(one.frames[0], one.frames[-1] + 1) for one in tracklets if one.weight >= least]
    _, count = np.unique(np.concatenate(spans), return_counts=True)
    together = min(_TOGETHER_FRAMES, -(-len(count) // 2))
    counts = [number for number in range(1, int(count.max()) + 1) if (count >= number).sum() >= together]
    sides = {one.right_log_odds > 0 for one in tracklets if one.consistent}
    return max([1, len(sides), *counts])


def side_costs(tracklet: Tracklet) -> tuple[float, float]:
    """Return what it costs to take a tracklet for a right and for a left hand; infinite against a consistent vote."""
    vote = tracklet.right_log_odds * min(len(tracklet.rows), _SIDE_FRAMES)
    against = np.inf if tracklet.consistent else abs(vote)
    return (float(against), 0.0) if vote < 0 else (0.0, float(against))


def _moves(
    detections: HandDetections,
    tracklets: Sequence[Tracklet],
    extensions: Sequence[TrackletExtension],
    jump: float,
    left_out: float,
) -> list[PathEdge]:
    """Return the ways a hand may go from one tracklet to a later one, cheaper than a jump."""
    arrivals, doubtful = _arrivals(extensions), contested(detections, tracklets, extensions)
    edges = []
    for n, before in enumerate(tracklets):
        for m in range(n + 1, min(n + 1 + _NEXT, len(tracklets))):
            after = tracklets[m]
            if after.frames[0] <= before.frames[0] or after.frames[-1] <= before.frames[-1]:
                continue
            doubled = len(np.intersect1d(before.frames, after.frames))
            if doubled > min(_MOST_DOUBLED, len(after.frames) / 2, len(before.frames) / 2):
                continue
            moving, arrival = moving_cost(detections, before, after), arrivals.get((n, m), np.inf)
            cost = moving + arrival if (n, m) in doubtful else min(moving, arrival)
            cost += left_out * doubled
            if cost < jump:
                edges.append(PathEdge(n, m, cost))
    return edges


def _arrivals(extensions: Sequence[TrackletExtension]) -> dict[tuple[int, int], float]:
    """Return the cost of going from one tracklet to another that its extension reached (or the other way round)."""
    ways: dict[tuple[int, int], list[bool]] = {}
    for extension in extensions:
        if extension.arrived is not None:
            pair = (
                (extension.tracklet, extension.arrived) if extension.onward else (extension.arrived, extension.tracklet)
            )
            ways.setdefault(pair, []).append(extension.unbroken)
    return {
        pair: (_ARRIVED_AFTER_A_GAP, _ARRIVED, _ARRIVED_BOTH_WAYS)[min(sum(unbroken), 2)]
        for pair, unbroken in ways.items()
    }


def _hands(detections: HandDetections, tracklets: Sequence[Tracklet], parts: Sequence[PathPiece]) -> list[Hand]:
    """Join parts to hands, ordered by first frame: a part after a jump continues the likeliest hand that had vanished.

    The flow says how many hands there are; which of several vanished ones comes back is decided here, by motion.
    """
    hands: list[Hand] = []
    for part in parts:
        first = tracklets[part.stretches[0]]
        vanished = [
            n
            for n, hand in enumerate(hands)
            if hand.is_right == (part.side == RIGHT) and tracklets[hand.tracklets[-1]].frames[-1] < first.frames[0]
        ]
        if part.starts or not vanished:
            hands.append(Hand(part.stretches, part.side == RIGHT))
            continue
        n = min(vanished, key=lambda n: moving_cost(detections, tracklets[hands[n].tracklets[-1]], first))
        hands[n] = Hand((*hands[n].tracklets, *part.stretches), hands[n].is_right)
    return hands
