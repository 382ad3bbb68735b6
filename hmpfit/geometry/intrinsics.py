"""Reads the camera that a user gives with `--intrinsics`: four numbers or a file. Projection needs no files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import InputError
from hmpfit.records import Camera

_FORMS = "fx,fy,cx,cy in pixels; a .json with fx, fy, cx, cy or K; a .npz with K; or a text file with 4 or 9 numbers"


def read_intrinsics(text: str, width: int, height: int) -> Camera:
    """Return the camera said by `fx,fy,cx,cy` (pixels) or by a file, for images of width x height pixels.

    Files: JSON with `fx, fy, cx, cy` or `K` (3 x 3, or one per frame), npz with `K`, or text with 4 or 9 numbers;
    JSON and npz may add `distortion` (OpenCV's k1 k2 p1 p2 k3). Raises InputError, listing these forms.
    """
    distortion = None
    path = Path(text)
    try:
        if path.suffix == ".json":
            K, distortion = _from_table(json.loads(path.read_text()))
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                K, distortion = _from_table(dict(stored))
        elif path.is_file():
            K = _matrix(np.array(path.read_text().replace(",", " ").split(), dtype=np.float64))
        else:
            K = _matrix(np.array(text.split(","), dtype=np.float64))
    except FileNotFoundError:
        raise InputError(f"There is no intrinsics file '{text}'.") from None
    except (OSError, ValueError, TypeError, KeyError, EOFError) as error:
        raise InputError(f"Intrinsics '{text}' cannot be read ({error}); give {_FORMS}.") from error
    if not np.isfinite(K).all() or (K[:, 0, 0] <= 0).any() or (K[:, 1, 1] <= 0).any():
        raise InputError(f"Intrinsics '{text}' have a focal length that is not positive; give {_FORMS}.")
    return Camera(K, width, height, distortion, "given")


def _from_table(table: dict[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    values = table["K"] if "K" in table else [float(table[key]) for key in ("fx", "fy", "cx", "cy")]
    distortion = table.get("distortion")
    if distortion is None:
        return _matrix(np.asarray(values, dtype=np.float64)), None
    coefficients = np.zeros(5)
    given = np.asarray(distortion, dtype=np.float64).ravel()
    coefficients[: len(given)] = given
    return _matrix(np.asarray(values, dtype=np.float64)), coefficients


def _matrix(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if values.shape == (4,):
        fx, fy, cx, cy = values
        return np.array([[[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]])
    if values.shape == (9,) or values.shape[-2:] == (3, 3):
        return values.reshape(-1, 3, 3)
    raise ValueError(f"{values.size} numbers")
