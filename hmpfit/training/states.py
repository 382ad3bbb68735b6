"""A training's state on the disk: tensors as safetensors, all else as JSON in the file's header, never a pickle.

Lightning writes and reads its checkpoints through the one class here, so that a folder of another person's training
can be resumed without running what is in it.
"""

import json
import math
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import CheckpointIO
from safetensors.torch import save
from torch import Tensor

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.replacing import replace_file
from hmpfit.files.weights import read_metadata, read_metadata_table, read_tensors

SUFFIX = ".safetensors"
LAST = f"last{SUFFIX}"
_STATE = "training state"
_PICKLED = "last.ckpt"  # of versions before this one


class SafetensorsStates(CheckpointIO):
    """Lightning's way to the disk for checkpoints."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint of plain values and tensors, whole or not at all."""
        tensors: dict[str, Tensor] = {}
        plain = _packed(checkpoint, tensors)
        partial = Path(f"{path}.part")
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(save(tensors, {_STATE: json.dumps(plain)}))
        replace_file(partial, Path(path))

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Read a checkpoint. Raises InputError when it is damaged or none of ours."""
        return read_state(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint."""
        Path(path).unlink(missing_ok=True)


def read_state(path: Path) -> dict[str, Any]:
    """Return what `SafetensorsStates` wrote. Raises InputError when it is damaged or something else."""
    plain = read_metadata_table(path, read_metadata(path), _STATE)
    tensors = read_tensors(path, finite=False)  # best scores begin as infinity
    try:
        state = _unpacked(plain, tensors)
    except (LookupError, TypeError, ValueError) as error:
        raise UnreadableFileError(path, f"it is damaged ({error})", "the state of a training") from None
    if not isinstance(state, dict) or not {"global_step", "state_dict"} <= set(state):
        raise UnreadableFileError(path, "it lacks steps or weights", "the state of a training")
    return state


def last_state(folder: Path) -> Path | None:
    """Return a folder's last state, or None. Raises InputError for a pickled one of an earlier version."""
    if (folder / LAST).is_file():
        return folder / LAST
    if (folder / _PICKLED).is_file():
        raise InputError(
            f"'{folder / _PICKLED}' was written by an earlier version as a pickle, which could run code and is not "
            "read; choose another -o, or remove it to begin anew."
        )
    return None


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = f"{len(tensors):06d}"
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"table": [[_packed(key, tensors), _packed(item, tensors)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_packed(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_packed(item, tensors) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a training's state cannot hold a {type(value).__name__}")


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "tensor":
        return tensors[inner]
    if kind == "table":
        return {_unpacked(key, tensors): _unpacked(item, tensors) for key, item in inner}
    if kind == "tuple":
        return tuple([_unpacked(item, tensors) for item in inner])
    if kind == "float":
        return float(inner)
    raise ValueError(f"an unknown kind '{kind}'")
