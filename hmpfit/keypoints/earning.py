"""Which followed things are hands: a hand is earned by time or by strength, else it is dropped with a reason.

Separate from `assignment`, which only says what belongs together. No pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmpfit.keypoints.tracklets import log_odds, sizes
from hmpfit.records import DroppedHand, Floats, HandDetections

_LEAST_FRAMES, _LEAST_SHARE = 5, 0.05


@dataclass(frozen=True)
class Sightings:
    """What was seen of one followed thing."""

    frames: NDArray[np.int64]  # [n] with a detection
    seconds: float  # that these frames last
    score: float  # median
    best_score: float
    right_log_odds: float
    right_share: float  # of the detections, that vote for a right hand
    center_px: tuple[float, float]
    size_px: float

    def agreement_with(self, is_right: bool) -> float:
        """Return the share of the detections that vote for a side."""
        return self.right_share if is_right else 1 - self.right_share

    def dropped(self, reason: str) -> DroppedHand:
        """Return what the result says of it when it is not kept."""
        return DroppedHand(
            int(self.frames[0]), int(self.frames[-1]), len(self.frames), self.right_log_odds > 0, self.score,
            self.center_px, self.size_px, reason,
        )  # fmt: skip


def sightings_of(detections: HandDetections, rows: NDArray[np.int64]) -> Sightings:
    """Sum up the detections of one followed thing, given by frame [T], -1 for none."""
    frames = np.flatnonzero(rows >= 0)
    rows = rows[frames]
    odds, xy, score = log_odds(detections.right_probability[rows]), detections.xy_px[rows], detections.score[rows]
    center = np.median(xy.mean(axis=1), axis=0)
    return Sightings(
        frames=frames,
        seconds=float(_durations(detections.times_s)[frames].sum()),
        score=float(np.median(score)),
        best_score=float(score.max()),
        right_log_odds=float(odds.mean()),
        right_share=float((odds > 0).mean()),
        center_px=(float(center[0]), float(center[1])),
        size_px=float(np.median(sizes(xy))),
    )


def reasons_against(sightings: Sequence[Sightings], rare_too: bool) -> list[str | None]:
    """Return for each thing, most seen first, why it is no hand, or None where it is one."""
    out: list[str | None] = []
    for one in sightings:
        least = (
            1.0
            if rare_too
            else max(min(_LEAST_FRAMES, len(sightings[0].frames)), _LEAST_SHARE * len(sightings[0].frames))
        )
        out.append(None if len(one.frames) >= least else "seen too rarely")
    return out


def _durations(times_s: Floats) -> Floats:
    """Return how long each frame is shown, at most a tenth of a second."""
    if len(times_s) < 2:
        return np.zeros(len(times_s))
    steps = np.diff(times_s)
    return np.minimum(np.append(steps, steps[-1]), 0.1)
