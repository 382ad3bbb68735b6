"""Straight segments of the static scene, from one picture or from several of a still camera."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hmpfit.camera_motion.point_tracks import working_images
from hmpfit.camera_motion.stillness import PAIR_SHARE, is_still_camera
from hmpfit.records import Floats

Image = NDArray[np.uint8]
Outside = Callable[[int, int, int, float], Image]  # `HandMasks.outside`

_WORKING_SIDE = 1280
_LEAST_LENGTH, _MOST_SEGMENTS = 0.02, 250  # of the longer side; the longest are kept
_MOST_VIEWS = 3
_HIDDEN_SHARE = 0.75  # of the pictures; what is hidden in more is a hand or an arm that rests


def scene_segments(images: list[tuple[int, Image]], outside: Outside, principal_px: Floats) -> list[Floats]:
    """Return segments [N, 2, 2] of the scene in longer sides from the principal point, one array for each view of it.

    `images` are (frame, RGB) in order. Pictures from one place are one view, their median, in which what moves
    disappears; of a camera that moves each is a view. Segments where hands and forearms are nearly always are left out.
    """
    views = []
    for group in _same_place(images, outside):
        image = group[0][1]
        ends = _segments(np.median(np.stack([_gray(image) for _, image in group]), axis=0).astype(np.uint8))
        views.append((_off_hands(ends, group, outside) - principal_px) / max(image.shape))
    return views


def _same_place(images: list[tuple[int, Image]], outside: Outside) -> list[list[tuple[int, Image]]]:
    """Return the pictures in groups that the camera took from one place, the largest groups, at most `_MOST_VIEWS`."""
    groups: list[list[tuple[int, Image]]] = []
    left = list(zip(images, working_images(images), strict=True))
    while left:
        (first, reference), rest = left[0], left[1:]
        same = [bool(is_still_camera((reference, working), outside, 2, PAIR_SHARE)) for _, working in rest]
        groups.append([first, *(other for (other, _), still in zip(rest, same) if still)])
        left = [one for one, still in zip(rest, same) if not still]
    most = max(len(group) for group in groups)
    kept = [group for group in groups if 2 * len(group) > most]
    return [kept[i] for i in np.unique(np.linspace(0, len(kept) - 1, min(len(kept), _MOST_VIEWS)).round().astype(int))]


def _off_hands(ends: Floats, group: list[tuple[int, Image]], outside: Outside) -> Floats:
    """Return the segments [N, 2, 2] that hands and forearms hide in at most `_HIDDEN_SHARE` of the pictures."""
    height, width = group[0][1].shape[:2]
    hidden = np.mean([outside(frame, width, height, 1.0) == 0 for frame, _ in group], axis=0)
    inside = np.clip(ends.mean(axis=1), 0, (width - 1, height - 1)).astype(int)
    return ends[hidden[inside[:, 1], inside[:, 0]] <= _HIDDEN_SHARE]


def _gray(image: Image) -> Image:
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _segments(gray: Image) -> Floats:
    """Return the longest segments [N, 2, 2] in pixels, the longest first; large pictures are reduced first."""
    import cv2

    scale = min(1.0, _WORKING_SIDE / max(gray.shape))
    if scale < 1:
        gray = np.asarray(cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    lines = cv2.createLineSegmentDetector(cv2.LSD_REFINE_STD).detect(gray)[0]
    if lines is None:
        return np.zeros((0, 2, 2))
    ends = lines[:, 0].reshape(-1, 2, 2).astype(np.float64)
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    order = np.argsort(-length, kind="stable")[:_MOST_SEGMENTS]
    return ends[order[length[order] > _LEAST_LENGTH * max(gray.shape)]] / scale
