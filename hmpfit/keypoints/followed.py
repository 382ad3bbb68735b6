"""Landmarks followed through a hand's gaps by optical flow, from the sightings on both sides of each.

Evidence that does not pass through the detector: where it sees nothing of a hand, as in blur, the picture still tells
how what was there moved. The paths from before and from after are joined by how well flows there and back agree;
where something hides the hand the two part or colors change, and the landmark counts little.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.near_in_time import short_gaps
from hmpfit.keypoints.frames import over_stretches, stretches
from hmpfit.progress import Progress, count_from_total
from hmpfit.records import Bools, Floats, KeypointTracks
from hmpfit.skeleton import OPENPOSE_PALM
from hmpfit.video.clip import Clip, Image

LONGEST_S = 1.0  # of the unseen frames in a gap: after 1.5 s real truth is not nearer for it (benchmarks/README.md)
LEAST, LEAST_FOLLOWED = 0.1, 8  # confidence of a landmark, and landmarks of a frame, that count
LEAST_PALM = 1  # of these of the palm: fingers alone tell a hand's turn wrongly
_HAND_PX = 200.0  # diagonal of the hand in the pictures that are compared
_MARGIN = 0.6  # of the diagonal, around both sightings
_LEAST_PX = 32  # sides of these pictures
_STEP_PX = 0.7  # how far a flow strays in one step, at least
_OUTSIDE_PX = 1e3  # how far one strays that leaves the picture
_GOOD = 0.02  # of the diagonal: a landmark that is so sure has a confidence of one half
_COVERED = 0.1  # of the diagonal: how far off a landmark may be that a thing covers: its pixels are the thing's
_LEAST_WEIGHT = 0.5  # of a landmark that nothing covers
_COLOR_STEP = 8.0  # of these pictures' pixels, over which colors are means
_OTHER_COLOR = 40.0  # of 255, in one channel, from both ends': in gaps that nothing covers 1 to 3 % of landmarks

GrayImage = NDArray[np.uint8]


@dataclass(frozen=True)
class Followed:
    """Landmarks of frames in which the detector saw no hand, H hands, T frames; NaN and 0 elsewhere."""

    xy_px: Floats  # [H, T, 21, 2]
    confidence: Floats  # [H, T, 21] in 0..1


@dataclass(frozen=True)
class _Gap:
    """The frames first..last, which see a hand, with those between, which do not; and the picture around the hand."""

    hand: int
    first: int
    last: int
    first_px: Floats  # [21, 2]
    last_px: Floats  # [21, 2]
    covered: Bools  # [2, 21] landmarks of both that a thing covers
    size_px: float  # diagonal of the larger hand of both
    low: Floats  # [2] the picture's corners, in the clip's pixels
    high: Floats  # [2]
    scale: float
    pictures: list[GrayImage] = field(default_factory=list)
    colors: list[Floats] = field(default_factory=list)  # the same, coarse and in color

    def add(self, image: Image) -> None:
        """Keep what matters of a frame's image, small and gray."""
        import cv2

        (left, top), (right, bottom) = self.low.astype(int), self.high.astype(int)
        part = image[top:bottom, left:right]
        width, height = (round(side * self.scale) for side in (right - left, bottom - top))
        gray = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
        self.pictures.append(np.asarray(cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA), np.uint8))
        coarse = math.ceil(width / _COLOR_STEP), math.ceil(height / _COLOR_STEP)
        self.colors.append(cv2.resize(part, coarse, interpolation=cv2.INTER_AREA).astype(np.float32))

    def follow(self) -> tuple[Floats, Floats]:
        """Return the landmarks [n, 21, 2] of the frames between, and their confidence [n, 21]."""
        forth, back = _flows(self.pictures), _flows(self.pictures[::-1])[::-1]
        covered_var = (_COVERED * self.scale * self.size_px) ** 2
        first_var, last_var = np.where(self.covered, covered_var, 0.0)
        ahead, ahead_var = _path(self._to_small(self.first_px), first_var, forth, back)
        last = _path(self._to_small(self.last_px), last_var, back[::-1], forth[::-1])
        behind, behind_var = (way[::-1] for way in last)
        ahead, behind, a, b = ahead[1:-1], behind[1:-1], 1 / ahead_var[1:-1], 1 / behind_var[1:-1]
        joined = (a[..., None] * ahead + b[..., None] * behind) / (a + b)[..., None]
        apart = ((ahead - behind) ** 2).sum(-1) / (1 / a + 1 / b)
        var = np.maximum(apart, 1.0) / (a + b) + np.where(self._has_other_color(joined), covered_var, 0.0)
        good = (_GOOD * self.scale * self.size_px) ** 2
        return (joined + 0.5) / self.scale - 0.5 + self.low, np.nan_to_num(good / (good + var))

    def _has_other_color(self, between: Floats) -> Bools:
        """Return which landmarks of the frames between [n, 21, 2] differ in color from those of both ends."""
        first, last = self._to_small(self.first_px), self._to_small(self.last_px)
        colors = np.stack([self._colors_at(frame, at) for frame, at in enumerate((first, *between, last))])
        ends, colors = np.where(self.covered[..., None], np.nan, colors[[0, -1]]), colors[1:-1]
        away = np.abs(colors[:, None] - ends).max(-1)
        return np.asarray(np.fmin(away[:, 0], away[:, 1]) > _OTHER_COLOR)

    def _colors_at(self, frame: int, at: Floats) -> Floats:
        """Return the colors [21, 3] at points [21, 2] of a frame's picture, NaN at unknown ones."""
        coarse, picture = self.colors[frame], self.pictures[frame]
        cells = np.array(coarse.shape[1::-1]) / np.array(picture.shape[::-1])
        return _sample(coarse, (at + 0.5) * cells - 0.5)[0]

    def _to_small(self, xy_px: Floats) -> Floats:
        return (xy_px - self.low + 0.5) * self.scale - 0.5


