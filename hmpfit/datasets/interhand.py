"""InterHand2.6M v1.0, 5 or 30 frames a second: windows of even steps seen by one camera.

The frame rate is not stored. Frames of one recording and camera are cut into windows wherever the step between their
numbers is wider than the commonest one; 30 frames a second are steps of 3 in train and of 1 elsewhere.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.datasets.cache import Arrays, cached_arrays
from hmpfit.datasets.interhand_truth import read_interhand_truth
from hmpfit.datasets.json_lists import objects_of
from hmpfit.datasets.layout import FilesIn, Stored, require
from hmpfit.errors import InputError
from hmpfit.files.opening import LARGE_MOST
from hmpfit.files.structured import read_json
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.dataset import Dataset, Reader, Sequence
from hmpfit.records import Camera

SPLITS = ("test", "val", "train")
FILES = "annotations/<split>/InterHand2.6M_<split>_{data,camera,joint_3d,MANO_NeuralAnnot}.json"
EXPECTED = f"images/<split>/Capture<n>/<name>/cam<id>/image<frame>.jpg and {FILES}"
_OLD_HOMES = ("all", "human_annot", "machine_annot")  # of the annotations before v1.0
_TYPES = {"right": 0, "left": 1, "interacting": 2}
_FULL_RATE_STEP = {"train": 3}  # of frame numbers at 30 frames a second; 1 in the other splits
_FULL_RATE = 30.0


def open_split(path: Path, split: str, models: HandModels | None) -> Dataset:
    """Open one split. Raises InputError when the folder is not InterHand2.6M or an annotation file is damaged."""
    notes = next((path / "annotations" / home for home in (split, *_OLD_HOMES)
                  if (path / "annotations" / home / f"InterHand2.6M_{split}_data.json").is_file()),
                 path / "annotations" / split)  # fmt: skip
    parts = ("data", "camera", "joint_3d", "MANO_NeuralAnnot")
    names = {part: notes / f"InterHand2.6M_{split}_{part}.json" for part in parts}
    for part in parts[:3]:
        require(names[part], "InterHand2.6M", EXPECTED, path)
    index: Any = cached_arrays("interhand", f"{names['data']}", [names["data"]], partial(_index, names["data"]))
    cameras = read_json(names["camera"], LARGE_MOST)
    captures, takes, lenses = (index[f"{part}_names"] for part in ("capture", "take", "camera"))
    step = _FULL_RATE_STEP.get(split, 1)
    sequences = []
    frames, gaps = np.asarray(index["frame"]), np.asarray(index["gap"])
    for start, stop in zip(index["starts"].tolist(), index["stops"].tolist(), strict=True):
        capture, take = str(captures[index["capture"][start]]), str(takes[index["take"][start]])
        lens, first = str(lenses[index["camera"][start]]), int(frames[start])
        types = set(np.unique(index["hand_type"][start:stop]).tolist())
        folder = path / "images" / split / f"Capture{capture}" / take / f"cam{lens}"
        files = Stored(index["file"][start:stop])
        size = int(index["width"][start]), int(index["height"][start])
        read_camera = partial(_camera, cameras, capture, lens, size, names["camera"])
        sides = tuple(side for side, own in ((True, 0), (False, 1)) if types & {own, 2})
        sequences.append(
            Sequence(
                name=f"Capture{capture}/{take}/cam{lens}/{first}", fps=_FULL_RATE * step / max(int(gaps[start]), 1),
                images=FilesIn(folder, files), frame_names=files,
                times_s=(frames[start:stop] - first) / (_FULL_RATE * step), protocol="interhand", sides=sides,
                read_camera=read_camera,
                read_truth=partial(
                    read_interhand_truth, names, capture, frames[start:stop], index["joint_valid"][start:stop], sides,
                    partial(_extrinsics, cameras, capture, lens, names["camera"]), models,
                ),
            )
        )  # fmt: skip
    return Dataset("interhand", path, split, tuple(sequences))


def windows(frames: NDArray[np.integer]) -> tuple[list[tuple[int, int]], int]:
    """Cut rising frame numbers [N] where the step exceeds the commonest one; return the stretches and that step."""
    if len(frames) < 2:
        return [(0, len(frames))], 1
    steps = np.diff(frames)
    values, counts = np.unique(steps, return_counts=True)
    commonest = int(values[counts.argmax()])
    cuts = (np.flatnonzero(steps > commonest) + 1).tolist()
    return list(zip([0, *cuts], [*cuts, len(frames)], strict=True)), commonest


def _index(file: Path) -> Arrays:
    """Read the list of pictures into arrays, sorted by recording, camera and frame, and cut into windows."""
    rows: list[tuple[int, str, str, str, int, int, int, str]] = []
    for image in objects_of(file, "images"):
        try:
            rows.append((
                int(image["id"]), str(image["capture"]), str(image["seq_name"]), str(image["camera"]),
                int(image["frame_idx"]), int(image["width"]), int(image["height"]),
                str(image["file_name"]).rpartition("/")[2],
            ))  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"'{file}' has an image without a usable {error}.") from None
    if not rows:
        raise InputError(f"'{file}' lists no images.")
    ids, captures, takes, cameras, frames, widths, heights, files = (np.array(column) for column in zip(*rows))
    place = {int(image): row for row, image in enumerate(ids.tolist())}
    hand_type, valid = np.full(len(ids), 2, np.int8), np.zeros((len(ids), 42), bool)
    for note in objects_of(file, "annotations"):
        try:
            row = place[int(note["image_id"])]
            hand_type[row] = _TYPES[note["hand_type"]]
            valid[row] = np.asarray(note["joint_valid"], dtype=np.float64).reshape(42) > 0
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"'{file}' has an annotation that cannot be used ({error!r}).") from None
    numbered = {}
    for name, column in (("capture", captures), ("take", takes), ("camera", cameras)):
        numbered[f"{name}_names"], numbered[name] = np.unique(column, return_inverse=True)
    order = np.lexsort((frames, numbered["camera"], numbered["take"], numbered["capture"]))
    group = np.stack([numbered[name][order] for name in ("capture", "take", "camera")])
    edges = np.flatnonzero((np.diff(group, axis=1) != 0).any(0)) + 1
    starts, stops, gap = [], [], np.zeros(len(order), np.int32)
    for low, high in zip([0, *edges.tolist()], [*edges.tolist(), len(order)], strict=True):
        cut, commonest = windows(frames[order[low:high]])
        starts += [low + start for start, _ in cut]
        stops += [low + stop for _, stop in cut]
        gap[low:high] = commonest
    return {
        **{name: values if name.endswith("_names") else values[order].astype(np.int32)
           for name, values in numbered.items()},
        "frame": frames[order], "width": widths[order], "height": heights[order], "file": files[order].astype("S"),
        "hand_type": hand_type[order], "joint_valid": valid[order], "gap": gap,
        "starts": np.array(starts), "stops": np.array(stops),
    }  # fmt: skip


def _camera(cameras: Any, capture: str, lens: str, size: tuple[int, int], file: Path) -> Camera:
    try:
        focal, center = (np.asarray(cameras[capture][name][lens], dtype=float) for name in ("focal", "princpt"))
        K = np.array([[[focal[0], 0.0, center[0]], [0.0, focal[1], center[1]], [0.0, 0.0, 1.0]]])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"'{file}' has no 'focal' and 'princpt' of capture {capture}, camera {lens} ({error})."
        ) from None
    return Camera(K, *size, source="given")


def _extrinsics(cameras: Any, capture: str, lens: str, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return R [3, 3] and t [3] in meters with x_camera = R x_world + t."""
    try:
        R = np.asarray(cameras[capture]["camrot"][lens], dtype=float).reshape(3, 3)
        return R, -R @ np.asarray(cameras[capture]["campos"][lens], dtype=float).reshape(3) / 1000
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"'{file}' has no 'camrot' and 'campos' of capture {capture}, camera {lens} ({error})."
        ) from None


def _recognizes(path: Path) -> bool:
    return next(path.glob("annotations/*/InterHand2.6M_*_data.json"), None) is not None


READER = Reader(EXPECTED, SPLITS, open_split, _recognizes)
