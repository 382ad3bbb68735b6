"""Windows of frames that a two-hand network sees together, sliding over a clip of any length.

Separate from the network's call, because nothing here knows pixels or networks.
"""

from dataclasses import dataclass

import numpy as np

from hmpfit.records import Floats, KeypointTracks
from hmpfit.regressors.two_hands.hand_pair import SIDES
from hmpfit.regressors.two_hands.pair_crops import PairCrop, crop_pair


@dataclass(frozen=True)
class PairWindow:
    """As many frames with one crop as the network takes; `shown` are those whose pixels it gets."""

    start: int
    stop: int
    crop: PairCrop
    shown: tuple[int, ...]  # start..stop, a hidden frame is replaced by its nearest neighbor


def hand_rows(tracks: KeypointTracks) -> tuple[int | None, int | None]:
    """Return the track of the right and of the left hand, of several the longest; None where there is none."""
    rows: list[int | None] = []
    for side in SIDES:
        alike = np.flatnonzero((tracks.is_right == side) & tracks.seen.any(1))
        rows.append(int(alike[tracks.seen[alike].sum(1).argmax()]) if len(alike) else None)
    return rows[0], rows[1]


def sliding_windows(points: Floats, frames: int, margin: float) -> list[PairWindow]:
    """Return windows of `frames` frames, half overlapping, over points [2, T, 21, 2] (pixels, NaN where unknown).

    A clip that is shorter is one window. Hands are right, left; what is known of them in the window decides how they
    are looked at. Windows in which nothing is known are left out.
    """
    known = np.isfinite(points).all((-1, -2)).any(0)
    total = len(known)
    length = min(frames, total)
    step = max(1, length // 2)
    found = []
    for start in sorted({*range(0, total - length + 1, step), total - length}):
        stop = start + length
        inside = start + np.flatnonzero(known[start:stop])
        if len(inside) == 0:
            continue
        shown = tuple(int(inside[np.abs(inside - frame).argmin()]) for frame in range(start, stop))
        found.append(PairWindow(start, stop, crop_pair(points[:, start:stop], margin), shown))
    return found
