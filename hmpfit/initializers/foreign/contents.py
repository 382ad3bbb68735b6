"""Open a result file of any of the known kinds as a flat dictionary of arrays, without running what is in it.

npz, JSON, restricted pickles (plain and joblib's), and a folder of such files, one per frame. Nested dictionaries are
flattened by their last key, as people store HaMeR's `pred_mano_params`.
"""

import io
import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.errors import InputError, MissingExtraError
from hmpfit.hands.restricted_pickle import Refused, Restricted

SUFFIXES = (".npz", ".json", ".pkl", ".pickle", ".joblib")


def read_contents(path: Path) -> dict[str, Any]:
    """Return what a file holds; for a folder, its files' contents under `frames`, sorted by their frame numbers.

    Raises InputError when nothing in it can be read, naming the file.
    """
    if not path.exists():
        raise InputError(f"'{path}' does not exist; --init file: takes a result file or a folder of one per frame.")
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
        if not files:
            raise InputError(f"'{path}' holds no result files; one per frame is expected ({', '.join(SUFFIXES)}).")
        return {"frames": {_number(file, place): _read(file) for place, file in enumerate(files)}, "files": files}
    return _read(path)


def _number(file: Path, place: int) -> int:
    digits = re.findall(r"\d+", file.stem)
    return int(digits[0]) if digits else place


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                return _unwrapped({key: stored[key] for key in stored.files})
        if path.suffix == ".json":
            return _flat(json.loads(path.read_text()))
        return _flat(_unpickled(path))
    except (InputError, MissingExtraError):
        raise
    except Refused as refused:
        raise InputError(
            f"'{path}' asks to load '{refused}', which no result needs; the file was refused and nothing in it ran."
        ) from None
    except Exception as error:  # whatever broken bytes make the readers do
        raise InputError(f"'{path}' cannot be read as a result file ({type(error).__name__}: {error}).") from None


def _unwrapped(arrays: dict[str, Any]) -> dict[str, Any]:
    return {key.rpartition(".")[2].rpartition("/")[2]: value for key, value in arrays.items()}


def _flat(content: Any) -> dict[str, Any]:
    if isinstance(content, list) and content and all(isinstance(item, dict) for item in content):
        parts = [_flat(item) for item in content]  # one dictionary per detection
        keys = [key for key in parts[0] if all(key in part for part in parts)]
        return {key: np.stack([np.asarray(part[key]) for part in parts]) for key in keys}
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not a dictionary")
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict) and str(key) != "frames":
            flat.update(_flat(value))
        else:
            flat[str(key)] = value
    return flat


def _unpickled(path: Path) -> Any:
    try:
        from joblib.numpy_pickle import NumpyArrayWrapper, NumpyUnpickler
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"reading '{path}'", "joblib", "pip install joblib") from error

    class PlainArray(NumpyArrayWrapper):
        def read_array(self, unpickler: Any, *arguments: Any) -> Any:
            if self.dtype.hasobject:  # joblib would unpickle these without any restriction
                raise Refused("an array of Python objects")
            return super().read_array(unpickler, *arguments)

    class Unpickler(Restricted, NumpyUnpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
                return PlainArray
            if (module, name) == ("collections", "OrderedDict"):
                return dict
            if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
                return _tensor
            if (module, name) == ("torch.storage", "_load_from_bytes"):
                return _storage
            return super().find_class(module, name)

        # joblib looks for its own array class by this table of handlers
        dispatch = NumpyUnpickler.dispatch.copy()

    with path.open("rb") as stream:
        if stream.read(1) != pickle.PROTO:
            raise ValueError("it is no pickle, or a compressed one; write it again without compression")
        stream.seek(0)
        return Unpickler(str(path), stream, ensure_native_byte_order=True).load()


def _storage(content: bytes) -> Any:
    import torch

    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> np.ndarray:
    import torch

    empty = torch.empty(0, dtype=storage.dtype)
    source = storage.untyped() if hasattr(storage, "untyped") else storage
    return empty.set_(source, offset, torch.Size(size), tuple(stride)).clone().numpy()
