"""Square, rotated regions of an image that hold one hand: where they lie, how they map, how crops are cut.

Separate from the networks because tracking and recovery reason about regions without pixels. Pixel coordinates are
continuous: the image spans 0..width and the center of its first pixel is (0.5, 0.5), so that mirroring is width - x.
The two placing rules and their numbers are those of MediaPipe's hand graphs, checked against its Tasks API
(tests/keypoints/test_mediapipe.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.records import Floats
from hmpfit.skeleton import FINGERS, openpose

CROP = 224  # the landmark network's input side

_WRIST = openpose("wrist")
_INDEX, _MIDDLE, _RING = openpose("index1"), openpose("middle1"), openpose("ring1")
# Fingers' ends are left out: they move the box most.
_STEADY_NAMES = ["wrist", "thumb1", "thumb2", "thumb3"]
_STEADY_NAMES += [f"{finger}{part}" for finger in FINGERS[1:] for part in (1, 2)]
_STEADY = tuple(openpose(name) for name in _STEADY_NAMES)
_PALM_SCALE, _PALM_SHIFT = 2.6, -0.5
_HAND_SCALE, _HAND_SHIFT = 2.0, -0.1


@dataclass(frozen=True)
class Regions:
    """Squares whose up axis (wrist to middle finger) is turned by `angle` (radians) from the image's; any axes."""

    center_px: Floats  # [..., 2]
    side_px: Floats  # [...]
    angle: Floats  # [...]

    def __getitem__(self, index: Any) -> "Regions":
        return Regions(self.center_px[index], self.side_px[index], self.angle[index])

    def turned(self, angle: Floats | float, scale: Floats | float = 1.0) -> "Regions":
        """Return the regions rotated by `angle` and scaled about their centers."""
        side, turned = np.broadcast_arrays(self.side_px * scale, self.angle + angle)
        return Regions(np.broadcast_to(self.center_px, (*side.shape, 2)), side, turned)


def from_landmarks(xy_px: Floats) -> Regions:
    """Place regions around 21 landmarks [..., 21, 2] as MediaPipe's tracking does."""
    knuckles = ((xy_px[..., _INDEX, :] + xy_px[..., _RING, :]) / 2 + xy_px[..., _MIDDLE, :]) / 2
    return _around(xy_px[..., _STEADY, :], knuckles - xy_px[..., _WRIST, :], _HAND_SCALE, _HAND_SHIFT)


def from_palm(box_px: Floats, wrist_px: Floats, middle_px: Floats) -> Regions:
    """Place regions on palm boxes [..., 4] (left, top, right, bottom) with their wrist and middle-knuckle points."""
    up = middle_px - wrist_px
    center, extent = (box_px[..., :2] + box_px[..., 2:]) / 2, box_px[..., 2:] - box_px[..., :2]
    angle = np.arctan2(up[..., 0], -up[..., 1])
    shift = _PALM_SHIFT * extent[..., 1:] * np.stack((-np.sin(angle), np.cos(angle)), axis=-1)
    return Regions(center + shift, _PALM_SCALE * extent.max(axis=-1), angle)


def _around(points: Floats, up: Floats, scale: float, shift: float) -> Regions:
    angle = np.arctan2(up[..., 0], -up[..., 1])
    cos, sin = np.cos(angle)[..., None], np.sin(angle)[..., None]
    right, down = np.concatenate((cos, sin), axis=-1), np.concatenate((-sin, cos), axis=-1)
    along = np.einsum("...kc,...c->...k", points, right), np.einsum("...kc,...c->...k", points, down)
    low, high = (np.stack([limit(a, axis=-1) for a in along], axis=-1) for limit in (np.min, np.max))
    middle, extent = (low + high) / 2, high - low
    center = middle[..., :1] * right + (middle[..., 1:] + shift * extent[..., 1:]) * down
    return Regions(center, scale * extent.max(axis=-1), angle)


def crop_axes(regions: Regions, mirrored: NDArray[np.bool_] | bool) -> Floats:
    """Return the orthogonal matrices [..., 2, 2] whose columns are the crop's x and y axes in the image.

    A mirrored crop has its x axis turned round: a left hand looks like a right one in it.
    """
    cos, sin = np.cos(regions.angle), np.sin(regions.angle)
    sign = np.where(mirrored, -1.0, 1.0)
    return np.stack((np.stack((sign * cos, -sin), -1), np.stack((sign * sin, cos), -1)), -2)


def anchors(grids: Sequence[tuple[int, int]]) -> Floats:
    """Return the centers [N, 2], in 0..1, of a detector's grids given as (cells a side, anchors a cell)."""
    rows = []
    for cells, count in grids:
        steps = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(steps, steps, indexing="ij")
        rows.append(np.repeat(np.stack((x, y), axis=-1).reshape(-1, 2), count, axis=0))
    return np.concatenate(rows)


def to_image(crop_xy: Floats, regions: Regions, mirrored: NDArray[np.bool_] | bool, size: int = CROP) -> Floats:
    """Map crop points [..., K, 2] (0..size) to the image, pixels."""
    axes = crop_axes(regions, mirrored) * (np.asarray(regions.side_px)[..., None, None] / size)
    return (crop_xy - size / 2) @ np.swapaxes(axes, -1, -2) + regions.center_px[..., None, :]


def cut(image: NDArray[np.uint8], region: Regions, mirrored: bool, size: int = CROP) -> NDArray[np.uint8]:
    """Cut one region out of an RGB image [height, width, 3] as [size, size, 3]; outside the image it is black."""
    import cv2

    axes = crop_axes(region, mirrored) * (float(region.side_px) / size)
    # cv2 counts from pixel centers, we from pixel edges: both grids are half a pixel off.
    offset = region.center_px + axes @ np.full(2, 0.5 - size / 2) - 0.5
    matrix = np.concatenate((axes, offset[:, None]), axis=1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=flags), dtype=np.uint8)


def box_overlap(a: Floats, b: Floats) -> float:
    """Return the intersection over union of two upright boxes, each x0, y0, x1, y1."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = float(np.clip(high - low, 0, None).prod())
    return common / max(float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - common, 1e-9)
