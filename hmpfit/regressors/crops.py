"""Square crops of hands: where they lie, how they are cut, and how 3D turns with them.

Separate from training and from estimation, which must cut alike. Pixel coordinates are continuous: an image spans
0..width and its first pixel's center is 0.5.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.cameras import rays, rotation_from_optical_axis
from hmpfit.records import Floats
from hmpfit.skeleton import OPENPOSE_MIDDLE_MCP, OPENPOSE_WRIST

MARGIN = 1.5  # side of the box per longer extent of the joints (HandOccNet's)


@dataclass(frozen=True)
class Crop:
    """A square of an image. Turned by `angle` (radians): the crop's up axis lies clockwise from the image's by it."""

    center_px: Floats  # [2]
    side_px: float
    angle: float = 0.0

    def to_image(self) -> Floats:
        """Return the affine map [2, 3] from crop coordinates in 0..1 to image pixels."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        axes = self.side_px * np.array([[cos, -sin], [sin, cos]])
        return np.concatenate((axes, (self.center_px - axes @ np.full(2, 0.5))[:, None]), axis=1)

    def from_image(self, xy_px: Floats) -> Floats:
        """Map image pixels [..., 2] to crop coordinates, 0..1 inside."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        axes = np.array([[cos, -sin], [sin, cos]]) / self.side_px
        return (xy_px - self.center_px) @ axes + 0.5

    def points_to_image(self, xy: Floats) -> Floats:
        """Map crop coordinates [..., 2] (0..1 inside) to image pixels."""
        matrix = self.to_image()
        return xy @ matrix[:, :2].T + matrix[:, 2]

    def cut(self, image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """Cut the crop out of an RGB image [h, w, 3] as [size, size, 3]; what lies outside repeats the border."""
        import cv2

        matrix = self.to_image()
        axes = matrix[:, :2] / size
        offset = matrix[:, 2] + axes @ np.full(2, 0.5) - 0.5  # cv2 counts from pixel centers
        inverse = np.concatenate((axes, offset[:, None]), axis=1)
        shrink = np.hypot(*axes[:, 0])
        if shrink > 2:  # a linear sample of every second pixel would alias
            scale = 1 / shrink
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
            inverse = np.concatenate((axes * scale, ((offset + 0.5) * scale - 0.5)[:, None]), axis=1)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        out = cv2.warpAffine(image, inverse, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(out, dtype=np.uint8)

    def rotation(self, K: Floats, distortion: Floats | None = None) -> Floats:
        """Return R [3, 3] that turns vectors of the crop's own camera into the camera's axes.

        The crop's camera looks straight at the crop's center and stands as the crop is turned; a network that sees the
        crop alone can only know the hand in those axes. K [3, 3] is the image's, `distortion` its lens.
        """
        ray = rays(np.asarray(self.center_px, dtype=np.float64), K, distortion)
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        roll = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        return rotation_from_optical_axis(ray) @ roll


def around(xy_px: Floats, upright: bool = False, margin: float = MARGIN) -> Crop:
    """Return one crop around all given points [..., 21, 2], NaN left out; `upright` turns the hand's fingers up.

    Of several frames or hands the longest wrist-to-knuckle direction decides the turn. A box has at least 8 pixels.
    """
    points = xy_px.reshape(-1, 2)
    known = points[np.isfinite(points).all(axis=1)]
    low, high = known.min(axis=0), known.max(axis=0)
    side = max(float((high - low).max()) * margin, 8.0)
    angle = 0.0
    if upright:
        up = (xy_px[..., OPENPOSE_MIDDLE_MCP, :] - xy_px[..., OPENPOSE_WRIST, :]).reshape(-1, 2)
        total = np.nan_to_num(up).sum(axis=0)
        angle = float(np.arctan2(total[0], -total[1])) if np.hypot(*total) > 0 else 0.0
    return Crop((low + high) / 2, side, angle)


def around_box(box_px: Floats, margin: float = MARGIN) -> Crop:
    """Return the square crop around a box (x0, y0, x1, y1), widened by `margin`."""
    low, high = np.asarray(box_px[:2], dtype=float), np.asarray(box_px[2:], dtype=float)
    return Crop((low + high) / 2, max(float((high - low).max()) * margin, 8.0))
