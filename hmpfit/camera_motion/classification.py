"""Classify a camera as static, rotating or moving from pairs of frames."""

from dataclasses import dataclass

import numpy as np

from hmpfit.camera_motion.point_tracks import PointTracks, cells, common_rows
from hmpfit.camera_motion.two_views import TwoViews, compare, rotation_between, rotation_errors
from hmpfit.records import Floats

_GAPS_S = (0.25, 0.5, 1.0, 2.0)
_PAIRS, _FEWEST = 12, 25  # pairs of a gap at most; points of a pair at least
_FEWEST_CELLS = 5  # places in the picture, in half of the frames: fewer may be a thing that moves
_PARALLAX_PX, _TURN_PX = 1.2, 1.0  # at the working size: more cannot be noise; less is a still camera
_MOVING_SHARE = 0.25  # of the pairs of the most informative gap


@dataclass(frozen=True)
class CameraClassification:
    """What kind of motion a clip's camera has."""

    status: str  # "static", "rotation", "moving" or "unknown"
    reason: str
    pairs: int = 0


def classify(tracks: PointTracks, xy: Floats, times_s: Floats, focal_px: float) -> CameraClassification:
    """Classify how the camera moves from points followed through the clip; `xy` [N, 2] are the sightings normalized.

    `focal_px` is the focal length at the working size.
    """
    judged: list[list[TwoViews]] = []
    for gap_s in _GAPS_S:
        views = [compare(*pair, focal_px) for pair in _pairs(tracks, xy, times_s, gap_s)]
        if views:
            judged.append(views)
    spread = [cells(xy[tracks.of_frame(frame)] * focal_px) for frame in range(0, tracks.frames, 5)]
    if np.median(spread) < _FEWEST_CELLS:
        return CameraClassification("unknown", "too little of the background can be followed")
    count = sum(len(views) for views in judged)
    if not count:
        return CameraClassification("unknown", "too few corners of the background could be followed")
    shares = [np.mean([view.moves and view.parallax_px > _PARALLAX_PX for view in views]) for views in judged]
    parallax = max(float(np.median([view.parallax_px for view in views])) for views in judged)
    if max(shares) >= _MOVING_SHARE:
        return CameraClassification("moving", f"near and far points move apart by {parallax:.1f} px", count)
    turns = [np.arccos(np.clip((np.trace(view.rotation) - 1) / 2, -1, 1)) for views in judged for view in views]
    if np.quantile(turns, 0.9) * focal_px < _TURN_PX:
        return CameraClassification("static", "the background stays where it is", count)
    return CameraClassification("rotation", f"rotations explain all but {parallax:.1f} px", count)


def refined_focal(tracks: PointTracks, xy: Floats, times_s: Floats, focal_px: float) -> float:
    """Return what to multiply an assumed focal length by so that rotations explain the pairs best, 0.6 to 1.7.

    Only of use where the camera does turn about its center; the sightings `xy` were normalized by the assumed one.
    """
    pairs = [pair for gap_s in _GAPS_S[1:] for pair in _pairs(tracks, xy, times_s, gap_s)[::3]]
    factors = np.geomspace(0.6, 1.7, 12)
    if not pairs:
        return 1.0
    threshold = 1.5 / focal_px
    costs = []
    for factor in factors:
        errors = []
        for first, second in pairs:
            a, b = first / factor, second / factor
            rotation = rotation_between(a, b, threshold)
            errors.append(np.median(rotation_errors(rotation, a, b)) * factor)
        costs.append(np.mean(errors))
    return float(factors[int(np.argmin(costs))])


def _pairs(tracks: PointTracks, xy: Floats, times_s: Floats, gap_s: float) -> list[tuple[Floats, Floats]]:
    """Return points common to frames about `gap_s` apart, evenly over the clip."""
    last = int(np.searchsorted(times_s, times_s[-1] - gap_s + 1e-6, side="right"))
    if last < 1:
        return []
    starts = np.unique(np.linspace(0, last - 1, _PAIRS).round().astype(int))
    out = []
    for start in starts:
        end = int(np.argmin(np.abs(times_s - times_s[start] - gap_s)))
        rows = common_rows(tracks, int(start), end)
        if end > start and len(rows[0]) >= _FEWEST:
            out.append((xy[rows[0]], xy[rows[1]]))
    return out
