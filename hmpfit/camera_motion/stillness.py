"""Test whether the camera is still, first and on few frames, because most cameras are.

Corners of a reference frame are looked for in other frames where they were: of a still camera's most are there,
whatever moves before it.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from hmpfit.camera_motion.point_tracks import Image, cells, corners, follow_points
from hmpfit.records import Floats

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
    still where `still_share` of its corners are. Stops as soon as the camera cannot be still any more.
    """
    most_moved = count - int(np.ceil(_FRAMES_SHARE * (count - 1))) - 1
    reference: Image | None = None
    moved, compared, plain = 0, 0, 0
    at: Floats = np.zeros((0, 2), np.float32)
    for frame, gray, scale in images:
        height, width = gray.shape
        allowed = outside(frame, width, height, scale)
        if reference is None:
            reference, at = _evened(gray), corners(gray, allowed)
            continue
        pixels = at.astype(int)
        shown = allowed[pixels[:, 1], pixels[:, 0]] > 0
        there, good = follow_points(reference, _evened(gray), at[shown], at[shown])
        if good.sum() < _FEWEST or cells(at[shown][good]) < _FEWEST_CELLS:
            here = corners(gray, allowed)
            plain += len(here) < _FEWEST or cells(here) < _FEWEST_CELLS
            continue
        compared += 1
        still = np.linalg.norm(there - at[shown], axis=1)[good] < _STILL_PX
        few = still.sum() < still_share * max(good.sum(), 0.5 * len(good))
        moved += bool(few or cells(at[shown][good][still]) < _FEWEST_CELLS)
        if moved > most_moved:
            return False
    half = 0.5 * (count - 1)
    return None if plain > half else compared >= half


def _evened(gray: Image) -> Image:
    """Return the image with a mean of 128 and a standard deviation of 48, so that exposure does not matter."""
    values = gray.astype(np.float32)
    return np.clip((values - values.mean()) * (48 / max(float(values.std()), 1.0)) + 128, 0, 255).astype(np.uint8)
