"""Read whole pickles as plain values and arrays: the records of `pickled_arrays.py` are given their values here.

Values that a pickle shares are made once; references in circles, deep nesting and what would unpack to far more than
the file's size are refused.
"""

import contextlib
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_npy_header
from hmpfit.files.opening import DEPTH_MOST, MIB, UNPACKED_LEAST, UNPACKED_RATIO, Budget, Refused, explained, read_bytes
from hmpfit.files.pickled_arrays import MAKERS, Record, find_among
from hmpfit.files.restricted_pickle import Makers, Name, PickleMachine, Stub

PICKLE_MOST = 2048 * MIB
_ZLIB = b"\x78"  # its first byte; no pickle begins so
_PLAIN = (str, bytes, bytearray, int, float, complex, bool, type(None), np.ndarray, np.generic)


def read_pickle(path: Path, what: str, more: Makers | None = None) -> Any:
    """Return what a pickle (plain, or joblib's, uncompressed or by zlib) holds, with numpy arrays for all kinds.

    `what` says what the file should be, such as "a MANO pickle"; `more` are makers of further classes.
    Raises UnreadableFileError when it is damaged, and InputError naming any other class or function in it.
    """
    content = read_bytes(path, PICKLE_MOST)
    with reading_pickle(path, what):
        content = _inflated(content) if content[:1] == _ZLIB else content
        return load_values(io.BytesIO(content), budget_for(len(content)), {**MAKERS, **(more or {})})


def read_pickled_table(path: Path, what: str, more: Makers | None = None) -> dict[str, Any]:
    """Return the dictionary in a pickle, as `read_pickle` does; UnreadableFileError when it holds something else."""
    content = read_pickle(path, what, more)
    if not isinstance(content, dict):
        raise UnreadableFileError(path, f"it holds a {type(content).__name__}, not a dictionary", what)
    return {str(key): value for key, value in content.items()}


def read_object_npy(path: Path, what: str, most: int = PICKLE_MOST) -> dict[str, Any]:
    """Return the dictionary that `np.save(path, dictionary)` wrote. Raises as `read_pickle` does."""
    content = read_bytes(path, most)
    with reading_pickle(path, what):
        stream = io.BytesIO(content)
        read_npy_header(stream)
        value = load_values(stream, budget_for(len(content)), MAKERS)
        if not isinstance(value, dict):
            raise ValueError(f"it holds a {type(value).__name__}, not a dictionary")
        return value


def _inflated(content: bytes) -> bytes:
    """Return what zlib packed, as joblib's `compress` does. Raises ValueError when it is far more than its size."""
    most = max(UNPACKED_LEAST, UNPACKED_RATIO * len(content))
    unpacking = zlib.decompressobj()
    unpacked = unpacking.decompress(content, most)
    if unpacking.unconsumed_tail:
        raise ValueError("it would unpack to far more than its size")
    if not unpacking.eof:
        raise EOFError
    return unpacked


def load_values(stream: BinaryIO, budget: Budget, makers: Makers) -> Any:
    """Interpret one pickle and return its value. Raises and ValueError and the like for damage."""
    return Values(budget).of(PickleMachine(stream, find_among(makers), budget).load())


def budget_for(nbytes: int) -> Budget:
    """Return what a pickle of that many bytes may unpack to."""
    return Budget(max(UNPACKED_LEAST, UNPACKED_RATIO * nbytes))


class Values:
    """The values of one pickle's records; each is made once, and counted as often as it is referred to."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._made: dict[int, tuple[Any, Any, int]] = {}  # id -> the record (kept alive), its value, its items
        self._inside: set[int] = set()
        self._items = 0

    def of(self, record: Any) -> Any:
        """Return the value of a record. Raises ValueError and Refused for what has none."""
        if isinstance(record, _PLAIN):
            self._count(1)
            return record
        known = self._made.get(id(record))
        if known is not None:
            self._count(known[2])
            return known[1]
        if id(record) in self._inside or len(self._inside) > DEPTH_MOST:
            raise RecursionError
        self._inside.add(id(record))
        before = self._items
        value = self._make(record)
        self._inside.discard(id(record))
        self._made[id(record)] = (record, value, self._items - before + 1)
        self._count(1)
        return value

    def _make(self, record: Any) -> Any:
        if isinstance(record, dict):
            return {key: self.of(item) for key, item in record.items()}
        if isinstance(record, list):
            return [self.of(item) for item in record]
        if isinstance(record, tuple):
            return tuple([self.of(item) for item in record])
        if isinstance(record, Record):
            try:
                return record.value(self.of, self.budget)
            except KeyError as error:
                raise ValueError(f"an array in it lacks {error}") from None
        if isinstance(record, Name):
            raise Refused(record.name)
        if isinstance(record, Stub):
            return None
        raise ValueError(f"it holds a {type(record).__name__}, which is no value")

    def _count(self, items: int) -> None:
        self._items += items
        self.budget.take(items=items)


@contextlib.contextmanager
def reading_pickle(path: Path, what: str) -> Iterator[None]:
    """Name the file in every error of the block, and the class where one was refused."""
    with explained(path, what):
        try:
            yield
        except Refused as refused:
            raise InputError(
                f"'{path}' asks to load '{str(refused)[:80]}', which {what} never needs; the file was refused and "
                "nothing in it ran."
            ) from None
