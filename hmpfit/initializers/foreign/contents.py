"""Open a result file of any of the known kinds as a flat dictionary of arrays, without running what is in it.

npz, JSON, restricted pickles (plain and joblib's), and a folder of such files, one per frame. Nested dictionaries are
flattened by their last key, as people store HaMeR's `pred_mano_params`.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.errors import InputError
from hmpfit.files.archives import read_npz
from hmpfit.files.opening import explained
from hmpfit.files.pickled_values import read_pickle
from hmpfit.files.structured import read_json
from hmpfit.files.torch_files import TENSOR_MAKERS

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
    if path.suffix == ".npz":
        return _unwrapped(read_npz(path))
    content = read_json(path) if path.suffix == ".json" else read_pickle(path, "a result file", TENSOR_MAKERS)
    with explained(path, "a result file"):
        return _flat(content)


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
