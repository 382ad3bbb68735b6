"""Decide which merged tracklets are hands, by duration and score; every other one is dropped with a reason.

Separate from `assignment`, which only says what belongs together. No pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmpfit.keypoints.tracklets import log_odds, sizes
from hmpfit.records import DroppedHand, Floats, HandDetections

# On 21 clips without a hand (animals, faces, things) no look at a whole frame finds anything that reaches 0.45; of 21
# tracks of real hands on the shared clips the weakest, one that holds a cup, reaches 0.85.
_LEAST_STRENGTH = 0.5
_LEAST_S, _LEAST_SHARE = 0.25, 0.5  # of the clip
_STRONG, _STRONG_FRAMES = 0.75, 3
_STRENGTH_PERCENTILE = 90
_FEW, _CONFIRMED = 5, 0.9  # detections, below which the frames around must confirm a hand: an ear is followed at 0.7


@dataclass(frozen=True)
class TrackletEvidence:
    """Summary of the detections of one merged tracklet."""

    frames: NDArray[np.int64]  # [n] with a detection
    score: float  # median
    strength: float  # the score that a tenth of the detections exceed
    right_log_odds: float
    right_share: float  # of the detections, that vote for a right hand
    center_px: tuple[float, float]
    size_px: float

    def agreement_with(self, is_right: bool) -> float:
        """Return the share of the detections that vote for a side."""
        return self.right_share if is_right else 1 - self.right_share

    def dropped(self, reason: str) -> DroppedHand:
        """Return its entry in the result when it is not kept."""
        return DroppedHand(
            int(self.frames[0]), int(self.frames[-1]), len(self.frames), self.right_log_odds > 0, self.score,
            self.center_px, self.size_px, reason,
        )  # fmt: skip


def tracklet_evidence(detections: HandDetections, rows: NDArray[np.int64]) -> TrackletEvidence:
    """Summarize the detections of one merged tracklet, `rows` [T] by frame, -1 for none."""
    frames = np.flatnonzero(rows >= 0)
    rows = rows[frames]
    odds, xy, score = log_odds(detections.right_probability[rows]), detections.xy_px[rows], detections.score[rows]
    center = np.median(xy.mean(axis=1), axis=0)
    return TrackletEvidence(
        frames=frames,
        score=float(np.median(score)),
        strength=float(np.percentile(score, _STRENGTH_PERCENTILE)),
        right_log_odds=float(odds.mean()),
        right_share=float((odds > 0).mean()),
        center_px=(float(center[0]), float(center[1])),
        size_px=float(np.median(sizes(xy))),
    )


def rejection_reason(one: TrackletEvidence, presence: Floats, times_s: Floats, expected: bool) -> str | None:
    """Return why a merged tracklet is no hand, or None where it is one.

    `presence` [T] is how surely it was seen where it was only followed, 0 elsewhere. `expected`: the user says that
    there is a hand, so that weak and short ones count too.
    """
    if expected:
        return None
    if one.strength < _LEAST_STRENGTH:
        return f"too weak: it scores {one.strength:.2f} at its best, and hands score {_LEAST_STRENGTH:.1f} or more"
    shown_s, seen = _durations(times_s), presence > 0
    if len(one.frames) < _FEW and seen.any() and presence[seen].mean() < _CONFIRMED:
        return f"found in {len(one.frames)} frames only, and no sure hand ({presence[seen].mean():.2f}) in those around"
    seen[one.frames] = True
    least_s = min(_LEAST_S, _LEAST_SHARE * float(shown_s.sum()))
    if shown_s[seen].sum() < least_s and not (one.strength >= _STRONG and len(one.frames) >= _STRONG_FRAMES):
        return f"too short: it was seen for {shown_s[seen].sum():.2f} s"
    return None


def _durations(times_s: Floats) -> Floats:
    """Return how long each frame is shown, at most a tenth of a second."""
    if len(times_s) < 2:
        return np.zeros(len(times_s))
    steps = np.diff(times_s)
    return np.minimum(np.append(steps, steps[-1]), 0.1)
