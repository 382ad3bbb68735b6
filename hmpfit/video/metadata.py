"""Focal lengths in the metadata of files: EXIF of photos, QuickTime tags of videos.

Separate from the readers of pixels. A focal length "equivalent to 35 mm film" is one of the same diagonal angle of view
(CIPA DCG-001), and film has a diagonal of 43.27 mm.
"""

import math
from collections.abc import Mapping
from typing import Any

FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
QUICKTIME_35MM = "com.apple.quicktime.camera.focal_length.35mm_equivalent"
_EXIF_IFD = 0x8769
_FOCAL_MM, _FOCAL_35MM = 0x920A, 0xA405
_PLANE_X, _PLANE_Y, _PLANE_UNIT = 0xA20E, 0xA20F, 0xA210
_PIXELS_X, _PIXELS_Y = 0xA002, 0xA003
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
_SHORTEST_MM, _LONGEST_MM = 8.0, 400.0  # of a lens on film with which a hand can be seen; others are errors
_SAME_SHAPE = 0.02


def focal_of_equivalent(focal_35mm: float, width: int, height: int) -> float | None:
    """Return the focal length in pixels of a 35 mm equivalent, or None for one that no such camera has."""
    if not (math.isfinite(focal_35mm) and _SHORTEST_MM <= focal_35mm <= _LONGEST_MM):
        return None
    return focal_35mm * math.hypot(width, height) / FILM_DIAGONAL_MM


def focal_from_metadata(tags: Mapping[str, str], width: int, height: int) -> float | None:
    """Return the focal length in pixels that a video's tags tell, or None."""
    for key, value in tags.items():
        if key.lower().endswith("focal_length.35mm_equivalent"):
            try:
                return focal_of_equivalent(float(str(value).split()[0]), width, height)
            except (ValueError, IndexError):
                return None
    return None


def focal_from_exif(exif: Any, width: int, height: int) -> float | None:
    """Return the focal length in pixels that a photo's EXIF (Pillow's) tells, or None.

    The 35 mm equivalent comes first, then the lens with the sensor's pixels. A picture that was cut to another shape
    than the camera took tells nothing.
    """
    tags = exif.get_ifd(_EXIF_IFD)
    taken = _number(tags.get(_PIXELS_X)), _number(tags.get(_PIXELS_Y))
    scale = 1.0
    if taken[0] > 0 and taken[1] > 0:
        shape, shown = max(taken) / min(taken), max(width, height) / min(width, height)
        if abs(shape / shown - 1) > _SAME_SHAPE:
            return None
        scale = math.hypot(width, height) / math.hypot(*taken)
    equivalent = focal_of_equivalent(_number(tags.get(_FOCAL_35MM)), width, height)
    if equivalent is not None:
        return equivalent
    per_unit = _number(tags.get(_PLANE_X)) or _number(tags.get(_PLANE_Y))
    unit_mm = _UNIT_MM.get(int(_number(tags.get(_PLANE_UNIT)) or 2), 25.4)
    focal_px = _number(tags.get(_FOCAL_MM)) * per_unit / unit_mm * scale
    film_mm = focal_px * FILM_DIAGONAL_MM / math.hypot(width, height)
    return focal_px if _SHORTEST_MM <= film_mm <= _LONGEST_MM else None


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) else 0.0
