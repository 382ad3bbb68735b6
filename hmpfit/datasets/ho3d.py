"""HO3D v2 and v3: one sequence per folder, right hands, OpenGL axes. Source: the data set's own tools.

Only frames listed in `train.txt` or `evaluation.txt` are annotated, and some of those hold None. The evaluation split
has its truth in `evaluation_xyz.json` and `evaluation_verts.json`, where the user has put these beside it. The rendered
segmentations, a download of their own, say which joints something hides.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.datasets.cache import Arrays, cached_arrays
from hmpfit.datasets.json_lists import points_of
from hmpfit.datasets.layout import FilesIn, numbers, pickled, require
from hmpfit.datasets.parameters import OPENGL_TO_OPENCV, StoredHand, motion_of, place_hand
from hmpfit.datasets.segmentation import joints_on_hand
from hmpfit.errors import InputError
from hmpfit.files.opening import read_text
from hmpfit.fingerprints import fingerprint
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.dataset import Dataset, Reader, Sequence, Truth
from hmpfit.records import Camera, Floats
from hmpfit.skeleton import MANO21_TO_OPENPOSE
from hmpfit.video.image_file import read_image

FPS = 30.0
EXPECTED = "train/<sequence>/rgb, .../meta and train.txt (or evaluation and evaluation.txt)"
RENDERED = "*segmentations_rendered"
# The hand's color in OpenCV's order: v3's png have it blue and objects green, v2's jpg red and objects blue, as public
# loaders of both read them.
HAND_CHANNEL = {".png": 0, ".jpg": 2}
_RIGHT = np.array([True])


def open_split(path: Path, split: str, models: HandModels | None) -> Dataset:
    """Open one split. Raises InputError when the folder is not HO3D."""
    listed = read_text(require(path / f"{split}.txt", "HO3D", EXPECTED, path)).split()
    require(path / split, "HO3D", EXPECTED, path)
    order = []
    for line in listed:
        name, slash, frame = line.rpartition("/")
        if not slash:
            raise InputError(f"'{path / split}.txt' has the line '{line}'; <sequence>/<frame> was expected.")
        order.append((name, frame))
    annotated: dict[str, set[str]] = {}
    for name, frame in order:
        annotated.setdefault(name, set()).add(frame)
    names = sorted(annotated)
    with ThreadPoolExecutor(8) as pool:  # a network disk answers many questions at once
        listed_files = list(pool.map(lambda name: _images(path / split / name / "rgb"), names))
    sequences, broken = [], []
    for name, files in zip(names, listed_files, strict=True):
        folder = path / split / name
        if not files:
            broken.append((str(folder / "rgb"), "it holds no images"))
            continue
        frames = tuple(file.partition(".")[0] for file in files)
        missing = sorted(annotated[name] - set(frames))
        broken += [(str(folder / "rgb" / frame), "the image is missing") for frame in missing]
        numbers_of = np.array([int(frame) for frame in frames])
        images = FilesIn(folder / "rgb", files)
        truth = (
            partial(_train_truth, folder, frames, frozenset(annotated[name]), models)
            if split == "train"
            else partial(_evaluation_truth, path, name, frames, order)
        )
        truth = partial(_with_visibility, truth, _segmentations(path, split, name), folder, images, frames)
        sequences.append(
            Sequence(
                name=name, fps=FPS, images=images, frame_names=frames, times_s=(numbers_of - numbers_of[0]) / FPS,
                protocol="ho3d", sides=(True,), read_camera=partial(_camera, folder, images), read_truth=truth,
                read_boxes=None if split == "train" else partial(_evaluation_boxes, folder, frames),
            )
        )  # fmt: skip
    return Dataset("ho3d", path, split, tuple(sequences), tuple(broken), tuple(order))


def _segmentations(path: Path, split: str, name: str) -> Path | None:
    """Return the folder of a sequence's rendered segmentations, in the dataset's or beside it; None without any."""
    for root in (path, *sorted(path.glob(RENDERED)), *sorted(path.resolve().parent.glob(RENDERED))):
        if (root / split / name / "seg").is_dir():
            return root / split / name / "seg"
    return None


def _with_visibility(
    read: Callable[[], Truth], segmentations: Path | None, folder: Path, images: FilesIn, frames: tuple[str, ...]
) -> Truth:
    """Return the truth with the joints that the segmentations show, where there are any and the camera is known."""
    truth = read()
    if segmentations is None:
        return truth
    try:
        camera = _camera(folder, images)
    except InputError:
        return truth  # joints need no camera, what hides them does
    found = sorted(file for file in segmentations.iterdir() if file.suffix in HAND_CHANNEL)
    by_frame = {file.stem: file for file in found}

    def build() -> Arrays:
        masks = (_hand_of(by_frame[frame]) if frame in by_frame else None for frame in frames)
        return {"visible": joints_on_hand(truth.joints_m[0], camera.K[0], masks, (camera.width, camera.height))}

    joints_and_camera = fingerprint(truth.joints_m, camera.K, camera.width, camera.height)
    visible = cached_arrays("ho3d", f"seen {folder} {joints_and_camera}", found, build)["visible"]
    missing = tuple(
        (str(segmentations / f"{frame}.png"), "the segmentation is missing, so that every joint counts as seen")
        for frame, known in zip(frames, truth.valid[0])
        if known and frame not in by_frame
    )
    return replace(truth, visible=np.asarray(visible, dtype=bool)[None], broken=truth.broken + missing)


def _hand_of(file: Path) -> np.ndarray | None:
    """Return the hand [height, width] of a rendered segmentation; None when the picture cannot be read."""
    import cv2

    picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if picture is None:
        return None
    blue_green_red = picture.astype(np.int16)
    hand = blue_green_red[..., HAND_CHANNEL[file.suffix]]
    others = np.delete(blue_green_red, HAND_CHANNEL[file.suffix], axis=-1).max(-1)
    return np.asarray((hand > 128) & (others < 128))


def _images(folder: Path) -> tuple[str, ...]:
    """List the pictures of a folder, `.jpg` (v3) or else `.png` (v2)."""
    names = sorted(name for name in os.listdir(folder) if name[:1].isdigit()) if folder.is_dir() else []
    return tuple(n for n in names if n.endswith(".jpg")) or tuple(n for n in names if n.endswith(".png"))


def _camera(folder: Path, images: FilesIn) -> Camera:
    for image in images:
        try:
            K = pickled(folder / "meta" / f"{image.stem}.pkl").get("camMat")
            if K is not None:
                height, width = read_image(image).shape[:2]
                return Camera(numbers(K, (1, 3, 3)), width, height, source="given")
        except (ValueError, InputError):
            continue  # a broken frame; the truth reports it
    raise InputError(f"No file in '{folder / 'meta'}' holds 'camMat'; HO3D keeps the camera there.")


def _train_truth(folder: Path, frames: tuple[str, ...], annotated: frozenset[str], models: HandModels | None) -> Truth:
    files = [folder / "meta" / f"{frame}.pkl" for frame in frames]
    arrays = cached_arrays("ho3d", f"{folder} {sorted(annotated)}", files, partial(_read_train, files, annotated))
    valid = arrays["valid"].astype(bool)[None]
    joints = np.asarray(arrays["joints"], dtype=np.float64)[None]
    broken = tuple((str(path), str(reason)) for path, reason in zip(arrays["broken_path"], arrays["broken_reason"]))
    if models is None:
        return Truth(_RIGHT, joints, valid, broken=broken)
    stored = StoredHand(
        is_right=True, global_orient=_floats(arrays, "pose")[:, :3], hand_pose=_floats(arrays, "pose")[:, 3:],
        betas=_floats(arrays, "betas"), transl=_floats(arrays, "transl"), valid=valid[0], flat_mean=True,
    )  # fmt: skip
    hand = place_hand(models, stored, OPENGL_TO_OPENCV, np.zeros(3))
    return Truth(
        _RIGHT, joints, valid, hand.vertices[None], motion_of([hand], _RIGHT, valid), faces=models.right.faces,
        broken=broken,
    )  # fmt: skip


def _read_train(files: list[Path], annotated: frozenset[str]) -> Arrays:
    count = len(files)
    joints, pose = np.full((count, 21, 3), np.nan), np.zeros((count, 48))
    betas, transl, valid = np.zeros((count, 10)), np.zeros((count, 3)), np.zeros(count, dtype=bool)
    broken: list[tuple[str, str]] = []
    for row, file in enumerate(files):
        if file.stem not in annotated:
            continue
        try:
            meta = pickled(file)
            if any(meta[key] is None for key in ("handJoints3D", "handPose", "handTrans", "handBeta")):
                continue  # HO3D's way to mark frames without annotation
            joints[row] = (numbers(meta["handJoints3D"], (21, 3)) @ OPENGL_TO_OPENCV)[list(MANO21_TO_OPENPOSE)]
            pose[row], betas[row] = numbers(meta["handPose"], (48,)), numbers(meta["handBeta"], (10,))
            transl[row], valid[row] = numbers(meta["handTrans"], (3,)), True
        except KeyError as error:
            broken.append((str(file), f"it lacks {error}"))
        except (ValueError, TypeError) as error:
            broken.append((str(file), str(error)))
    joints[~valid] = np.nan
    paths, reasons = zip(*broken) if broken else ((), ())
    return {
        "joints": joints, "pose": pose, "betas": betas, "transl": transl, "valid": valid,
        "broken_path": np.array(paths, dtype=str), "broken_reason": np.array(reasons, dtype=str),
    }  # fmt: skip


def _evaluation_truth(path: Path, name: str, frames: tuple[str, ...], order: list[tuple[str, str]]) -> Truth:
    places = {frame: place for place, (sequence, frame) in enumerate(order) if sequence == name}
    found: dict[str, Floats | None] = {}
    for what, points in (("xyz", 21), ("verts", None)):
        file = path / f"evaluation_{what}.json"
        if not file.is_file():
            if what == "xyz":
                raise InputError(
                    f"'{path}' has no evaluation_xyz.json; HO3D's evaluation truth is a separate download (linked in "
                    "its repository's README) that belongs there."
                )
            found[what] = None
            continue
        whole = cached_arrays("ho3d", f"{file}", [file], partial(_points, file, points))["points"]
        if len(whole) != len(order):
            raise InputError(f"'{file}' holds {whole.shape}, and evaluation.txt lists {len(order)} frames.")
        rows = np.full((len(frames), *whole.shape[1:]), np.nan)
        for row, frame in enumerate(frames):
            if frame in places:
                rows[row] = whole[places[frame]] @ OPENGL_TO_OPENCV
        found[what] = rows
    joints, vertices = found["xyz"], found["verts"]
    assert joints is not None
    joints = joints[:, list(MANO21_TO_OPENPOSE)]
    valid = np.isfinite(joints).all((1, 2))
    return Truth(_RIGHT, joints[None], valid[None], None if vertices is None else vertices[None])


def _points(file: Path, count: int | None) -> Arrays:
    return {"points": points_of(file, (count, 3))}


def _evaluation_boxes(folder: Path, frames: tuple[str, ...]) -> Floats:
    boxes = np.full((1, len(frames), 4), np.nan)
    for row, frame in enumerate(frames):
        try:
            box: Any = pickled(folder / "meta" / f"{frame}.pkl").get("handBoundingBox")
            if box is not None:
                boxes[0, row] = numbers(box, (4,))
        except ValueError:
            continue
    return boxes


def _floats(arrays: Arrays, name: str) -> Floats:
    return np.asarray(arrays[name], dtype=np.float64)


def _recognizes(path: Path) -> bool:
    return any((path / f"{split}.txt").is_file() and (path / split).is_dir() for split in ("train", "evaluation"))


READER = Reader(EXPECTED, ("evaluation", "train"), open_split, _recognizes)
