"""Arrays made from many or big annotation files, kept in the user's cache and never in the dataset's folder.

Separate from the readers: only this file knows where the cache lies and when it is stale.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]
VERSION = 3  # of what the readers store


def cached_arrays(kind: str, key: str, files: Iterable[Path], build: Callable[[], Arrays]) -> Arrays:
    """Return the arrays that `build` makes from `files`, from the cache while none of the files has changed.

    Big arrays come back memory-mapped. `key` says which part of the dataset they are. Nothing is kept when the cache
    cannot be written.
    """
    said = hashlib.sha256(f"{VERSION} {kind} {key}".encode())
    for path in files:
        try:
            stat = path.stat()
            said.update(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        except OSError:
            said.update(f"{path} lacks\n".encode())
    folder = cache_home() / "datasets" / f"{kind}-{said.hexdigest()[:20]}"
    if not (folder / "complete").is_file():
        arrays = build()
        try:
            _store(folder, arrays)
        except OSError:
            return arrays
    return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in sorted(folder.glob("*.npy"))}


def cache_home() -> Path:
    """Return hmpfit's folder in the user's cache ($XDG_CACHE_HOME, else ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hmpfit"


def _store(folder: Path, arrays: Arrays) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    for name, array in arrays.items():
        np.save(partial / f"{name}.npy", array)
    (partial / "complete").touch()
    try:
        partial.replace(folder)
    except OSError:  # another process was faster
        if not (folder / "complete").is_file():
            raise
