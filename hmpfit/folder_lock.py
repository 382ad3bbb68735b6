"""One process at a time in a run folder: a lock file that names its owner and is free when that process has ended.

The operating system holds the lock, so a killed run leaves none behind; the file itself goes with its owner.
"""

import atexit
import contextlib
import logging
import os
import time
from pathlib import Path
from typing import IO

from hmpfit.errors import RunFolderError

LOCK = ".lock"
log = logging.getLogger("hmpfit")

_held: dict[str, tuple[IO[str], int]] = {}  # resolved folder -> the open lock file, and how often it is held here


class FolderLock:
    """Holds a folder until it is released; may be held several times by one process.

    Raises RunFolderError, naming the process, when another one holds it and `wait` is not given.
    """

    def __init__(self, folder: Path, wait: bool = False) -> None:
        self._key: str | None = str(folder.resolve())
        file, count = _held.get(self._key, (None, 0))
        _held[self._key] = (file if file is not None else _locked(folder / LOCK, folder, wait), count + 1)

    def release(self) -> None:
        """Let the folder go; a second call does nothing."""
        if self._key is None:
            return
        file, count = _held.pop(self._key)
        if count > 1:
            _held[self._key] = (file, count - 1)
        else:
            with contextlib.suppress(OSError):
                os.unlink(file.name)
            with contextlib.suppress(OSError):
                file.close()
        self._key = None


@atexit.register
def _release_all() -> None:
    for file, _ in _held.values():
        with contextlib.suppress(OSError):
            os.unlink(file.name)


def _locked(path: Path, folder: Path, wait: bool) -> IO[str]:
    import fcntl

    told = False
    while True:
        file = path.open("a+", encoding="utf-8", errors="replace")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(file)
            file.close()
            if not wait:
                raise RunFolderError(
                    f"'{folder}' is in use by another run ({owner}); wait for it or add --wait, or choose another "
                    "folder with -o."
                ) from None
            if not told:
                log.warning("Waiting for another run (%s) to leave '%s'.", owner, folder)
                told = True
            time.sleep(0.2)
            continue
        except OSError:  # a file system without locks: better a run without one than none
            return file
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(file.fileno()).st_ino == os.stat(path).st_ino:
                file.truncate(0)
                file.write(f"process {os.getpid()} on {os.uname().nodename}\n")
                file.flush()
                return file
        file.close()  # its owner has just removed it


def _owner(file: IO[str]) -> str:
    file.seek(0)
    return " ".join(file.read(200).split()) or "which has just begun"
