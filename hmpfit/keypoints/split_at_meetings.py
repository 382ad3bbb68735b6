"""Cut tracklets where two hands meet and the detections go from the one to the other.

Separate from `tracklets`, which links by place alone: where a hand is in front of another, the one detection that is
left may change hands within a frame, hardly moves, and is linked. The motion then tells. No pixels.
"""

from collections.abc import Sequence

import numpy as np

from hmpfit.keypoints.moving_cost import BREAK, break_cost
from hmpfit.keypoints.tracklets import Tracklet, distance, gather, sizes, velocity
from hmpfit.records import HandDetections

_STRAYS = 0.12  # hand diagonals off the way so far, from which a step is looked at
_MET_S = 0.7  # how long before or after the step the other hand is lost or found
_MET, _MET_PER_S = 1.0, 2.0  # how far from the step, hand diagonals: a box beside it, and what hands move until then


def split_at_meetings(detections: HandDetections, tracklets: Sequence[Tracklet]) -> list[Tracklet]:
    """Cut tracklets in two where motion breaks off beside another one that is just lost or will soon be found.

    Following and `assignment` then say what continues what; a tracklet whose halves have no rival is joined again.
    """
    out: list[Tracklet] = []
    for tracklet in tracklets:
        at = _breaks(detections, tracklet, [one for one in tracklets if one is not tracklet])
        out += [gather(detections, rows) for rows in np.split(tracklet.rows, at)]
    return sorted(out, key=lambda one: (one.frames[0], detections.xy_px[one.rows[0]].mean(), one.rows[0]))


def _breaks(detections: HandDetections, tracklet: Tracklet, others: Sequence[Tracklet]) -> list[int]:
    """Return where the rows of a tracklet are to be cut, in order; of several breaks at one meeting the worst."""
    costs: dict[int, float] = {}
    for at in range(2, len(tracklet.rows) - 1):
        if _strays(detections, tracklet, at) and _meets(detections, tracklet, at, others):
            parts = (gather(detections, rows) for rows in np.split(tracklet.rows, [at]))
            costs[at] = break_cost(detections, *parts)
    out: list[int] = []
    for at in sorted(costs, key=lambda at: (-costs[at], at)):
        apart_s = [abs(_time(detections, tracklet, at) - _time(detections, tracklet, other)) for other in out]
        if costs[at] > BREAK and min(apart_s, default=np.inf) > _MET_S:
            out.append(at)
    return sorted(out)


def _time(detections: HandDetections, tracklet: Tracklet, at: int) -> float:
    return float(detections.times_s[tracklet.frames[at]])


def _strays(detections: HandDetections, tracklet: Tracklet, at: int) -> bool:
    """Return whether a detection lies off the way of those before it."""
    near, row = tracklet.rows[max(at - 8, 0) : at], tracklet.rows[at]
    seen_s, xy = detections.times_s[detections.frame[near]], detections.xy_px
    gap = _time(detections, tracklet, at) - seen_s[-1]
    predicted = xy[near[-1]] + velocity(xy[near], seen_s, at_end=True) * gap
    return float(distance(predicted, xy[row])) > _STRAYS


def _meets(detections: HandDetections, tracklet: Tracklet, at: int, others: Sequence[Tracklet]) -> bool:
    """Return whether another hand, that votes do not set apart, is lost shortly before a step or found after it."""
    here_s, xy, row = _time(detections, tracklet, at), detections.xy_px, tracklet.rows[at]
    for other in others:
        if other.consistent and tracklet.consistent and other.right_log_odds * tracklet.right_log_odds < 0:
            continue
        for end, sign in ((other.rows[-1], 1), (other.rows[0], -1)):
            gap = sign * (here_s - float(detections.times_s[detections.frame[end]]))
            if 0 <= gap <= _MET_S:
                away = np.linalg.norm(xy[end].mean(axis=0) - xy[row].mean(axis=0)) / max(float(sizes(xy[row])), 1e-9)
                if away <= _MET + _MET_PER_S * gap:
                    return True
    return False
