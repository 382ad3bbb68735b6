"""Find the hand inside a given box: turned crops are tried, and the given network scores each.

Separate from detection, which finds boxes, and from `box_files`, which reads them. A crop is good when it shows a hand
whose joints fill the box. Any landmark network can look, MediaPipe's or a learned initializer's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hmpfit.keypoints.box_files import HandBoxes
from hmpfit.keypoints.frames import FrameSource
from hmpfit.keypoints.regions import Regions, box_overlap, from_landmarks
from hmpfit.records import Bools, Floats

TURNS = np.arange(8) * (np.pi / 4)
NEAR = np.array([-0.35, 0.0, 0.35])  # radians about the turn of the frame before
SIDE_PER_BOX = 1.45  # side of a region per longer side of a box
VOTES = 12  # frames that vote on the side of a hand whose boxes have none
WEAK = 0.25  # score below which all turns are tried


class LandmarkLocator(Protocol):
    """Landmarks of an image in regions."""

    def __call__(self, image: NDArray[np.uint8], regions: Regions, mirrored: bool) -> tuple[Floats, Floats, Floats]:
        """Return landmarks [N, 21, 2] in image pixels, presence [N] and that the crop shows a right hand [N]."""


@dataclass(frozen=True)
class Located:
    """Rough joints inside boxes, to place regions by."""

    xy_px: Floats  # [H, T, 21, 2] NaN where no box is
    is_right: Bools  # [H]


@dataclass(frozen=True)
class _Candidate:
    score: float
    turn: float
    xy_px: Floats  # [21, 2]
    right: float


def locate(
    locator: LandmarkLocator,
    clip: FrameSource,
    boxes: HandBoxes,
    hidden: Bools,
    on_frame: Callable[[int], None] | None = None,
    followed_px: Floats | None = None,
) -> Located:
    """Find rough joints in every box of frames that are not hidden; sides that boxes leave open are decided by vote.

    Where `followed_px` [H, T, 21, 2] has joints these are taken, box or not. `on_frame(1)` reports progress.
    """
    known = np.isfinite(boxes.xyxy_px).all(-1) & ~hidden
    taken = np.zeros_like(known) if followed_px is None else np.isfinite(followed_px).all((-1, -2)) & ~hidden
    sides = [
        _vote(locator, clip, boxes.xyxy_px[hand], known[hand]) if side is None else side
        for hand, side in enumerate(boxes.is_right)
    ]
    if len(sides) == 2 and boxes.is_right == (None, None) and sides[0] == sides[1]:
        sides[1] = not sides[0]  # two boxes without sides are one person's hands
    out = np.full((*known.shape, 21, 2), np.nan)
    before: dict[int, _Candidate] = {}
    for frame, image in clip.images():
        for hand in np.flatnonzero((known | taken)[:, frame]).tolist():
            if followed_px is not None and taken[hand, frame]:
                found = _as_candidate(followed_px[hand, frame])
            else:
                found = _in_box(locator, image, boxes.xyxy_px[hand, frame], before.get(hand), sides[hand])
            before[hand], out[hand, frame] = found, found.xy_px
        if on_frame is not None:
            on_frame(1)
    return Located(out, np.array(sides, dtype=bool))


def _as_candidate(xy_px: Floats) -> _Candidate:
    return _Candidate(1.0, float(from_landmarks(xy_px).angle), xy_px, 1.0)


def _in_box(
    locator: LandmarkLocator, image: NDArray[np.uint8], box: Floats, before: _Candidate | None, is_right: bool
) -> _Candidate:
    """Look near the turn of the frame before, and all round where that is weak."""
    near = None if before is None else _best(locator, image, box, before.turn + NEAR, is_right)
    if near is not None and near.score >= WEAK:
        return near
    wide = _best(locator, image, box, TURNS, is_right)
    return wide if near is None or wide.score > near.score else near


def _best(locator: LandmarkLocator, image: NDArray[np.uint8], box: Floats, turns: Floats, is_right: bool) -> _Candidate:
    """Return the best of some turns, cropped twice: around the box, then around the joints found there."""
    center, side = (box[:2] + box[2:]) / 2, SIDE_PER_BOX * float((box[2:] - box[:2]).max())
    regions = Regions(np.tile(center, (len(turns), 1)), np.full(len(turns), side), np.asarray(turns))
    first = max(_tried(locator, image, regions, box, is_right), key=lambda one: one.score)
    again = from_landmarks(first.xy_px)
    regions = Regions(again.center_px[None], np.atleast_1d(again.side_px), np.atleast_1d(again.angle))
    return max(first, *_tried(locator, image, regions, box, is_right), key=lambda one: one.score)


def _tried(
    locator: LandmarkLocator, image: NDArray[np.uint8], regions: Regions, box: Floats, is_right: bool
) -> list[_Candidate]:
    found, presence, right = locator(image, regions, not is_right)
    scores = [float(p) * box_overlap(np.concatenate((xy.min(0), xy.max(0))), box) for xy, p in zip(found, presence)]
    return [_Candidate(scores[n], float(regions.angle[n]), found[n], float(right[n])) for n in range(len(found))]


def _vote(locator: LandmarkLocator, clip: FrameSource, boxes: Floats, known: Bools) -> bool:
    """Return whether crops look more like a right hand than, mirrored, like one."""
    frames = np.flatnonzero(known)
    if not len(frames):
        return True
    chosen = set(frames[np.unique(np.linspace(0, len(frames) - 1, min(VOTES, len(frames))).astype(int))].tolist())
    total = 0.0
    for frame, image in clip.images(min(chosen), max(chosen) + 1):
        if frame in chosen:
            right, left = (_best(locator, image, boxes[frame], TURNS, side) for side in (True, False))
            total += right.score * (right.right + 0.5) - left.score * (left.right + 0.5)
    return total >= 0
