"""Read safetensors that others made: their texts within limits, their tensors finite.

Separate from `torch_files.py` because safetensors hold no pickle; the library itself compares offsets and lengths.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmpfit.errors import UnreadableFileError
from hmpfit.files.opening import MIB, explained, open_regular
from hmpfit.files.structured import parse_json

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS_MOST = 8192 * MIB
_TEXT_MOST = 4 * MIB
_FLOATS = ("F64", "F32", "F16", "BF16")
_WHOLE = ("BOOL", "U8", "I8", "I16", "I32", "I64")


def read_metadata(path: Path) -> dict[str, str]:
    """Return the texts in a safetensors file's header. Raises UnreadableFileError."""
    from safetensors import safe_open

    with explained(path, "a safetensors file"):
        _check_size(path)
        with safe_open(str(path), framework="pt") as file:
            return dict(file.metadata() or {})


def read_metadata_table(path: Path, metadata: dict[str, str], key: str) -> dict[str, Any]:
    """Return the JSON object that one text of the header holds, empty without it. Raises UnreadableFileError."""
    text = metadata.get(key, "{}")
    if len(text) > _TEXT_MOST:
        raise UnreadableFileError(path, f"its '{key}' is too long")
    table = parse_json(text, path)
    if not isinstance(table, dict):
        raise UnreadableFileError(path, f"its '{key}' is no table")
    return table


def read_tensors(path: Path, finite: bool = True) -> "dict[str, Tensor]":
    """Return the tensors of a safetensors file by name, on the CPU. Raises UnreadableFileError.

    Tensors of eight-bit floats and the like are refused, and with `finite` numbers that are not finite.
    """
    from safetensors import safe_open

    with explained(path, "a safetensors file"):
        _check_size(path)
        tensors: dict[str, Tensor] = {}
        with safe_open(str(path), framework="pt") as file:
            for name in sorted(file.keys()):
                kind = file.get_slice(name).get_dtype()
                if kind not in (*_FLOATS, *_WHOLE):
                    raise ValueError(f"its tensor '{name[:80]}' holds {kind}, which no weights here do")
                tensor = file.get_tensor(name)
                if finite and kind in _FLOATS and not bool(tensor.isfinite().all()):
                    raise ValueError(f"its tensor '{name[:80]}' holds numbers that are not finite")
                tensors[name] = tensor
        return tensors


def _check_size(path: Path) -> None:
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
    if size > WEIGHTS_MOST:
        raise ValueError(f"it has {size >> 20:,} MiB, and at most {WEIGHTS_MOST >> 20:,} are read")
