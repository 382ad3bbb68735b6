"""The points that crops of a hand lie around: those of the tracks, carried over frames that the detector lost.

Separate from the networks' own estimation, which all begin here. Hidden frames have no points: their pixels are
withheld from everybody.
"""

from itertools import pairwise

import numpy as np

from hmpfit.records import Bools, Floats, KeypointTracks

LONGEST_GAP_S = 1.0  # a hand that was lost for longer may be anywhere


def followed_points(tracks: KeypointTracks, hidden: Bools, width: int) -> Floats:
    """Return points [H, T, 21, 2] to crop around, left hands mirrored into right ones; NaN where nothing is known.

    Points of seen frames are the tracks'; between two seen frames no further apart than `LONGEST_GAP_S` they move
    along straight lines in time. `hidden` [T] frames are NaN.
    """
    points = np.full(tracks.xy_px.shape, np.nan)
    times = np.asarray(tracks.times_s, dtype=np.float64)
    for hand, seen in enumerate(tracks.seen & np.isfinite(tracks.xy_px).all((-1, -2))):
        frames = np.flatnonzero(seen)
        points[hand, seen] = tracks.xy_px[hand, seen]
        for before, after in pairwise(frames):
            span = times[after] - times[before]
            if after - before < 2 or span > LONGEST_GAP_S:
                continue
            between = np.arange(before + 1, after)
            share = ((times[between] - times[before]) / span)[:, None, None]
            points[hand, between] = (1 - share) * points[hand, before] + share * points[hand, after]
    left = ~tracks.is_right
    points[left, ..., 0] = width - points[left, ..., 0]
    points[:, hidden] = np.nan
    return points
