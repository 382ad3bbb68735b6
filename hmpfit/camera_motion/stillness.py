"""Test whether the camera is still, first and on few frames, because most cameras are.

Corners of a reference frame are looked for in other frames where they were: of a still camera's most are there,
whatever moves before it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hmpfit.camera_motion.point_tracks import Image, cells, corners, follow_points
from hmpfit.process_copies import Send, side_by_side
from hmpfit.records import Floats

Sample = tuple[int, Image, float]

SAMPLES_PER_S, MOST_SAMPLES = 4.0, 240
_STILL_PX = 0.75  # at the working size: a tripod's tremble and the codec's
_STILL_SHARE, _FRAMES_SHARE = 0.2, 0.97  # of the corners of a frame; of the frames
PAIR_SHARE = 0.25  # of the corners, where two pictures are all there is
_FEWEST, _FEWEST_CELLS = 12, 5  # corners, and places in which some are: people leave that much of a room free


def sampled_frames(times_s: Floats) -> NDArray[np.int64]:
    """Return the frames to compare: the first, the last, and some evenly between."""
    count = int(np.clip((times_s[-1] - times_s[0]) * SAMPLES_PER_S, 2, MOST_SAMPLES)) + 1
    return np.unique(np.linspace(0, len(times_s) - 1, count).round().astype(np.int64))


def is_still_camera(
    images: Iterable[tuple[int, Image, float]],
    outside: Callable[[int, int, int, float], Image],
    count: int,
    still_share: float = _STILL_SHARE,
) -> bool | None:
    """Return whether a camera is still; None where half of the frames are too plain to follow anything.

    `images` are `count` frames from `working_images`, `outside` the mask of `HandMasks`. A frame is
    still where `still_share` of its corners are. Stops as soon as the camera cannot be still any more. Halves of images
    that are there already are looked at side by side.
    """
    most_moved = count - int(np.ceil(_FRAMES_SHARE * (count - 1))) - 1
    some = iter(images)
    first = next(some, None)
    if first is None:
        return None
    frame, gray, scale = first
    allowed = outside(frame, gray.shape[1], gray.shape[0], scale)
    look = _Look(_evened(gray), corners(gray, allowed), outside, still_share, most_moved)
    parts: list[Iterable[Sample]] = [some]
    if isinstance(images, Sequence):
        middle = (len(images) + 1) // 2
        parts = [images[1:middle], images[middle:]]
    found = side_by_side([partial(look, part) for part in parts])
    moved, compared, plain = (sum(counts) for counts in zip(*found, strict=True))
    if moved > most_moved:
        return False
    half = 0.5 * (count - 1)
    return None if plain > half else compared >= half


@dataclass(frozen=True)
class _Look:
    """Looks for the corners of a reference frame in others."""

    reference: Image
    at: Floats  # [N, 2] the corners
    outside: Callable[[int, int, int, float], Image]
    still_share: float
    most_moved: int

    def __call__(self, images: Iterable[Sample], send: Send) -> tuple[int, int, int]:
        """Return in how many frames corners moved, could be compared, and were too few, up to `most_moved`."""
        moved, compared, plain = 0, 0, 0
        pixels = self.at.astype(int)
        for frame, gray, scale in images:
            allowed = self.outside(frame, gray.shape[1], gray.shape[0], scale)
            at = self.at[allowed[pixels[:, 1], pixels[:, 0]] > 0]
            there, good = follow_points(self.reference, _evened(gray), at, at)
            if good.sum() < _FEWEST or cells(at[good]) < _FEWEST_CELLS:
                here = corners(gray, allowed)
                plain += len(here) < _FEWEST or cells(here) < _FEWEST_CELLS
                continue
            compared += 1
            still = np.linalg.norm(there - at, axis=1)[good] < _STILL_PX
            few = still.sum() < self.still_share * max(good.sum(), 0.5 * len(good))
            moved += bool(few or cells(at[good][still]) < _FEWEST_CELLS)
            if moved > self.most_moved:
                break
        return moved, compared, plain


def _evened(gray: Image) -> Image:
    """Return the image with a mean of 128 and a standard deviation of 48, so that exposure does not matter."""
    values = gray.astype(np.float32)
    return np.clip((values - values.mean()) * (48 / max(float(values.std()), 1.0)) + 128, 0, 255).astype(np.uint8)
