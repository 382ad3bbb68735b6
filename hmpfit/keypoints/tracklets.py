"""Link detections of neighboring frames into tracklets: stretches in which one hand surely moves on.

Separate from `tracking`, which decides whose hand a tracklet is. Pure numpy, no pixels. A tracklet ends where a hand
disappears, jumps, or comes so close to another that following it would be a guess.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hmpfit.records import Floats, HandDetections

# Distances are mean landmark distances in units of the hand box's diagonal (about 20 cm).
_REACH = 0.25  # how far from its prediction a hand is still surely the same in the next frame
_REACH_PER_S = 1.5  # how much farther per second without sight
LONGEST_GAP_S = 0.2
_AMBIGUOUS = 2.0  # the second-best partner must be this many times farther than the best
_VELOCITY_MEMORY_S = 0.1
_LOG_ODDS_LIMIT = 3.0  # one frame's word about the side counts at most this much
_JUMPS = 0.08  # hand diagonals from one detection to the next where one hand takes another's place
_STRAYS = 0.15  # hand diagonals off a tracklet's way where its last detections are another hand's
_MET = 0.5  # hand diagonals from those to what is found soon after, where hands meet
_CONSISTENT_FRAMES, _CLEAR_ODDS, _AGREEMENT = 8, 1.0, 0.85  # a vote that is never outbid
_SURE_SCORE = 0.7  # mean score, below which the detector hardly knows the hand, and misnames its side for seconds


@dataclass(frozen=True)
class Tracklet:
    """Detections (indices into HandDetections) of one hand, by frame, and their votes on its side."""

    rows: NDArray[np.int64]  # [n]
    frames: NDArray[np.int64]  # [n]
    right_log_odds: float  # mean over the tracklet, positive for a right hand
    weight: float  # sum of scores
    agreement: float = 0.0  # share of the detections, by score, that vote for that side

    @property
    def consistent(self) -> bool:
        """Whether nearly all of enough detections say the same side clearly, and the detector is sure of the hand."""
        enough = len(self.rows) >= _CONSISTENT_FRAMES and self.weight >= _SURE_SCORE * len(self.rows)
        return enough and abs(self.right_log_odds) >= _CLEAR_ODDS and self.agreement >= _AGREEMENT


def sizes(xy_px: Floats) -> Floats:
    """Return the diagonal of the box around landmarks [..., 21, 2], pixels."""
    return np.asarray(np.linalg.norm(np.ptp(xy_px, axis=-2), axis=-1))


def distance(a: Floats, b: Floats) -> Floats:
    """Return the mean landmark distance of hands [..., 21, 2] in units of their mean size (broadcasts)."""
    apart = np.linalg.norm(a - b, axis=-1).mean(axis=-1)
    return np.asarray(apart / np.maximum((sizes(a) + sizes(b)) / 2, 1e-9))


def log_odds(right_probability: Floats) -> Floats:
    """Return limited log-odds of being a right hand."""
    p = np.clip(right_probability, 1e-6, 1 - 1e-6)
    return np.clip(np.log(p) - np.log1p(-p), -_LOG_ODDS_LIMIT, _LOG_ODDS_LIMIT)


def velocity(xy_px: Floats, times_s: Floats, at_end: bool) -> Floats:
    """Return the hand's recent translation velocity [2] in pixels per second at the end or the start of n sightings."""
    order = slice(None, None, -1 if at_end else 1)
    near_xy, near_t = xy_px[order].mean(axis=1), times_s[order]
    past = np.flatnonzero(np.abs(near_t - near_t[0]) <= _VELOCITY_MEMORY_S + 1e-9)[-1]
    if past == 0 and len(near_t) > 1 and abs(near_t[1] - near_t[0]) <= LONGEST_GAP_S:
        past = 1
    return np.zeros(2) if past == 0 else (near_xy[0] - near_xy[past]) / (near_t[0] - near_t[past])


def link(detections: HandDetections) -> list[Tracklet]:
    """Link detections into tracklets, ordered by their first frame."""
    open_rows: list[list[int]] = []
    closed: list[list[int]] = []
    times, frame_of, xy = detections.times_s, detections.frame, detections.xy_px
    for frame in np.unique(frame_of):
        now = np.flatnonzero(frame_of == frame)
        closed += [rows for rows in open_rows if times[frame] - times[frame_of[rows[-1]]] > LONGEST_GAP_S]
        open_rows = [rows for rows in open_rows if times[frame] - times[frame_of[rows[-1]]] <= LONGEST_GAP_S]
        pairs, ambiguous = _match(detections, open_rows, now)
        closed += [open_rows[k] for k in ambiguous]
        for k, n in pairs.items():
            open_rows[k].append(int(now[n]))
        taken = set(pairs.values())
        open_rows = [rows for k, rows in enumerate(open_rows) if k not in ambiguous]
        open_rows += [[int(row)] for n, row in enumerate(now) if n not in taken]
    made = [gather(detections, np.array(rows)) for rows in closed + open_rows]
    return sorted(made, key=lambda piece: (piece.frames[0], xy[piece.rows[0]].mean(), piece.rows[0]))


