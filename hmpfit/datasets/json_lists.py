"""Read lists in JSON files that are too large for memory, one entry after the other.

InterHand2.6M's lists of images and FreiHAND's meshes, parsed at once, would need many gigabytes.
"""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError
from hmpfit.files.opening import open_regular

_CHUNK = 1 << 22
ENTRY_MOST = 1 << 26  # characters
_GAP = re.compile(r"[\s,]*")


def objects_of(file: Path, key: str = "") -> Iterator[Any]:
    """Yield the entries of the list under a top-level key, or of the list that the file is.

    Raises InputError when the file is damaged or lacks it.
    """
    start = re.compile(rf'"{re.escape(key)}"\s*:\s*\[' if key else r"\A\s*\[")
    decode = json.JSONDecoder().raw_decode
    try:
        with io.TextIOWrapper(open_regular(file), encoding="utf-8") as stream:
            text, at = "", -1
            while True:
                more = stream.read(_CHUNK)
                if at < 0:
                    text = text[-(len(key) + 64) :] + more
                    found = start.search(text)
                    if found is None:
                        if not more:
                            raise InputError(f"'{file}' has no list '{key}'." if key else f"'{file}' is not a list.")
                        continue
                    at = found.end()
                else:
                    text, at = text[at:] + more, 0
                while True:
                    gap = _GAP.match(text, at)
                    at = gap.end() if gap is not None else at
                    if text[at : at + 1] == "]":
                        return
                    try:
                        value, at = decode(text, at)
                    except json.JSONDecodeError:
                        if len(text) - at > ENTRY_MOST:
                            raise InputError(f"'{file}' is not JSON: an entry of its list does not end.") from None
                        break  # cut by the end of the chunk
                    yield value
                if not more:
                    raise InputError(f"'{file}' breaks off in its list '{key}'." if key else f"'{file}' breaks off.")
    except OSError as error:
        raise InputError(f"'{file}' cannot be read: {error.strerror or error}.") from None
    except (UnicodeDecodeError, RecursionError, ValueError):
        raise InputError(f"'{file}' is not JSON.") from None


def points_of(file: Path, shape: tuple[int | None, int], dtype: type = np.float32) -> NDArray[np.floating]:
    """Read a list of point sets as an array [entries, *shape]; None stands for any number of points.

    Raises InputError, saying what was found, when the entries have other or unequal shapes.
    """
    rows: list[NDArray[np.floating]] = []
    for entry in objects_of(file):
        try:
            row: NDArray[np.floating] = np.asarray(entry, dtype=dtype)
        except (ValueError, TypeError, OverflowError):
            row = np.zeros(0, dtype=dtype)
        if (
            row.ndim != 2
            or row.shape[1] != shape[1]
            or row.shape[0] != (shape[0] or (rows[0] if rows else row).shape[0])
        ):
            raise InputError(f"Entry {len(rows)} of '{file}' is no array of {shape[0] or 'equally many'} x {shape[1]}.")
        rows.append(row)
    if not rows:
        raise InputError(f"'{file}' is an empty list.")
    return np.stack(rows)