def follow_gaps(clip: Clip, tracks: KeypointTracks, progress: Progress) -> Followed:
    """Return the landmarks of every hand in its gaps of at most `LONGEST_S`, pixels of the clip."""
    xy_px, confidence = np.full(tracks.xy_px.shape, np.nan), np.zeros(tracks.confidence.shape)
    waiting = sorted(_find_gaps(clip, tracks), key=lambda gap: gap.first)
    if waiting:
        numbers = np.repeat(np.arange(len(waiting)), [gap.last - gap.first + 1 for gap in waiting])
        bounds = [0, *(int(part[0]) for part in stretches(numbers)[1:]), len(waiting)]
        parts = [waiting[a:b] for a, b in pairwise(bounds)]
        report = count_from_total(progress, "following hands through gaps")
        for found in over_stretches(
            parts, partial(_follow, clip), sum(len(_frames_of(part)) for part in parts), on_progress=report
        ):
            for gap, landmarks in found:
                between = slice(gap.first + 1, gap.last)
                xy_px[gap.hand, between], confidence[gap.hand, between] = landmarks
    return Followed(xy_px, confidence)


def _follow(
    clip: Clip, waiting: list[_Gap], threads: int, advance: Callable[[], None]
) -> list[tuple[_Gap, tuple[Floats, Floats]]]:
    """Go through the pictures once; return every gap, without its pictures, with its landmarks and their confidence."""
    found = []
    for frame, make_image in clip.chosen(_frames_of(waiting)):
        image, ready = make_image(), [gap for gap in waiting if gap.first <= frame]
        for gap in ready:
            gap.add(image)
            if gap.last == frame:
                found.append((replace(gap, pictures=[], colors=[]), gap.follow()))
                waiting = [one for one in waiting if one is not gap]
        advance()
    return found


def _frames_of(some: list[_Gap]) -> list[int]:
    return sorted({frame for gap in some for frame in range(gap.first, gap.last + 1)})


