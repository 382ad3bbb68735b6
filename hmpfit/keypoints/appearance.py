"""Skin color of hands, which tells people apart where their hands of one side meet.

Separate from tracking, which sees no pixels; asked for only where more than two hands are there at once.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hmpfit.keypoints.frames import FrameSource, over_frames
from hmpfit.keypoints.tracklets import Tracklet, gather
from hmpfit.records import Floats, HandDetections
from hmpfit.skeleton import OPENPOSE_PALM

_LIGHTNESS = 0.5  # its share in a difference: lamps change it most
_CLEAR = 9.0  # difference in Lab, from which two colors are two people's
_LEAST_ROWS = 2  # of a part of a tracklet
_TOGETHER_FRAMES = 5
_LEAST_TRACKLET = 8


def more_than_two(tracklets: Sequence[Tracklet]) -> bool:
    """Return whether more than two hands, and so several people, are there at once for some frames."""
    frames = [one.frames for one in tracklets if len(one.rows) >= _LEAST_TRACKLET]
    if not frames:
        return False
    _, count = np.unique(np.concatenate(frames), return_counts=True)
    return int((count > 2).sum()) >= _TOGETHER_FRAMES


def palm_colors(clip: FrameSource, detections: HandDetections, workers: int | None = None) -> Floats:
    """Return the palm's color [N, 3] of every detection: CIE L (halved), a, b; the median over points of the palm."""
    frames = np.zeros(len(detections.times_s), dtype=bool)
    frames[detections.frame] = True

    def look(_: None, frame: int, image: NDArray[np.uint8]) -> Floats:
        return np.stack([_color(image, xy) for xy in detections.xy_px[detections.frame == frame]])

    found = over_frames(clip, frames, lambda: None, look, workers)
    return np.concatenate([found[frame] for frame in sorted(found)])


def difference(a: Floats, b: Floats) -> float:
    """Return how far apart the median colors of two sets of detections [n, 3] are."""
    return float(np.linalg.norm(np.median(a, axis=0) - np.median(b, axis=0)))


def differ(a: Floats, b: Floats) -> bool:
    """Return whether two sets of detections [n, 3] are clearly of two people's hands."""
    return difference(a, b) > _CLEAR


def split_by_color(detections: HandDetections, tracklets: Sequence[Tracklet]) -> list[Tracklet]:
    """Cut tracklets in two where the hand's color changes for good: one hand was taken for another's continuation."""
    assert detections.color is not None
    out: list[Tracklet] = []
    for tracklet in tracklets:
        at = _change(detections.color[tracklet.rows])
        parts = [tracklet.rows] if at is None else [tracklet.rows[:at], tracklet.rows[at:]]
        out += [gather(detections, rows) for rows in parts]
    return sorted(out, key=lambda one: (one.frames[0], detections.xy_px[one.rows[0]].mean(), one.rows[0]))


def _change(colors: Floats) -> int | None:
    """Return where two colors meet: the place that leaves the least deviation from both parts' medians."""
    places = range(_LEAST_ROWS, len(colors) - _LEAST_ROWS + 1)
    if not len(places):
        return None
    at = min(places, key=lambda at: _deviations(colors[:at]).sum() + _deviations(colors[at:]).sum())
    spread = max(float(np.median(_deviations(part))) for part in (colors[:at], colors[at:]))
    apart = difference(colors[:at], colors[at:])
    return at if apart > max(_CLEAR, 2 * spread) else None


def _deviations(colors: Floats) -> Floats:
    return np.asarray(np.linalg.norm(colors - np.median(colors, axis=0), axis=1))


def _color(image: NDArray[np.uint8], xy_px: Floats) -> Floats:
    import cv2

    palm = xy_px[list(OPENPOSE_PALM)]
    inner = palm.mean(axis=0) + np.array([0.2, 0.4, 0.6])[:, None, None] * (palm - palm.mean(axis=0))
    at = np.clip(inner.reshape(-1, 2), 0, (image.shape[1] - 1, image.shape[0] - 1)).astype(int)
    lab = cv2.cvtColor(image[at[:, 1], at[:, 0]][None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    return np.median(lab * (_LIGHTNESS, 1.0, 1.0), axis=0)
