"""Check what a file holds against what it must hold: shapes, kinds, finite numbers and ranges, by key.

Separate from the readers, which know formats and not meanings. Sides named by a letter ("T") must agree among all
arrays of one file.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from hmpfit.errors import UnreadableFileError

Sides = tuple[int | str | None, ...]
METERS = 1e4  # no hand lies farther from a camera, and no number in a file of positions is larger
SIZE_FACTOR = 16  # of a network beyond the known sizes
ANGLE_MOST = 100.0  # radians of an axis-angle, some of which count whole turns
BETA_MOST = 100.0  # of a shape coefficient, which counts standard deviations
SECONDS = 1e7  # no clip is longer
PIXELS = 1e6  # no keypoint lies farther from the image


class Fields:
    """What a file holds by key. `kind` names the expected kind of file, such as "a result of hmpfit"."""

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
        if value.size != 1 or value.dtype.kind not in "biuf" or not low <= float(value.reshape(-1)[0]) <= high:
            raise self.wrong(key, f"is not a number from {low:g} to {high:g}")
        return float(value.reshape(-1)[0])

    def flags(self, key: str, shape: Sides) -> np.ndarray:
        """Return true and false, which may be stored as 0 and 1. Raises UnreadableFileError naming file and key."""
        return self.array(key, shape, np.float64, 0, 1) > 0.5

    def wrong(self, key: str, how: str) -> UnreadableFileError:
        """Return the error for a wrong key."""
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


@dataclass(frozen=True)
class Optional:
    """A key of a table that may be missing or null."""

    pattern: Any


def mismatch(value: Any, pattern: Any, where: str = "") -> str | None:
    """Return in words how a plain value differs from a pattern, or None.

    A pattern is a type (float takes whole numbers too; numbers are finite), a list of one pattern for all entries, or
    a table of patterns by key, where other keys may stand beside them.
    """
    if isinstance(pattern, Optional):
        return None if value is None else mismatch(value, pattern.pattern, where)
    if isinstance(pattern, dict):
        if not isinstance(value, dict):
            return f"'{where}' is no table"
        for key, inner in pattern.items():
            if key not in value and not isinstance(inner, Optional):
                return f"'{where}{key}' is missing"
        found = (mismatch(value.get(key), inner, f"{where}{key}.") for key, inner in pattern.items())
        return next((text for text in found if text is not None), None)
    if isinstance(pattern, list):
        if not isinstance(value, list):
            return f"'{where.rstrip('.')}' is no list"
        found = (mismatch(item, pattern[0], f"{where}{place}.") for place, item in enumerate(value))
        return next((text for text in found if text is not None), None)
    kinds = (int, float) if pattern is float else (pattern,)
    fits = type(value) in kinds and not (isinstance(value, float) and not math.isfinite(value))
    fits = fits and not (isinstance(value, int) and abs(value) > 1 << 53)
    return None if fits else f"'{where.rstrip('.')}' is no {_WORDS[pattern]}"


_WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false"}


def check_sizes(found: Mapping[str, Any], known: Sequence[Mapping[str, Any]]) -> bool:
    """Check the numbers that shape a network against the known ones; return whether any is larger than these.

    Raises ValueError for a value of another kind, a number that is negative, not finite, or beyond `SIZE_FACTOR` times
    the largest known.
    """
    larger = False
    for key, value in found.items():
        examples = [part for table in known if key in table for part in _parts(table[key])]
        kinds = {type(example) for example in examples}
        most = max([64, *(example for example in examples if isinstance(example, int | float))])
        for part in _parts(value):
            if kinds and type(part) not in (kinds | {int} if float in kinds else kinds):
                raise ValueError(f"'{key}' is a {type(part).__name__}")
            if isinstance(part, int | float) and not 0 <= part <= SIZE_FACTOR * most:
                raise ValueError(f"'{key}' is {part}")
            larger |= isinstance(part, int | float) and part > most
    return larger


def _parts(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        return (value,)
    if len(value) > 64:
        raise ValueError("a list in it is too long")
    return tuple(value)
