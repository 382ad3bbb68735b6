"""Check what a file holds against what it must hold: shapes, kinds, finite numbers and ranges, by key.

Separate from the readers, which know formats and not meanings. Sides named by a letter ("T") must agree among all
arrays of one file.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from hmpfit.errors import UnreadableFileError

Sides = tuple[int | str | None, ...]
METERS = 1e4  # no hand lies farther from a camera, and no number in a file of positions is larger
PIXELS = 1e6  # no keypoint lies farther from the image


class Fields:
    """What a file holds by key. `kind` says in a sentence what the file should be, such as "a result of hmpfit"."""

    def __init__(self, content: Mapping[str, Any], path: Path | str, kind: str) -> None:
        self.content, self.path, self.kind = content, path, kind
        self.sides: dict[str, int] = {}

    def __contains__(self, key: str) -> bool:
        return self.content.get(key) is not None

    def array(
        self,
        key: str,
        shape: Sides,
        dtype: DTypeLike = np.float64,
        low: float = -math.inf,
        high: float = math.inf,
        allow_nan: bool = False,
    ) -> np.ndarray:
        """Return an array of numbers of the given shape, all within [low, high].

        With `allow_nan` an entry may be NaN, which stands for unknown. Raises UnreadableFileError naming file and key.
        """
        array = self.any_array(key)
        if array.ndim != len(shape) or any(not self._fits(have, want) for have, want in zip(array.shape, shape)):
            wanted = ", ".join("any" if side is None else str(side) for side in shape)
            known = "".join(f", {side} = {self.sides[side]}" for side in shape if side in self.sides)
            raise self.wrong(key, f"has the shape {list(array.shape)}, not [{wanted}]{known}")
        for have, want in zip(array.shape, shape):
            if isinstance(want, str):
                self.sides.setdefault(want, have)
        if array.dtype.kind not in "biuf" and not (array.size == 0 and array.dtype.kind == "O"):
            raise self.wrong(key, "holds no numbers")
        if array.size:
            self._check_range(key, array, low, high, allow_nan)
        return array.astype(dtype)

    def any_array(self, key: str) -> np.ndarray:
        """Return an array of any shape; None inside lists becomes NaN. Raises UnreadableFileError when it is none."""
        if key not in self:
            raise self.wrong(key, "is missing")
        try:
            array = np.asarray(self.content[key])
            if array.dtype.kind == "O":
                array = np.asarray(self.content[key], dtype=np.float64)
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise self.wrong(key, "is not an array of numbers") from None
        return array

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """Return a finite number within [low, high]. Raises UnreadableFileError naming file, key and range."""
        if key not in self and default is not None:
            return default
        value = self.any_array(key)
        if value.size != 1 or value.dtype.kind not in "iuf" or not low <= float(value.reshape(-1)[0]) <= high:
            raise self.wrong(key, f"is not a number from {low:g} to {high:g}")
        return float(value.reshape(-1)[0])

    def flags(self, key: str, shape: Sides) -> np.ndarray:
        """Return true and false, which may be stored as 0 and 1. Raises UnreadableFileError naming file and key."""
        return self.array(key, shape, np.float64, 0, 1) > 0.5

    def wrong(self, key: str, how: str) -> UnreadableFileError:
        """Return the error that says how a key is wrong."""
        return UnreadableFileError(self.path, f"'{key}' {how}", self.kind)

    def _fits(self, have: int, want: int | str | None) -> bool:
        return have == self.sides.get(want, have) if isinstance(want, str) else want is None or have == want

    def _check_range(self, key: str, array: np.ndarray, low: float, high: float, allow_nan: bool) -> None:
        values = array.astype(np.float64)
        unknown = np.isnan(values)
        known = values[~unknown]
        if (unknown.any() and not allow_nan) or np.isinf(known).any():
            raise self.wrong(key, "holds numbers that are not finite")
        if known.size and not low <= known.min() <= known.max() <= high:
            worst = known.min() if known.min() < low else known.max()
            raise self.wrong(key, f"holds {worst:.6g}, outside of {low:g} to {high:g}")
