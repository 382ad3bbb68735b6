"""FreiHAND v2: single pictures of right hands, one sequence each. Source: the data set's own tools.

Meshes and joints are stored and used as they are; the stored root rotation is not used, since it is in the world's
frame.
"""

from functools import partial
from pathlib import Path

import numpy as np

from hmpfit.datasets.cache import Arrays, cached_arrays
from hmpfit.datasets.json_lists import points_of
from hmpfit.datasets.layout import require
from hmpfit.errors import InputError
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.dataset import Dataset, Reader, Sequence, Truth
from hmpfit.records import Camera

EXPECTED = "training/rgb/%08d.jpg, evaluation/rgb/%08d.jpg and {training,evaluation}_{K,xyz,verts}.json"
SIDE = 224  # pixels
_RIGHT = np.array([True])


def open_split(path: Path, split: str, models: HandModels | None) -> Dataset:
    """Open one split; of training the green-screen version alone. Raises InputError when the folder is not FreiHAND."""
    cameras = _array(require(path / f"{split}_K.json", "FreiHAND", EXPECTED, path), (3, 3))
    rgb = require(path / split / "rgb", "FreiHAND", EXPECTED, path)
    present = {image.stem for image in rgb.glob("*.jpg")}
    sequences, broken, order = [], [], []
    for index in range(len(cameras)):
        frame = f"{index:08d}"
        order.append((frame, frame))
        if frame not in present:
            broken.append((str(rgb / f"{frame}.jpg"), "the image is missing"))
            continue
        sequences.append(
            Sequence(
                name=frame, fps=30.0, images=(rgb / f"{frame}.jpg",), frame_names=(frame,), times_s=np.zeros(1),
                protocol="freihand", sides=(True,), read_camera=partial(_camera, cameras, index),
                read_truth=partial(_truth, path, split, index, len(cameras)),
            )
        )  # fmt: skip
    return Dataset("freihand", path, split, tuple(sequences), tuple(broken), tuple(order))


def _camera(cameras: np.ndarray, index: int) -> Camera:
    return Camera(np.array(cameras[index], dtype=np.float64)[None], SIDE, SIDE, source="given")


def _truth(path: Path, split: str, index: int, count: int) -> Truth:
    file = path / f"{split}_xyz.json"
    if not file.is_file():
        raise InputError(f"'{file}' is missing; FreiHAND keeps the joints there.")
    joints = _row(_array(file, (21, 3)), index, count, file)
    meshes = path / f"{split}_verts.json"
    vertices = _row(_array(meshes, (778, 3)), index, count, meshes) if meshes.is_file() else None
    valid = np.isfinite(joints).all()[None, None]
    return Truth(_RIGHT, joints[None, None], valid, None if vertices is None else vertices[None, None])


def _row(whole: np.ndarray, index: int, count: int, file: Path) -> np.ndarray:
    if len(whole) != count:
        raise InputError(f"'{file}' has {len(whole)} entries and the cameras' file {count}.")
    return np.array(whole[index], dtype=np.float64)


def _array(file: Path, shape: tuple[int, int]) -> np.ndarray:
    return cached_arrays("freihand", file.name, [file], partial(_read, file, shape))["values"]


def _read(file: Path, shape: tuple[int, int]) -> Arrays:
    return {"values": points_of(file, shape, np.float32 if shape[0] > 21 else np.float64)}


def _recognizes(path: Path) -> bool:
    return any((path / f"{split}_K.json").is_file() and (path / split).is_dir() for split in ("training", "evaluation"))


READER = Reader(EXPECTED, ("evaluation", "training"), open_split, _recognizes)
