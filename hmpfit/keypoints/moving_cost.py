"""How implausible it is that a hand moves from one tracklet to another: place, size, velocity, color.

Separate from `assignment`, which weighs it against votes; also asked where tracklets are cut and merged. No pixels.
"""

import numpy as np

from hmpfit.keypoints.appearance import difference
from hmpfit.keypoints.tracklets import Tracklet, distance, sizes, velocity
from hmpfit.records import HandDetections

# Costs are in units of log-odds.
_SPREAD, _SPREAD_PER_S = 0.12, 1.0  # expected distance from the prediction, in hand diagonals
_SIZE_SPREAD, _SIZE_SPREAD_PER_S = 0.1, 0.5  # of the logarithm of the size
_SPEED_STD = 0.5  # of a measured velocity, diagonals per second
_SPEED = 2.0  # of hands in general, diagonals per second
_COLOR_SPREAD, _MOST_COLOR = 5.0, 3.0  # of a hand's color over a gap, in Lab; how many of them count at most
_COAST_S = 0.3  # time constant with which a vanished hand forgets its velocity
_VOTES = 6  # a tracklet's votes are not independent: they count as at most this many
BREAK = 8.0  # from which one hand does not go on like that: it costs 6 to come back somewhere else altogether


def break_cost(detections: HandDetections, before: Tracklet, after: Tracklet) -> float:
    """Return how implausible it is that two tracklets are one hand: its motion, and votes against its one side."""
    votes = [one.right_log_odds * min(len(one.rows), _VOTES) for one in (before, after)]
    against = min(abs(vote) for vote in votes) if votes[0] * votes[1] < 0 else 0.0
    return moving_cost(detections, before, after) + against


def moving_cost(detections: HandDetections, before: Tracklet, after: Tracklet) -> float:
    """Return how implausible it is that a hand moves from one tracklet to the other: place, size and velocity.

    Minus the logarithm of a normal density in the plane, 0 at best: half the squared distances, each by its spread over
    the gap, and the place's spread itself, so that a hand may be anywhere after a long gap at a price. Velocities decay
    with a time constant (an Ornstein-Uhlenbeck process), forward from the one and backward from the other to the middle
    of the gap.
    """
    times, xy = detections.times_s, detections.xy_px
    earlier = before.rows[before.frames < after.frames[0]]
    if len(earlier) == 0:
        return float(np.inf)
    first = after.rows[0]
    gap = float(times[after.frames[0]] - times[detections.frame[earlier[-1]]])
    recent, soon = earlier[-8:], after.rows[:8]
    coast = _COAST_S * (1 - np.exp(-gap / 2 / _COAST_S))
    forward = velocity(xy[recent], times[detections.frame[recent]], at_end=True)
    backward = velocity(xy[soon], times[detections.frame[soon]], at_end=False)
    size = float(sizes(xy[earlier[-1]]) + sizes(xy[first])) / 2
    wider = 1 + _SPREAD_PER_S / _SPREAD * gap
    apart = float(distance(xy[earlier[-1]] + forward * coast, xy[first] - backward * coast)) / (_SPREAD * wider)
    ratio = float(np.log(sizes(xy[first]) / sizes(xy[earlier[-1]]))) / (_SIZE_SPREAD + _SIZE_SPREAD_PER_S * gap)
    change = 0.0
    if detections.color is not None:
        change = min(difference(detections.color[recent], detections.color[soon]) / _COLOR_SPREAD, _MOST_COLOR) ** 2
    if min(len(recent), len(soon)) > 1:
        spread = 2 * _SPEED_STD**2 + 2 * _SPEED**2 * (1 - np.exp(-gap / _COAST_S))
        change += float(((forward - backward) ** 2).sum()) / max(size, 1e-9) ** 2 / float(spread)
    return 0.5 * (apart**2 + ratio**2 + change) + 2 * float(np.log(wider))