def with_followed(tracks: KeypointTracks, followed: Followed, most: float) -> KeypointTracks:
    """Return tracks in which followed landmarks stand for a hand that was not seen; each counts `most` at most.

    They have no place in 3D. Frames in which few could be followed stay unseen.
    """
    sure = followed.confidence >= LEAST
    frames = (sure.sum(-1) >= LEAST_FOLLOWED) & (sure[..., OPENPOSE_PALM].sum(-1) >= LEAST_PALM) & ~tracks.seen
    known = sure & frames[..., None]
    return replace(
        tracks,
        seen=tracks.seen | frames,
        xy_px=np.where(known[..., None], followed.xy_px, tracks.xy_px),
        confidence=np.where(known, most * followed.confidence, tracks.confidence),
        weight=None if tracks.weight is None else np.where(known, 1.0, tracks.weight),
    )


def _find_gaps(clip: Clip, tracks: KeypointTracks) -> list[_Gap]:
    found, diagonal_px, weight = [], tracks.box_diagonal_px, tracks.weight
    for hand, seen in enumerate(tracks.seen):
        for start, stop in short_gaps(seen, tracks.times_s, LONGEST_S):
            first, last = start - 1, stop
            ends_px = tracks.xy_px[hand, [first, last]]
            covered = (
                np.zeros(ends_px.shape[:2], bool) if weight is None else weight[hand, [first, last]] < _LEAST_WEIGHT
            )
            known = np.isfinite(ends_px).all(-1)
            if known.all(0).sum() < LEAST_FOLLOWED:
                continue
            size, points = float(diagonal_px[hand, [first, last]].max()), ends_px[known]
            low = np.maximum(np.floor(points.min(0) - _MARGIN * size), 0.0)
            high = np.minimum(np.ceil(points.max(0) + _MARGIN * size), (clip.width, clip.height))
            scale = min(1.0, _HAND_PX / size)
            if ((high - low) * scale >= _LEAST_PX).all():
                found.append(_Gap(hand, first, last, ends_px[0], ends_px[1], covered, size, low, high, scale))
    return found


def _flows(pictures: list[GrayImage]) -> list[Floats]:
    """Return the flow [height, width, 2] from each picture to the next (dense inverse search, Kroeger et al. 2016)."""
    import cv2

    no_guess: Any = None
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # what it finds depends on how threads share the picture
    try:
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        return [np.asarray(search.calc(*pair, no_guess)) for pair in pairwise(pictures)]
    finally:
        cv2.setNumThreads(threads)


def _path(start: Floats, start_var: Floats, forth: list[Floats], back: list[Floats]) -> tuple[Floats, Floats]:
    """Return where flows lead points [21, 2], and the variances: [n + 1, 21, 2] and [n + 1, 21] of small pixels.

    `start_var` [21] is how unsure the points are at the start.
    """
    path, var = [start], [start_var]
    for there, again in zip(forth, back):
        step, _ = _sample(there, path[-1])
        at = path[-1] + step
        returned, inside = _sample(again, at)
        strays = ((step + returned) ** 2).sum(-1) + _STEP_PX**2
        path.append(at)
        var.append(var[-1] + np.where(inside, strays, _OUTSIDE_PX**2))
    return np.stack(path), np.stack(var)


def _sample(picture: Floats, at: Floats) -> tuple[Floats, Bools]:
    """Return what a picture holds at points [N, 2], NaN at unknown ones, and which of them lie in it."""
    import cv2

    most = np.array([picture.shape[1] - 1, picture.shape[0] - 1])
    places = np.nan_to_num(np.clip(at, 0, most)).astype(np.float32)
    values = cv2.remap(picture, places[None, :, 0], places[None, :, 1], cv2.INTER_LINEAR)[0]
    known = np.isfinite(at).all(-1, keepdims=True)
    return np.where(known, values, np.nan), np.asarray(((at >= 0) & (at <= most)).all(-1))
