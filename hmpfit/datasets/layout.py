"""Files of a dataset's folder by pattern, and one sentence for a wrong folder or a wrong array."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError
from hmpfit.files.pickled_values import read_pickled_table


@dataclass(frozen=True)
class Numbered(Sequence[str]):
    """Names made from numbers on access: millions of frames cost eight bytes each."""

    pattern: str  # such as "color_{:06d}.jpg"
    ids: NDArray[np.integer]  # [T]

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Numbered": ...
    def __getitem__(self, index: int | slice) -> "str | Numbered":
        if isinstance(index, slice):
            return Numbered(self.pattern, self.ids[index])
        return self.pattern.format(int(self.ids[index]))


@dataclass(frozen=True)
class Stored(Sequence[str]):
    """Names kept as bytes in one array, which may lie on the disk."""

    names: NDArray[np.bytes_]  # [T]

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Stored": ...
    def __getitem__(self, index: int | slice) -> "str | Stored":
        return Stored(self.names[index]) if isinstance(index, slice) else self.names[index].decode()


@dataclass(frozen=True)
class FilesIn(Sequence[Path]):
    """Files of one folder by their names."""

    folder: Path
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> "FilesIn": ...
    def __getitem__(self, index: int | slice) -> "Path | FilesIn":
        if isinstance(index, slice):
            return FilesIn(self.folder, self.names[index])
        return self.folder / self.names[index]


def require(path: Path, kind: str, expected: str, folder: Path) -> Path:
    """Return `path`; raises InputError, saying what `folder` should hold and what it holds, when it does not exist."""
    if not path.exists():
        raise InputError(
            f"'{folder}' is not {kind}: '{path.relative_to(folder)}' is missing; expected {expected}, found "
            f"{_found(folder)}."
        )
    return path


def _found(folder: Path) -> str:
    if not folder.is_dir():
        return "no folder"
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    shown = ", ".join(names[:6])
    return f"{shown} and {len(names) - 6} more" if len(names) > 6 else shown or "nothing"


def numbers(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return values as float64 of that shape. Raises ValueError, saying what was found, when they are not."""
    array = np.asarray(values, dtype=np.float64)
    if array.size != int(np.prod(shape)) or not np.isfinite(array).all():
        raise ValueError(f"holds {array.shape} where {shape} finite numbers belong")
    return array.reshape(shape)


def pickled(path: Path) -> dict[str, Any]:
    """Read a dataset's pickle through the restricted loader. Raises ValueError with the reason, without the path."""
    try:
        return read_pickled_table(path, "an annotation")
    except InputError as error:
        raise ValueError(str(error).replace(f"'{path}' ", "").rstrip(".")) from None
