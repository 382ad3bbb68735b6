"""The content of a camera file before it meets a clip; other tools' lens coefficients converted to ours."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hmpfit.records import Floats

FISHEYE_NAMES = ("fisheye", "equidistant", "kannala_brandt", "kannalabrandt", "opencv_fisheye", "kb4", "kb8")
PLAIN_NAMES = (
    "", "none", "plumb_bob", "radtan", "radial_tangential", "rational_polynomial", "rational", "brown", "brown_conrady",
    "opencv", "full_opencv", "pinhole", "perspective",
)  # fmt: skip
_RATIONAL, _MOST = 8, 14


class UnreadableError(ValueError):
    """A camera file lacks what is needed; the message names it."""


@dataclass(frozen=True)
class Calibration:
    """A camera as its file has it: K [frames | 1, 3, 3] in pixels of `size` (width, height), None where not given."""

    K: Floats
    distortion: Floats | None = None  # [4 | 5 | 8], see geometry.lenses
    size: tuple[int, int] | None = None


def pinhole(fx: float, fy: float, cx: float, cy: float) -> Floats:
    """Return K [1, 3, 3]."""
    return np.array([[[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]])


def lens(coefficients: Sequence[float] | Floats | None, model: str | None = None) -> Floats | None:
    """Return distortion as [4] of a fisheye, or [5 | 8] of OpenCV's, None where nothing is distorted.

    `model` is the file's name for it; without one OpenCV's order k1 k2 p1 p2 k3 k4 k5 k6 is meant. Raises
    UnreadableError for models and coefficients that are not known: none is dropped.
    """
    values = np.ravel(np.asarray([] if coefficients is None else coefficients, dtype=np.float64))
    name = (model or "").strip().lower().replace("-", "_").replace(" ", "_")
    if name in FISHEYE_NAMES:
        if len(values) > 4 and values[4:].any():
            raise UnreadableError(f"a fisheye has the four numbers k1 k2 k3 k4, and {len(values)} are given")
        return np.pad(values, (0, 4))[:4]
    if name not in PLAIN_NAMES:
        known = ", ".join(sorted({*FISHEYE_NAMES, *PLAIN_NAMES} - {""}))
        raise UnreadableError(f"the distortion model '{model}' is not known; known: {known}")
    if len(values) > _MOST:
        raise UnreadableError(f"{len(values)} distortion coefficients are more than any model of OpenCV has")
    if values[_RATIONAL:].any():
        raise UnreadableError(
            "thin-prism and tilt distortion (coefficients after k6) cannot be used; calibrate without"
        )
    values = np.pad(values, (0, _RATIONAL))[:_RATIONAL]
    if not values.any():
        return None
    return values if values[5:].any() else values[:5]
