"""Joints that are visible by a dataset's own segmentation: their pixel lies on the hand, or hardly beside it.

Separate from the readers, because HO3D and DexYCB ask the same of different files. A segmentation knows what lies over
the hand, not which finger lies over another: a joint behind the hand's own palm counts as seen.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.cameras import project_array
from hmpfit.records import Floats

Mask = NDArray[np.bool_]

# A joint may be drawn just beside the silhouette: 5 pixels of 640 (6 mm at 0.7 m), and at least one pixel of the
# segmentation's own.
REACH = 5 / 640


def joints_on_hand(joints_m: Floats, K: Floats, masks: Iterable[Mask | None], size: tuple[int, int]) -> Mask:
    """Return which joints [T, 21, 3] (meters, OpenCV axes) are seen, [T, 21].

    `masks` yields a frame's hand [height, width] at any resolution, or None where it is not known: then, as in frames
    without joints, every joint counts as seen. K [3, 3] and `size` (width, height) are the picture's, pixels. Joints
    outside the picture are hidden.
    """
    seen = np.ones(joints_m.shape[:2], dtype=bool)
    for frame, mask in enumerate(masks):
        points = joints_m[frame]
        if mask is None or not np.isfinite(points).all():
            continue
        xy_px = project_array(points, K)
        inside = (points[:, 2] > 0) & ((xy_px >= -0.5) & (xy_px < np.array(size) - 0.5)).all(-1)
        seen[frame] = inside & _near(mask, xy_px, size)
    return seen


def _near(mask: Mask, xy_px: Floats, size: tuple[int, int]) -> Mask:
    """Return which points have a pixel of the mask within reach."""
    import cv2

    if not mask.any():
        return np.zeros(len(xy_px), dtype=bool)
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    scale = np.array(mask.shape[::-1]) / size
    at = np.clip(np.floor((xy_px + 0.5) * scale).astype(int), 0, np.array(mask.shape[::-1]) - 1)
    return np.asarray(distance[at[:, 1], at[:, 0]] <= max(REACH * mask.shape[1], 1.0) + 1e-6)
