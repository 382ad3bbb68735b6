"""Marks of the overlay that can be read on any picture: contours, bones by finger, dots, tags, and the legend.

Separate from `overlay`, which knows results and videos; here are pixels only.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hmpfit.records import Floats
from hmpfit.skeleton import BONES
from hmpfit.synthesis.renderer import Drawing, blend_over

Image = NDArray[np.uint8]
Color = tuple[int, int, int]

# Thumb, index, middle, ring, little finger: bright, and none a color of skin.
FINGER_RGB: tuple[Color, ...] = ((255, 255, 255), (255, 240, 90), (120, 255, 140), (90, 235, 255), (185, 140, 255))
_DARK = (15, 15, 20)
_CONTOUR_PX = 1.1  # standard deviation of the blur that the contour follows
_PAD_PX = 4
_SUBPIXEL_BITS = 3
_LEAST_DOT_PX, _DOTS_TO_A_SIDE, _LEAST_DOT_OPACITY = 3.0, 200, 0.2  # radius, and of the picture's shorter side
_BONES_TO_A_SIDE = 360
_LEAST_SIDE_FOR_CASING_PX = 480  # on less, dark casings around the bones would hide the hand
_LEAST_WIDTH_PX, _LEAST_HEIGHT_PX = 400, 200  # a legend on less would hide what it explains


def draw_contour(image: Image, drawing: Drawing, color: Floats, strength: float = 1.0) -> None:
    """Draw an anti-aliased line along the silhouette of a drawing into an RGB image, in place: dark, then `color`."""
    import cv2

    height, width = drawing.coverage.shape
    if not (height and width):
        return
    top, left = max(drawing.y - _PAD_PX, 0), max(drawing.x - _PAD_PX, 0)
    bottom = min(drawing.y + height + _PAD_PX, image.shape[0])
    right = min(drawing.x + width + _PAD_PX, image.shape[1])
    inside = np.zeros((bottom - top, right - left), np.float32)
    inside[drawing.y - top : drawing.y - top + height, drawing.x - left : drawing.x - left + width] = drawing.coverage
    part = image[top:bottom, left:right]
    for blur_px, ink, share in ((2 * _CONTOUR_PX, np.array(_DARK, float), 0.45), (_CONTOUR_PX, color, 0.9)):
        soft = cv2.GaussianBlur(inside, (0, 0), blur_px, borderType=cv2.BORDER_REPLICATE)
        line = np.float32(16 * share * strength) * np.square(soft * (1 - soft))
        over = np.empty(part.shape, np.uint8)
        cv2.rectangle(over, (0, 0), (part.shape[1], part.shape[0]), ink.round().tolist(), -1)
        blend_over(part, over, line)


def draw_bones(image: Image, xy_px: Floats, color: Floats | None, thickness_px: int) -> None:
    """Draw the bones between 21 points [21, 2] in pixels, each finger in a color of its own unless `color` is given."""
    import cv2

    if not np.isfinite(xy_px).all():
        return
    points = fixed_point(xy_px)
    passes = [(thickness_px, False)]
    if min(image.shape[:2]) >= _LEAST_SIDE_FOR_CASING_PX:
        passes.insert(0, (thickness_px + 2, True))
    for line_px, dark in passes:
        for parent, child in BONES:
            own = FINGER_RGB[(child - 1) // 4] if color is None else tuple(color.tolist())
            ink = _DARK if dark else own
            ends = points[parent].tolist(), points[child].tolist()
            cv2.line(image, *ends, ink, line_px, cv2.LINE_AA, _SUBPIXEL_BITS)


def bone_width_px(image: Image) -> int:
    """Return a width of bones over a mesh whose colors are still told apart where the picture is shown smaller."""
    return max(1, round(min(image.shape[:2]) / _BONES_TO_A_SIDE))


def draw_dots(image: Image, xy_px: Floats, confidence: Floats) -> None:
    """Draw a white dot at each point [21, 2]: large and solid where `confidence` [21] is 1, none where it is 0."""
    import cv2

    largest = max(_LEAST_DOT_PX, min(image.shape[:2]) / _DOTS_TO_A_SIDE)
    shown = np.isfinite(xy_px).all(-1) & (confidence > 0)
    sides, pixels = (image.shape[1], image.shape[0]), np.floor(np.where(shown[:, None], xy_px, -1)).astype(int)
    shown &= ((pixels >= 0) & (pixels < sides)).all(-1)
    centers = fixed_point(np.where(shown[:, None], xy_px, 0))
    for point in np.flatnonzero(shown):
        (x, y), sure = pixels[point].tolist(), float(min(confidence[point], 1))
        radius = largest * (0.6 + 0.4 * sure)
        reach = int(np.ceil(radius)) + 2
        top, left = max(y - reach, 0), max(x - reach, 0)
        box = image[top : y + reach + 1, left : x + reach + 1]
        inked, center = box.copy(), (centers[point] - (left << _SUBPIXEL_BITS, top << _SUBPIXEL_BITS)).tolist()
        for ink, size in ((_DARK, radius + 0.6), ((255, 255, 255), radius - 0.4)):
            cv2.circle(inked, center, round(size * (1 << _SUBPIXEL_BITS)), ink, -1, cv2.LINE_AA, _SUBPIXEL_BITS)
        share = max(sure, _LEAST_DOT_OPACITY)
        box[:] = cv2.addWeighted(inked, share, box, 1 - share, 0)


def draw_tag(image: Image, beside_px: Floats, text: str, color: Color) -> None:
    """Draw a word in white on a panel of a color, below and to the right of a point, inside the image."""
    import cv2

    height, width = image.shape[:2]
    if not np.isfinite(beside_px).all():
        return
    size, font = max(0.4, min(height, width) / 1300), cv2.FONT_HERSHEY_SIMPLEX
    (long, tall), _ = cv2.getTextSize(text, font, size, 1)
    pad = round(8 * size) + 1
    x = int(np.clip(beside_px[0] + 8, 0, max(width - long - 2 * pad, 0)))
    y = int(np.clip(beside_px[1] + 8, 0, max(height - tall - 2 * pad - 16, 0)))
    part = image[y : y + tall + 2 * pad, x : x + long + 2 * pad]
    part[:] = (0.15 * part + 0.85 * 0.75 * np.array(color)).astype(np.uint8)
    cv2.putText(image, text, (x + pad, y + pad + tall), font, size, (255, 255, 255), 1, cv2.LINE_AA)


def draw_legend(image: Image, entries: Sequence[tuple[str, Color]]) -> None:
    """Draw a line of names with their colors at the top left, where no player's controls hide it, in place."""
    import cv2

    height, width = image.shape[:2]
    if width < _LEAST_WIDTH_PX or height < _LEAST_HEIGHT_PX or not entries:
        return
    size = max(0.4, min(width, height) / 1200)
    font, swatch, gap = cv2.FONT_HERSHEY_SIMPLEX, round(22 * size), round(14 * size)
    lengths = [swatch + gap // 2 + cv2.getTextSize(text, font, size, 1)[0][0] + gap for text, _ in entries]
    tall = round(34 * size)
    top, left = 4, 4
    panel = image[top : top + tall, left : left + gap + sum(lengths)]
    panel[:] = (0.3 * panel + 0.7 * np.array(_DARK)).astype(np.uint8)
    x = left + gap
    for (text, color), length in zip(entries, lengths, strict=True):
        middle = top + tall // 2
        cv2.rectangle(image, (x, middle - swatch // 3), (x + swatch, middle + swatch // 3), color, -1)
        at = (x + swatch + gap // 2, middle + round(8 * size))
        cv2.putText(image, text, at, font, size, (255, 255, 255), 1, cv2.LINE_AA)
        x += length


def fixed_point(xy_px: Floats) -> NDArray[np.int32]:
    """Return OpenCV's fixed-point coordinates; its pixel centers are whole numbers, ours end in a half."""
    return ((np.clip(xy_px, -1e4, 1e5) - 0.5) * (1 << _SUBPIXEL_BITS)).round().astype(np.int32)
