"""What is measured of tracked hands, filled as their frames come, on one process or in parts on several.

Separate from refinement, which has the networks.
"""

from dataclasses import dataclass

import numpy as np

from hmpfit.records import Bools, Floats

_AGREE = 0.3  # mean difference of confidence up to which two views show the same: 0.1 is what redrawn views differ by


@dataclass(frozen=True)
class Sighting:
    """One hand in one frame."""

    xy_px: Floats  # [21, 2]
    world_m: Floats  # [21, 3] image axes
    presence: float
    right: float  # that the crop (mirrored for left hands) shows a right hand
    alpha: Floats | None  # [21], or None where no views were drawn
    view_presence: float  # median over the crop and its views, NaN where none were drawn
    covered: Floats | None  # [21] probability that something lies over it, or None without a classifier


@dataclass(frozen=True)
class MeasuredHands:
    """What is measured of H hands in T frames, filled as the frames come."""

    xy_px: Floats  # [H, T, 21, 2] NaN where unseen
    world_m: Floats  # [H, T, 21, 3] image axes
    confidence: Floats  # [H, T, 21]
    covered: Floats  # [H, T, 21]
    seen: Bools  # [H, T]
    measured: Bools  # [H, T] where views were drawn
    view_presence: Floats  # [H, T] NaN where no views were drawn

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> "MeasuredHands":
        """Return H hands in T frames, `shape` (H, T), of which nothing is measured yet."""
        points, unseen = (*shape, 21), np.zeros(shape, dtype=bool)
        nothing = np.full((*points, 2), np.nan), np.full((*points, 3), np.nan)
        return cls(*nothing, np.zeros(points), np.zeros(points), unseen, unseen.copy(), np.full(shape, np.nan))

    def keep(self, h: int, frame: int, sighting: Sighting, presence: float) -> None:
        """Keep what was seen of a hand, where it is a hand."""
        self.view_presence[h, frame] = sighting.view_presence
        if sighting.presence < presence:
            return
        self.seen[h, frame] = True
        self.xy_px[h, frame], self.world_m[h, frame] = sighting.xy_px, sighting.world_m
        if sighting.covered is not None:
            self.covered[h, frame] = sighting.covered
        if sighting.alpha is not None:
            self.confidence[h, frame], self.measured[h, frame] = sighting.alpha, True

    def take(self, measured: "MeasuredHands", where: Bools) -> None:
        """Take over what another has measured where it was to do so, [H, T]."""
        for own, other in zip(vars(self).values(), vars(measured).values(), strict=True):
            own[where] = other[where]

    def differ(self, h: int, a: int, b: int) -> bool:
        """Return whether two frames do not both show a hand with like confidence."""
        apart = np.abs(self.confidence[h, a] - self.confidence[h, b]).mean()
        return not (self.measured[h, a] and self.measured[h, b] and apart <= _AGREE)

    def fill_confidence(self, times_s: Floats) -> None:
        """Lay the confidence of seen frames without views on lines between the measured ones, in place."""
        alpha, seen = self.confidence, self.seen
        for h in range(len(seen)):
            rest, known = np.flatnonzero(seen[h] & ~self.measured[h]), np.flatnonzero(self.measured[h])
            if len(rest) and len(known):
                for joint in range(alpha.shape[-1]):
                    alpha[h, rest, joint] = np.interp(times_s[rest], times_s[known], alpha[h, known, joint])
