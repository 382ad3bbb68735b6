"""ARCTIC: two hands and an object, eight fixed cameras (p1) or the one on the head (p2).

A sequence per recording and view. Pictures are the whole ones of `images/`. Joints come from `splits/*.npy` where the
user has made these, else from the parameters of `raw_seqs` through the user's MANO.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.datasets.arctic_truth import WHAT, read_arctic_truth
from hmpfit.datasets.layout import FilesIn, numbers, require
from hmpfit.errors import InputError
from hmpfit.files.opening import LARGE_MOST
from hmpfit.files.pickled_values import read_object_npy
from hmpfit.files.structured import read_json
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.dataset import Broken, Dataset, Reader, Sequence, log
from hmpfit.records import Camera

FPS = 30.0
SPLITS = ("p1_val", "p1_train", "p1_test", "p2_val", "p2_train", "p2_test")
EXPECTED = (
    "images/<subject>/<recording>/<view>/%05d.jpg, meta/misc.json, raw_seqs/ and splits_json/protocol_p{1,2}.json "
    "(the folder arctic_data/data)"
)
_VIEWS = {"p1": range(1, 9), "p2": range(1)}


def open_split(path: Path, split: str, models: HandModels | None) -> Dataset:
    """Open one split. Raises InputError when the folder is not ARCTIC; views without pictures are listed as broken."""
    misc = read_json(require(path / "meta" / "misc.json", "ARCTIC", EXPECTED, path), LARGE_MOST)
    if not (path / "images").is_dir() and (path / "cropped_images").is_dir():
        raise InputError(f"'{path}' holds ARCTIC's cropped images; the cameras belong to the whole ones in images/.")
    require(path / "images", "ARCTIC", EXPECTED, path)
    protocol, _, part = split.partition("_")
    recordings = _recordings(path, protocol, part)
    views = [(name, view) for name in recordings for view in _VIEWS[protocol]]
    with ThreadPoolExecutor(8) as pool:
        listed = list(pool.map(lambda one: _images(path / "images" / one[0] / str(one[1])), views))
    sequences: list[Sequence] = []
    broken: list[tuple[str, str]] = []
    for (name, view), files in zip(views, listed, strict=True):
        folder = path / "images" / name / str(view)
        subject = name.partition("/")[0]
        if not files or subject not in misc:
            broken.append((str(folder), "it holds no images" if not files else f"misc.json has no {subject}"))
            continue
        frames = tuple(file.partition(".")[0] for file in files)
        ids = np.array([int(frame) for frame in frames])
        rows = ids - int(misc[subject]["ioi_offset"])
        sequences.append(
            Sequence(
                name=f"{name}/{view}", fps=FPS, images=FilesIn(folder, files), frame_names=frames,
                times_s=(ids - ids[0]) / FPS, protocol="arctic", sides=(True, False),
                read_camera=partial(_camera, path, misc[subject], name, view),
                read_truth=partial(
                    read_arctic_truth, path, split, name, view, rows,
                    partial(_extrinsics, path, misc[subject], name, view), models,
                ),
            )
        )  # fmt: skip
    found: Broken = tuple(broken)
    return Dataset("arctic", path, split, tuple(sequences), found)


def _recordings(path: Path, protocol: str, part: str) -> list[str]:
    """List the recordings of a split as "s01/box_grab_01", from its JSON or from the names of its arrays."""
    for file in (path / "splits_json" / f"protocol_{protocol}.json", path / f"protocol_{protocol}.json"):
        if file.is_file():
            listed = read_json(file, LARGE_MOST)
            if not isinstance(listed, dict) or part not in listed:
                raise InputError(f"'{file}' has no list '{part}'.")
            return sorted(str(name) for name in listed[part])
    file = path / "splits" / f"{protocol}_{part}.npy"
    if file.is_file():
        try:
            return sorted(str(name) for name in read_object_npy(file, WHAT, LARGE_MOST)["data_dict"])
        except (KeyError, TypeError) as error:
            raise InputError(f"'{file}' cannot be used: {error}.") from None
    raise InputError(f"'{path}' has neither splits_json/protocol_{protocol}.json nor {file.relative_to(path)}.")


def _images(folder: Path) -> tuple[str, ...]:
    names = os.listdir(folder) if folder.is_dir() else []
    return tuple(sorted(name for name in names if name.endswith(".jpg") and name[:-4].isdigit()))


def _camera(path: Path, misc: Any, name: str, view: int) -> Camera:
    width, height = (int(side) for side in misc["image_size"][view])
    if view:
        return Camera(numbers(misc["intris_mat"][view - 1], (1, 3, 3)), width, height, source="given")
    own = _head(path, name)
    lens = np.ravel(own["dist8"])
    if lens[5:].any():
        log.warning("The head camera's lens of '%s' has eight numbers; the picture counts as undistorted.", name)
    distortion = None if lens[5:].any() or not lens.any() else lens[:5]
    return Camera(numbers(own["intrinsics"], (1, 3, 3)), width, height, distortion, source="given")


def _extrinsics(path: Path, misc: Any, name: str, view: int) -> tuple[np.ndarray, np.ndarray]:
    """Return R [1 | F, 3, 3] and t [1 | F, 3] from the world to a view's camera; misc.json counts views from 1."""
    if view:
        world = numbers(misc["world2cam"][view - 1], (4, 4))
        return world[None, :3, :3], world[None, :3, 3]
    own = _head(path, name)
    return np.asarray(own["R_k_cam_np"]).reshape(-1, 3, 3), np.asarray(own["T_k_cam_np"]).reshape(-1, 3)


def _head(path: Path, name: str) -> dict[str, Any]:
    file = path / "raw_seqs" / f"{name}.egocam.dist.npy"
    content = read_object_npy(file, WHAT)
    missing = [key for key in ("R_k_cam_np", "T_k_cam_np", "intrinsics", "dist8") if key not in content]
    if missing:
        raise InputError(f"'{file}' lacks '{missing[0]}'.")
    return content


def _recognizes(path: Path) -> bool:
    return (path / "meta" / "misc.json").is_file() and (path / "images").is_dir()


READER = Reader(EXPECTED, SPLITS, open_split, _recognizes)