def _match(
    detections: HandDetections, open_rows: list[list[int]], now: NDArray[np.int64]
) -> tuple[dict[int, int], set[int]]:
    """Pair open tracklets with detections; also name the tracklets that several detections could continue."""
    if not open_rows:
        return {}, set()
    times, xy = detections.times_s, detections.xy_px
    cost = np.full((len(open_rows), len(now)), np.inf)
    reach = np.zeros(len(open_rows))
    for k, rows in enumerate(open_rows):
        recent = np.array(rows[-8:])
        seen_s = times[detections.frame[recent]]
        gap = times[detections.frame[now[0]]] - seen_s[-1]
        predicted = xy[recent[-1]] + velocity(xy[recent], seen_s, at_end=True) * gap
        cost[k] = distance(predicted, xy[now])
        reach[k] = _REACH + _REACH_PER_S * gap
    possible = cost <= reach[:, None]
    chosen = zip(*linear_sum_assignment(np.where(possible, cost, 1e3)), strict=True)
    pairs = {int(k): int(n) for k, n in chosen if possible[k, n]}
    ambiguous = set()
    for k, n in pairs.items():
        rivals = [cost[k, m] for m in range(len(now)) if m != n] + [cost[j, n] for j in range(len(open_rows)) if j != k]
        if any(rival <= reach[k] and rival < _AMBIGUOUS * cost[k, n] for rival in rivals):
            ambiguous.add(k)
    return {k: n for k, n in pairs.items() if k not in ambiguous}, ambiguous


def gather(detections: HandDetections, rows: NDArray[np.int64]) -> Tracklet:
    """Make a tracklet of detections, one a frame, in the order of time."""
    score = detections.score[rows]
    odds, weights = log_odds(detections.right_probability[rows]), np.maximum(score, 1e-6)
    mean = float(np.average(odds, weights=weights))
    agreement = float(np.average((odds > 0) == (mean > 0), weights=weights))
    return Tracklet(rows, detections.frame[rows], mean, float(score.sum()), agreement)


def split_by_vote(detections: HandDetections, pieces: list[Tracklet]) -> list[Tracklet]:
    """Cut tracklets in two where a consistent vote for one side turns into one for the other: two hands, not one.

    Each part must be consistent as a whole, so that a wrong spell between right ones cuts nothing. At either end of a
    consistent tracklet a few detections that vote otherwise and lie off its way are cut off: where hands meet and one
    is not detected, its last detections are the other hand.
    """
    out = []
    for piece in pieces:
        at = _change_of_side(detections, piece)
        parts = [piece] if at is None else [gather(detections, piece.rows[:at]), gather(detections, piece.rows[at:])]
        cut = [(part, *_own_rows(detections, part)) for part in parts]
        out += [gather(detections, rows) for part, a, b in cut for rows in np.split(part.rows, [a, b]) if len(rows)]
    return sorted(out, key=lambda piece: (piece.frames[0], detections.xy_px[piece.rows[0]].mean(), piece.rows[0]))


def _own_rows(detections: HandDetections, piece: Tracklet) -> tuple[int, int]:
    """Return where the detections of a tracklet begin and end without those at its ends that are another hand's."""
    start, stop = 0, len(piece.rows)
    if not piece.consistent:
        return start, stop
    against = -np.sign(piece.right_log_odds) * log_odds(detections.right_probability[piece.rows])
    for at in range(1, min(_CONSISTENT_FRAMES, len(piece.rows) // 2)):
        if (against[:at] >= _CLEAR_ODDS).all() and _on_another(detections, piece.rows[::-1], len(piece.rows) - at):
            start = at
        if (against[-at:] >= _CLEAR_ODDS).all() and _on_another(detections, piece.rows, len(piece.rows) - at):
            stop = len(piece.rows) - at
    return start, stop


def _on_another(detections: HandDetections, rows: NDArray[np.int64], at: int) -> bool:
    """Return whether detections from `at` on lie off the way of those before, where other hands are found soon after.

    `rows` are in the order of time, or all the other way round.
    """
    near, row = rows[max(at - 8, 0) : at], rows[at]
    seen_s, xy = detections.times_s[detections.frame], detections.xy_px
    gap = seen_s[row] - seen_s[near[-1]]
    predicted = xy[near[-1]] + velocity(xy[near], seen_s[near], at_end=True) * gap
    if min(distance(predicted, xy[row]), distance(xy[near[-1]], xy[row])) < _STRAYS:
        return False
    after = (seen_s - seen_s[rows[-1]]) * np.sign(gap)
    soon = np.flatnonzero((after > 0) & (after <= LONGEST_GAP_S + 1e-9))
    return bool((distance(xy[rows[-1]], xy[soon]) < _MET).any())


def _change_of_side(detections: HandDetections, piece: Tracklet) -> int | None:
    odds = log_odds(detections.right_probability[piece.rows]) * detections.score[piece.rows]
    if len(odds) < 2 * _CONSISTENT_FRAMES:
        return None
    before = np.cumsum(odds)[:-1]
    at = int(np.abs(2 * before - odds.sum()).argmax()) + 1  # largest difference of the sums on both sides
    parts = gather(detections, piece.rows[:at]), gather(detections, piece.rows[at:])
    opposed = parts[0].right_log_odds * parts[1].right_log_odds < 0
    xy = detections.xy_px[piece.rows]
    jumps = float(distance(xy[at - 1], xy[at])) >= _JUMPS  # else it is one hand, whose pose misleads the votes
    return at if opposed and jumps and all(part.consistent for part in parts) else None
