"""Read npz archives, npy files and other zips that others made: plain arrays whose sizes agree with their files.

numpy's own loader trusts an entry's header and allocates the memory it names; here the header must agree with the
entry's length, and all entries together with the size of the file.
"""

import contextlib
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from hmpfit.files.opening import explained, open_regular, unpacked_most

ENTRIES_MOST = 100_000
_MAGIC = b"\x93NUMPY"
_HEADER_MOST = 1 << 16
_PLAIN_DTYPE = re.compile(r"[<>|=]?([bui][1248]|f[248]|c(8|16)|b1|\?|[SU]\d{1,9})")
_DESCR = re.compile(r"""['"]descr['"]\s*:\s*['"]([^'"]*)['"]""")
_ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([\dL,\s]*)\)""")


def read_npz(path: Path, keys: Callable[[str], bool] | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of an npz by name, those only whose name `keys` accepts where it is given.

    Raises UnreadableFileError for anything but an intact archive of numbers and texts of a plausible size.
    """
    with open_zip(path, "an npz of plain arrays") as archive:
        arrays = {}
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if name == entry.filename or not (keys is None or keys(name)):
                continue
            with archive.open(entry) as stream:
                arrays[name] = _array(stream, entry.file_size, name)
        return arrays


@contextlib.contextmanager
def open_zip(path: Path, what: str = "a zip archive") -> Iterator[zipfile.ZipFile]:
    """Open a zip whose entries are plainly stored or deflated and unpack to a bounded size.

    Errors inside the block name the file: raises UnreadableFileError.
    """
    with explained(path, what), open_regular(path) as file, zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > ENTRIES_MOST or len({entry.filename for entry in entries}) < len(entries):
            raise ValueError("its table of contents is damaged")
        for entry in entries:
            if entry.flag_bits & 1:
                raise ValueError("it is encrypted")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("it is compressed in an unknown way")
        total, most = sum(entry.file_size for entry in entries), unpacked_most(file)
        if total > most:
            raise ValueError(f"it would unpack to {total >> 20:,} MiB, and at most {most >> 20:,} are read")
        yield archive


def read_zip_entry(path: Path, name: str, what: str) -> bytes:
    """Return one entry of a zip. Raises UnreadableFileError, naming the entry when it is missing."""
    with open_zip(path, what) as archive:
        if name not in archive.namelist():
            raise ValueError(f"it has no '{name}'")
        return archive.read(name)


def plain_dtype(text: Any) -> np.dtype:
    """Return the dtype of numbers or texts that a file names. Raises ValueError for objects, fields and dates."""
    if not isinstance(text, str) or _PLAIN_DTYPE.fullmatch(text) is None:
        raise ValueError(f"an array in it holds no plain numbers but '{str(text)[:60]}'")
    return np.dtype(text)


def count_of(shape: tuple[int, ...]) -> int:
    """Return the number of entries of an array. Raises ValueError for a shape that no array has."""
    if len(shape) > 32 or not all(type(side) is int and 0 <= side < 1 << 48 for side in shape):
        raise ValueError("an array in it has an impossible shape")
    count = 1
    for side in shape:
        count *= side
    return count


def read_npy_header(stream: IO[bytes]) -> tuple[str, bool, tuple[int, ...], int]:
    """Return dtype text, whether columns come first, the shape, and the header's length. Raises ValueError."""
    start = stream.read(len(_MAGIC) + 2)
    if start[:6] != _MAGIC or len(start) < 8 or start[6] not in (1, 2):
        raise ValueError("an entry is no numpy array")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > _HEADER_MOST:
        raise ValueError("the header of an array is damaged")
    header = stream.read(length).decode("latin1")
    descr, order, shape = _DESCR.search(header), _ORDER.search(header), _SHAPE.search(header)
    if descr is None and "descr" in header:
        raise ValueError("an array in it holds records, not plain numbers")
    if descr is None or order is None or shape is None or len(header) != length:
        raise ValueError("the header of an array is damaged")
    sides = tuple(int(side[:20]) for side in re.findall(r"\d+", shape[1]))
    return descr[1], order[1] == "True", sides, len(start) + width + length


def _array(stream: IO[bytes], size: int, name: str) -> np.ndarray:
    text, columns_first, shape, start = read_npy_header(stream)
    if "O" in text:
        raise ValueError(f"'{name}' holds Python objects, which could run code")
    dtype = plain_dtype(text)
    count = count_of(shape)
    if count * dtype.itemsize != size - start:
        raise ValueError(f"'{name}' announces {count} values of {dtype.itemsize} bytes in {size - start} bytes")
    flat = np.empty(count * dtype.itemsize, np.uint8)
    view, at = flat.data, 0
    while at < len(flat):
        got = stream.readinto(view[at : at + (1 << 24)])  # type: ignore[attr-defined]
        if not got:
            raise EOFError
        at += got
    stream.read(1)  # the end is where an archive's checksum is compared
    return array_of_bytes(flat, dtype, shape, columns_first)


def array_of_bytes(
    content: np.ndarray, dtype: np.dtype, shape: tuple[int, ...], columns_first: bool = False
) -> np.ndarray:
    """Return bytes [N] (uint8) as an array; raises ValueError for what no array of that dtype can hold."""
    if len(content) != count_of(shape) * dtype.itemsize:
        raise ValueError("the length of an array disagrees with its shape")
    if dtype.kind == "b" and (content > 1).any():  # numpy counts on 0 and 1, and goes astray in memory otherwise
        raise ValueError("an array of true and false holds something else")
    values = content.view(dtype) if dtype.itemsize and len(content) else np.empty(count_of(shape), dtype)
    if dtype.kind == "U" and len(content) and (content.view(np.dtype(f"{dtype.str[0]}u4")) > 0x10FFFF).any():
        raise ValueError("an array of texts holds no characters")
    return values.reshape(shape, order="F" if columns_first else "C")
