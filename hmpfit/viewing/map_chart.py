"""The world seen from above, as SVG for the report and as lines for the overlay: the camera's path and the wrists'.

Separate from `charts`, whose axis is time.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hmpfit.records import Floats

_WIDTH, _HEIGHT, _MARGIN = 880, 320, 24
_INSET_SHARE, _INSET_MARGIN_PX = 0.2, 8
_CAMERA_RGB = (255, 255, 255)


def map_from_above(curves: Sequence[tuple[str, Floats]]) -> str:
    """Return an SVG of named paths [T, 2] (x to the right, z upwards; meters) at one scale, with a bar for it."""
    places = np.concatenate([points for _, points in curves])
    low, per_m = _fit(places, _WIDTH, _HEIGHT, _MARGIN)
    step = _round_length(120 / per_m)
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="paths from above">']
    for name, points in curves:
        xy = _pixels(points, low, per_m, _HEIGHT, _MARGIN)
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in xy)
        drawn = 'stroke="currentColor" stroke-dasharray="5 3"' if name == "camera" else ""
        parts.append(f'<polyline class="curve {name}" {drawn} points="{line}"/>')
        if name == "camera":
            parts.append(f'<circle cx="{xy[0, 0]:.1f}" cy="{xy[0, 1]:.1f}" r="4" fill="currentColor"/>')
    end = _WIDTH - _MARGIN
    parts.append(f'<line class="grid" x1="{end - step * per_m:.1f}" x2="{end}" y1="{_HEIGHT - 8}" y2="{_HEIGHT - 8}"/>')
    parts.append(f'<text class="tick" x="{end}" y="{_HEIGHT - 14}" text-anchor="end">{step:g} m</text></svg>')
    return "".join(parts)


class MapInset:
    """A small map in a corner of a picture: the paths so far, and where camera and wrists are now."""

    def __init__(self, camera_m: Floats, wrists_m: Floats, colors: Sequence[tuple[int, int, int]]) -> None:
        """Take the camera's places [T, 3] and the wrists' [H, T, 3] in the world, and a color per hand."""
        self._curves = [camera_m[:, [0, 2]], *(wrist[:, [0, 2]] for wrist in wrists_m)]
        self._colors = [_CAMERA_RGB, *colors]

    def draw(self, image: NDArray[np.uint8], frame: int) -> None:
        """Draw the map of a frame into an RGB image, in place."""
        import cv2

        side = int(_INSET_SHARE * min(image.shape[:2]))
        if side < 40:
            return
        part = image[_INSET_MARGIN_PX : _INSET_MARGIN_PX + side, -_INSET_MARGIN_PX - side : -_INSET_MARGIN_PX]
        part[:] = (0.35 * part + 0.65 * 30).astype(np.uint8)
        inset = np.ascontiguousarray(part)
        low, per_m = _fit(np.concatenate(self._curves), side, side, 6)
        for points, color in zip(self._curves, self._colors, strict=True):
            xy = _pixels(points[: frame + 1], low, per_m, side, 6).round().astype(np.int32)
            cv2.polylines(inset, [xy[:, None]], False, color, 1, cv2.LINE_AA)
            cv2.circle(inset, (int(xy[-1, 0]), int(xy[-1, 1])), 3, color, -1, cv2.LINE_AA)
        part[:] = inset


def _fit(places: Floats, width: int, height: int, margin: int) -> tuple[Floats, float]:
    """Return the middle of the places and the pixels per meter at which all of them fit."""
    low, high = places.min(axis=0), places.max(axis=0)
    span = np.maximum(high - low, 0.05)
    per_m = float(min((width - 2 * margin) / span[0], (height - 2 * margin) / span[1]))
    shown = np.array([width - 2 * margin, height - 2 * margin]) / per_m
    return (low + high) / 2 - shown / 2, per_m


def _pixels(points: Floats, low: Floats, per_m: float, height: int, margin: int) -> Floats:
    at = (points - low) * per_m + margin
    return np.stack((at[:, 0], height - at[:, 1]), axis=1)


def _round_length(length: float) -> float:
    power = 10.0 ** np.floor(np.log10(length))
    return float(power * max(step for step in (1, 2, 5) if step * power <= length))
