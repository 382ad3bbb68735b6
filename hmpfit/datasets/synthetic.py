"""Clips with known truth as `hmpfit synthesize` makes them: a folder of folders with `clip.mp4` and `truth.npz`."""

from functools import partial
from pathlib import Path

import numpy as np

from hmpfit.datasets.layout import Numbered
from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_npz
from hmpfit.files.schemas import ANGLE_MOST, BETA_MOST, METERS, PIXELS, SECONDS, Fields, Sides
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.dataset import Dataset, Reader, Sequence, Truth
from hmpfit.records import Camera, HandMotion

EXPECTED = "folders that hold clip.mp4 and truth.npz"
ALL = "all"
_SCHEMA: dict[str, tuple[Sides, float, type]] = {  # key -> its sides, the largest number, its dtype
    "is_right": (("H",), 1, bool), "times_s": (("T",), SECONDS, np.float64), "K": ((None, 3, 3), PIXELS, np.float64),
    "joints": (("H", "T", 21, 3), METERS, np.float64), "vertices": (("H", "T", None, 3), METERS, np.float32),
    "global_orient": (("H", "T", 3), ANGLE_MOST, np.float64),
    "hand_pose": (("H", "T", 15, 3), ANGLE_MOST, np.float64), "transl": (("H", "T", 3), METERS, np.float64),
    "betas": (("H", 10), BETA_MOST, np.float64), "status": (("H", "T"), 3, np.uint8),
    "image_size": ((2,), 1e5, np.int64), "joint_valid": (("H", "T", 21), 1, bool),
    "visibility": (("H", "T", 21), 1, bool),
}  # fmt: skip


def open_clips(path: Path, split: str, models: HandModels | None) -> Dataset:
    """Open all clips below `path`, or below its folder called like the split. Raises InputError when there are none.

    A clip without truth.npz can be fitted, and has neither camera nor truth.
    """
    home = path if split == ALL else path / split
    folders = sorted({file.parent for name in ("truth.npz", "clip.mp4") for file in home.glob(f"*/{name}")})
    if not folders:
        raise InputError(f"'{home}' holds no clip folders with a truth.npz or clip.mp4; hmpfit synthesize makes some.")
    sequences, broken = [], []
    for folder in folders:
        try:
            sequences.append(_sequence(folder))
        except InputError as error:
            broken.append((str(folder), str(error)))
    return Dataset("synthetic", path, split, tuple(sequences), tuple(broken))


def _sequence(folder: Path) -> Sequence:
    file = folder / "truth.npz"
    if not file.is_file():
        return Sequence(
            name=folder.name, fps=30.0, images=(), frame_names=(), times_s=np.zeros(0), protocol="hmp", sides=(),
            read_camera=None, read_truth=partial(_truth, folder), video=folder / "clip.mp4",
        )  # fmt: skip
    arrays = _arrays(file, ("is_right", "times_s"))
    times_s = arrays["times_s"]
    fps = float((len(times_s) - 1) / (times_s[-1] - times_s[0])) if len(times_s) > 1 else 30.0
    return Sequence(
        name=folder.name, fps=fps, images=(), frame_names=Numbered("{}", np.arange(len(times_s))), times_s=times_s,
        protocol="hmp", sides=tuple(arrays["is_right"].astype(bool).tolist()),
        read_camera=partial(_camera, folder) if "K" in arrays else None, read_truth=partial(_truth, folder),
        video=folder / "clip.mp4",
    )  # fmt: skip


def _camera(folder: Path) -> Camera:
    arrays = _arrays(folder / "truth.npz", ("K", "image_size"))
    width, height = (int(side) for side in arrays["image_size"])
    return Camera(arrays["K"], width, height, source="given")


def _truth(folder: Path) -> Truth:
    arrays = _arrays(folder / "truth.npz", ("is_right", "joints", "times_s"))
    motion = HandMotion.of(arrays) if "global_orient" in arrays else None
    return Truth(
        is_right=arrays["is_right"].astype(bool),
        joints_m=arrays["joints"],
        valid=np.isfinite(arrays["joints"]).all((2, 3)),
        vertices_m=arrays["vertices"].astype(np.float64) if "vertices" in arrays else None,
        motion=motion,
        joint_valid=arrays["joint_valid"].astype(bool) if "joint_valid" in arrays else None,
        visible=arrays["visibility"].astype(bool) if "visibility" in arrays else None,
        world_from_camera=arrays.get("world_from_camera"),
    )


def _arrays(file: Path, needed: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        arrays = read_npz(file)
    except UnreadableFileError as error:
        raise InputError(f"The truth '{file}' cannot be read as npz: {error.reason}.") from None
    missing = [name for name in needed if name not in arrays]
    if missing:
        raise InputError(f"The truth '{file}' lacks '{missing[0]}'.")
    stored = Fields(arrays, file, "a truth")
    for key, (shape, most, dtype) in _SCHEMA.items():
        if key in arrays:
            arrays[key] = stored.array(key, shape, dtype, -most, most, allow_nan=key in ("joints", "vertices"))
    if "times_s" in arrays and (not len(arrays["times_s"]) or (np.diff(arrays["times_s"]) <= 0).any()):
        raise stored.wrong("times_s", "does not rise from frame to frame")
    return arrays


def _recognizes(path: Path) -> bool:
    return next(path.glob("*/truth.npz"), None) is not None


READER = Reader(EXPECTED, (ALL,), open_clips, _recognizes, subfolders=True)
