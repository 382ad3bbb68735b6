"""Open files that others made: regular files of a bounded size, and one sentence for whatever goes wrong in between.

Every reader of this package opens its file here, so that no library's error and no device or pipe reaches a caller.
"""

import contextlib
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hmpfit.errors import InputError, UnreadableFileError

MIB = 1 << 20
TEXT_MOST = 64 * MIB  # of a JSON or text file that a user gives
LARGE_MOST = 16384 * MIB  # of a dataset's annotations in one file
UNPACKED_LEAST = 256 * MIB  # what any archive may unpack to
UNPACKED_RATIO = 8  # times its size on the disk, what a larger archive may unpack to
UNPACKED_MOST = 8192 * MIB
DEPTH_MOST = 64  # of lists and tables within each other
DIGITS_MOST = 40  # of a whole number in a text
_REASON_MOST = 200  # characters of a library's message


class Refused(Exception):
    """A file names a class or function that is not on the list of its reader."""


@contextlib.contextmanager
def explained(path: Path, what: str = "") -> Iterator[None]:
    """Turn every error inside the block into UnreadableFileError naming the file; `what` is what it should have been.

    An InputError passes as it is, and so does Refused, which `reading_pickle` explains.
    """
    try:
        yield
    except (InputError, Refused):
        raise
    except Exception as error:  # whatever broken bytes make a library do
        missing = isinstance(error, OSError) and error.errno is not None
        raise UnreadableFileError(path, reason_of(error), "" if missing else what) from None


def reason_of(error: Exception) -> str:
    """Return in a few words why a file could not be read, for an error of any library."""
    if isinstance(error, OSError) and error.errno is not None:
        return (os.strerror(error.errno) if error.errno > 0 else str(error)).lower()
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeError):
        return "it is not UTF-8 text"
    if isinstance(error, EOFError):
        return "it breaks off"
    text = " ".join(str(error).split()).rstrip(".")
    text = text if len(text) <= _REASON_MOST else text[:_REASON_MOST] + " ..."
    if isinstance(error, zipfile.BadZipFile):
        return "it is no zip archive, or a damaged one"
    if type(error) is ValueError and text:
        return text
    return f"{text} ({type(error).__name__})" if text else type(error).__name__


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading bytes; a pipe, a device or a folder is refused before anything could wait on it.

    Raises OSError and InputError.
    """
    # Not blocking: opening a named pipe would wait for a writer that may never come.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = "folder" if stat.S_ISDIR(mode) else "pipe or device"
        raise UnreadableFileError(path, f"it is a {kind}, not a file")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path, most: int = UNPACKED_MOST) -> bytes:
    """Return a file's bytes. Raises UnreadableFileError when it is missing, no regular file, or larger than `most`."""
    with explained(path), open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise UnreadableFileError(path, f"it has {size / MIB:,.0f} MiB, and at most {most / MIB:,.0f} are read")
        return file.read(most + 1)[:most]


def read_text(path: Path, most: int = TEXT_MOST) -> str:
    """Return a file's text, UTF-8 with or without a mark. Raises UnreadableFileError as `read_bytes` does."""
    content = read_bytes(path, most)
    with explained(path):
        return content.decode("utf-8-sig")


def unpacked_most(file: BinaryIO) -> int:
    """Return how many bytes the archive in an open file may unpack to, by its size on the disk."""
    size = os.fstat(file.fileno()).st_size
    return min(max(UNPACKED_LEAST, UNPACKED_RATIO * size), UNPACKED_MOST)


class Budget:
    """Bytes and items that may still be made from one file; taking more raises ValueError."""

    def __init__(self, nbytes: int, items: int = 20_000_000) -> None:
        self.bytes_left, self.items_left = nbytes, items

    def take(self, nbytes: int = 0, items: int = 0) -> None:
        """Count what is about to be made."""
        self.bytes_left -= nbytes
        self.items_left -= items
        if nbytes < 0 or items < 0 or self.bytes_left < 0 or self.items_left < 0:
            raise ValueError("it would unpack to far more than its size")
