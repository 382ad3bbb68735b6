"""Corners of the static scene followed through a clip (Shi-Tomasi and pyramidal Lucas-Kanade of OpenCV).

Separate from what is concluded from them. Work is done on small gray images; positions come back in the clip's pixels.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.records import Floats

Image = NDArray[np.uint8]
Ints = NDArray[np.int64]

WORKING_SIDE = 640  # pixels of the longer side that corners are followed at
_CORNERS, _QUALITY, _APART_PX = 350, 0.004, 11
_REFILL = 0.75  # of the corners still followed: below it new ones are detected
_WINDOW_PX, _LEVELS, _THERE_AND_BACK_PX = 17, 3, 0.6
_BORDER_PX, _CELL_PX = 4, 100
_REFERENCE_FRAMES, _DRIFT_PX = 12, 1.5  # how long a point is compared with one frame; more drift is another point
_LEAST_STRENGTH = 1.2e-5  # of a corner (the least eigenvalue): plain walls, noise and compression stay below it


@dataclass(frozen=True)
class PointTracks:
    """N sightings of P points in T frames, by frame."""

    frame: Ints  # [N]
    point: Ints  # [N]
    xy_px: Floats  # [N, 2]
    frames: int
    points: int

    def of_frame(self, frame: int) -> slice:
        """Return where the sightings of a frame lie."""
        first, last = np.searchsorted(self.frame, (frame, frame + 1))
        return slice(int(first), int(last))


def working_images(images: Iterable[tuple[int, Image]]) -> Iterator[tuple[int, Image, float]]:
    """Yield (frame, small gray image, its size as a share of the clip's)."""
    import cv2

    for frame, image in images:
        scale = min(1.0, WORKING_SIDE / max(image.shape[:2]))
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if scale < 1:
            size = round(image.shape[1] * scale), round(image.shape[0] * scale)
            gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        yield frame, np.asarray(gray, dtype=np.uint8), scale


def corners(gray: Image, allowed: Image, most: int = _CORNERS) -> Floats:
    """Return up to `most` corners [N, 2] of a gray image where `allowed` is not 0."""
    import cv2

    allowed = allowed.copy()
    allowed[:_BORDER_PX], allowed[-_BORDER_PX:], allowed[:, :_BORDER_PX], allowed[:, -_BORDER_PX:] = 0, 0, 0, 0
    found = cv2.goodFeaturesToTrack(gray, most, _QUALITY, _APART_PX, mask=allowed, blockSize=5)
    if found is None:
        return np.zeros((0, 2), np.float32)
    at = np.asarray(found[:, 0], np.float32)
    strength = cv2.cornerMinEigenVal(gray, 5)
    return at[strength[at[:, 1].astype(int), at[:, 0].astype(int)] > _LEAST_STRENGTH]


def cells(xy_px: Floats) -> int:
    """Return in how many squares of 100 px points [N, 2] of the working size lie: how far they are spread."""
    return len(np.unique(np.floor(xy_px / _CELL_PX), axis=0)) if len(xy_px) else 0


def follow_points(
    before: Image, after: Image, at: Floats, guess: Floats | None = None
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return where points [N, 2] went and which were found again: there and back again within 0.6 px."""
    import cv2

    if not len(at):
        return at, np.zeros(0, dtype=bool)
    at = np.ascontiguousarray(at, dtype=np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01)
    options: dict[str, Any] = {"winSize": (_WINDOW_PX, _WINDOW_PX), "maxLevel": _LEVELS, "criteria": criteria}
    start = np.array(at if guess is None else guess, dtype=np.float32)
    flags = 0 if guess is None else cv2.OPTFLOW_USE_INITIAL_FLOW
    moved, ok, _ = cv2.calcOpticalFlowPyrLK(before, after, at, start, flags=flags, **options)
    there = np.asarray(moved, dtype=np.float32)
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, at.copy(), **options)
    height, width = after.shape
    inside = (there > _BORDER_PX).all(-1) & (there < (width - _BORDER_PX, height - _BORDER_PX)).all(-1)
    good = (ok[:, 0] > 0) & (ok_back[:, 0] > 0) & inside & (np.linalg.norm(back - at, axis=-1) < _THERE_AND_BACK_PX)
    return there, good


class _References:
    """The frame that each followed point is compared with, so that errors from frame to frame do not add up."""

    def __init__(self) -> None:
        self._frame = np.zeros(0, np.int64)  # [N]
        self._at = np.zeros((0, 2), np.float32)  # [N, 2] where the point is there
        self._images: dict[int, Image] = {}

    def keep(self, good: NDArray[np.bool_]) -> None:
        """Drop the points that are lost."""
        self._frame, self._at = self._frame[good], self._at[good]

    def corrected(self, frame: int, gray: Image, at: Floats) -> Floats:
        """Return points [N, 2] of a new image moved to where they look as in their reference frame.

        Points that do not look so any more, or whose reference is old, get this frame as their reference.
        """
        import cv2

        at, again = at.copy(), frame - self._frame >= _REFERENCE_FRAMES
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01)
        for reference in np.unique(self._frame[self._frame < frame - 1]):
            rows = np.flatnonzero(self._frame == reference)
            found, ok, _ = cv2.calcOpticalFlowPyrLK(
                self._images[int(reference)], gray, self._at[rows], at[rows], winSize=(_WINDOW_PX, _WINDOW_PX),
                maxLevel=0, criteria=criteria, flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
            )  # fmt: skip
            near = (ok[:, 0] > 0) & (np.linalg.norm(found - at[rows], axis=1) < _DRIFT_PX)
            at[rows[near]] = found[near]
            again[rows[~near]] = True
        self._frame[again], self._at[again] = frame, at[again]
        return at

    def add(self, frame: int, gray: Image, at: Floats) -> None:
        """Make this frame the reference of the points [N, 2] that have none, which come last."""
        new = at[len(self._frame) :]
        self._frame = np.concatenate((self._frame, np.full(len(new), frame)))
        self._at = np.concatenate((self._at, new))
        self._images = {one: image for one, image in self._images.items() if (self._frame == one).any()}
        self._images[frame] = gray


def track_points(
    images: Iterable[tuple[int, Image]],
    frames: int,
    outside: Callable[[int, int, int, float], Image],
    advance: Callable[[int], None] | None = None,
) -> PointTracks:
    """Follow corners through a clip's RGB images, from frame to frame and then against an earlier frame.

    `outside(frame, width, height, scale)` gives the mask of `HandMasks`. `advance(1)` is called once a frame.
    """
    kept: list[tuple[int, Ints, Floats]] = []
    ids, at, before, count = np.zeros(0, np.int64), np.zeros((0, 2), np.float32), None, 0
    references = _References()
    for frame, gray, scale in working_images(images):
        height, width = gray.shape
        allowed = outside(frame, width, height, scale)
        if before is not None:
            at, good = follow_points(before, gray, at)
            pixels = np.clip(at.astype(int), 0, (width - 1, height - 1))
            good &= allowed[pixels[:, 1], pixels[:, 0]] > 0
            ids, at = ids[good], at[good]
            references.keep(good)
            at = references.corrected(frame, gray, at)
        if len(ids) < _REFILL * _CORNERS:
            free = allowed.copy()
            for x, y in at.astype(int):
                free[max(y - _APART_PX, 0) : y + _APART_PX, max(x - _APART_PX, 0) : x + _APART_PX] = 0
            new = corners(gray, free, _CORNERS - len(ids))
            ids, at = np.concatenate((ids, count + np.arange(len(new)))), np.concatenate((at, new))
            count += len(new)
        references.add(frame, gray, at)
        kept.append((frame, ids, (at + 0.5) / scale))
        before = gray
        if advance is not None:
            advance(1)
    return PointTracks(
        np.concatenate([np.full(len(one), frame) for frame, one, _ in kept]),
        np.concatenate([one for _, one, _ in kept]),
        np.concatenate([xy for _, _, xy in kept]).astype(np.float64),
        frames,
        count,
    )


def common_rows(tracks: PointTracks, a: int, b: int) -> tuple[Ints, Ints]:
    """Return the rows of the sightings, in frames a and b, of the points that both frames see."""
    at_a, at_b = tracks.of_frame(a), tracks.of_frame(b)
    _, in_a, in_b = np.intersect1d(tracks.point[at_a], tracks.point[at_b], assume_unique=True, return_indices=True)
    return at_a.start + in_a, at_b.start + in_b
