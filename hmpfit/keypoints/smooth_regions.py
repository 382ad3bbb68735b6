"""Smooth the regions of a hand over time, so that the detector's jitter does not reach the crops.

The landmark network answers a little differently for every placing of its crop, so a shaking region makes shaking
landmarks. Separate from `regions`, which knows single squares only.
"""

import numpy as np

from hmpfit.keypoints.regions import Regions
from hmpfit.records import Bools, Floats

SPAN_S = 0.1  # half-width of the triangular window, seconds


def smooth_regions(regions: Regions, seen: Bools, times_s: Floats, span_s: float = SPAN_S) -> Regions:
    """Fit a local line through each seen region's neighbors in time; regions [H, T], NaN where unseen.

    A line, not a mean: a hand in steady motion keeps its region exactly, with no lag.
    """
    center, side, angle = (np.array(a, dtype=np.float64) for a in (regions.center_px, regions.side_px, regions.angle))
    for h in range(seen.shape[0]):
        frames = np.flatnonzero(seen[h])
        values = np.column_stack((regions.center_px[h, frames], np.log(regions.side_px[h, frames])))
        turns = np.unwrap(regions.angle[h, frames])
        values, t = np.column_stack((values, turns)), times_s[frames]
        for n, frame in enumerate(frames):
            near = np.flatnonzero(np.abs(t - t[n]) < span_s)
            smooth = _line_at_zero(t[near] - t[n], values[near], 1 - np.abs(t[near] - t[n]) / span_s)
            center[h, frame], side[h, frame], angle[h, frame] = smooth[:2], np.exp(smooth[2]), smooth[3]
    return Regions(center, side, angle)


def _line_at_zero(t: Floats, values: Floats, weight: Floats) -> Floats:
    weight = weight / weight.sum()
    mean_t, mean = weight @ t, weight @ values
    spread = weight @ (t - mean_t) ** 2
    slope = (weight * (t - mean_t)) @ (values - mean) / spread if spread > 1e-12 else np.zeros_like(mean)
    return np.asarray(mean - slope * mean_t)
