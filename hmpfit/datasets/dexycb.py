"""DexYCB, splits s0-s3: a sequence per recording and camera, one hand, right or left.

Source: the data set's own tools. The official evaluation counts frames subject by subject, recording by recording,
camera by camera, over the split; `Dataset.order` is that count.
"""

from collections.abc import Callable
from collections.abc import Sequence as Listed
from functools import partial
from pathlib import Path

import numpy as np

from hmpfit.datasets.cache import Arrays, cached_arrays
from hmpfit.datasets.layout import FilesIn, Numbered, numbers, require
from hmpfit.datasets.parameters import StoredHand, expanded, motion_of, place_hand
from hmpfit.datasets.segmentation import joints_on_hand
from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_npz
from hmpfit.files.structured import read_yaml
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.dataset import Dataset, Reader, Sequence, Truth
from hmpfit.records import Camera, Floats

FPS = 30.0
FRAMES_MOST = 100_000  # of one recording; DexYCB's have about 70
WIDTH, HEIGHT = 640, 480
HAND_LABEL = 255  # of `seg`; 1 to 21 are objects
EXPECTED = "<date>-subject-<nn>/<recording>/{meta.yml, <serial>/color_*.jpg, labels_*.npz} and calibration/"
SUBJECTS = (
    "20200709-subject-01", "20200813-subject-02", "20200820-subject-03", "20200903-subject-04", "20200908-subject-05",
    "20200918-subject-06", "20200928-subject-07", "20201002-subject-08", "20201015-subject-09", "20201022-subject-10",
)  # fmt: skip
SERIALS = (
    "836212060125", "839512060362", "840412060917", "841412060263", "932122060857", "932122060861", "932122061900",
    "932122062010",
)  # fmt: skip
SPLITS = tuple(f"{setup}_{part}" for setup in ("s0", "s1", "s2", "s3") for part in ("test", "val", "train"))

_ALL = range(10)
# Each setup and part: subjects, cameras, and which recordings of a subject (by their place among its sorted hundred).
_Chosen = tuple[tuple[int, ...], tuple[int, ...], Callable[[int], bool]]


def chosen(split: str) -> _Chosen:
    """Return subject places, camera places and the test on a recording's place, of a split such as "s0_test"."""
    setup, part = split.split("_")
    everyone, cameras = tuple(_ALL), tuple(range(8))
    if setup == "s0":
        if part == "train":
            return everyone, cameras, lambda place: place % 5 != 4
        return ((0, 1) if part == "val" else everyone[2:]), cameras, lambda place: place % 5 == 4
    if setup == "s1":
        subjects = {"train": (0, 1, 2, 3, 4, 5, 9), "val": (6,), "test": (7, 8)}[part]
        return subjects, cameras, lambda place: True
    if setup == "s2":
        return everyone, {"train": cameras[:6], "val": (6,), "test": (7,)}[part], lambda place: True
    grasped = {"train": set(range(20)) - {3, 7, 11, 15, 19}, "val": {3, 19}, "test": {7, 11, 15}}[part]
    return everyone, cameras, lambda place: place // 5 in grasped


def open_split(path: Path, split: str, models: HandModels | None) -> Dataset:
    """Open one split. Raises InputError when the folder is not DexYCB; recordings without their files are listed."""
    require(path / "calibration", "DexYCB", EXPECTED, path)
    subjects, cameras, wanted = chosen(split)
    sequences: list[Sequence] = []
    broken: list[tuple[str, str]] = []
    order: list[tuple[str, str]] = []
    for subject in (SUBJECTS[place] for place in subjects):
        if not (path / subject).is_dir():
            broken.append((str(path / subject), "the subject is missing, so the official frame indices are wrong"))
            continue
        recordings = sorted(folder for folder in (path / subject).iterdir() if folder.is_dir())
        for recording in (folder for place, folder in enumerate(recordings) if wanted(place)):
            try:
                meta = read_yaml(recording / "meta.yml")
                frames, side = int(meta["num_frames"]), str(meta["mano_sides"][0])
                calibration = str(meta["mano_calib"][0])
                if not 0 < frames <= FRAMES_MOST or "/" in calibration:
                    raise ValueError("'num_frames' or 'mano_calib' is not DexYCB's")
            except (InputError, LookupError, TypeError, ValueError, OverflowError) as error:
                broken.append((str(recording / "meta.yml"), str(error)))
                continue
            names = Numbered("{:06d}", np.arange(frames))
            for serial in (SERIALS[place] for place in cameras):
                name = f"{subject}/{recording.name}/{serial}"
                order += [(name, frame) for frame in names]
                folder = recording / serial
                if not folder.is_dir():
                    broken.append((str(folder), "the camera's folder is missing"))
                    continue
                sequences.append(
                    Sequence(
                        name=name, fps=FPS, images=FilesIn(folder, Numbered("color_{:06d}.jpg", names.ids)),
                        frame_names=names, times_s=np.arange(frames) / FPS, protocol="dexycb",
                        sides=(side == "right",), read_camera=partial(_camera, path, serial),
                        read_truth=partial(_truth, path, folder, names, side == "right", calibration, models),
                    )
                )  # fmt: skip
    return Dataset("dexycb", path, split, tuple(sequences), tuple(broken), tuple(order))


def _camera(path: Path, serial: str) -> Camera:
    file = path / "calibration" / "intrinsics" / f"{serial}_{WIDTH}x{HEIGHT}.yml"
    try:
        color = read_yaml(file)["color"]
        fx, fy, cx, cy = (float(color[key]) for key in ("fx", "fy", "ppx", "ppy"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"'{file}' has no 'color' with fx, fy, ppx, ppy ({error}).") from None
    return Camera(np.array([[[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]]), WIDTH, HEIGHT, source="given")


def _truth(
    path: Path, folder: Path, frames: Listed[str], is_right: bool, calibration: str, models: HandModels | None
) -> Truth:
    files = [folder / f"labels_{frame}.npz" for frame in frames]
    try:
        K: Floats | None = _camera(path, folder.name).K[0]
    except InputError:
        K = None  # joints need no camera, what hides them does
    told = "" if K is None else K.tolist()
    arrays = cached_arrays("dexycb", f"{folder} {told}", files, partial(_read, files, K))
    joints = np.asarray(arrays["joints"], dtype=np.float64)[None]
    visible = None if K is None else np.asarray(arrays["visible"], dtype=bool)[None]
    valid = np.isfinite(joints).all((2, 3))
    side = np.array([is_right])
    broken = tuple((str(file), str(reason)) for file, reason in zip(arrays["broken_path"], arrays["broken_reason"]))
    if models is None:
        return Truth(side, joints, valid, visible=visible, broken=broken)
    mano = path / "calibration" / f"mano_{calibration}" / "mano.yml"  # the shape belongs to a subject's hand
    try:
        betas = numbers(read_yaml(mano)["betas"], (10,))
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"'{mano}' has no ten 'betas' ({error}).") from None
    pose = np.asarray(arrays["pose"], dtype=np.float64)
    posed = valid[0] & pose.any(1)
    stored = StoredHand(
        is_right=is_right, global_orient=pose[:, :3],
        hand_pose=expanded(models.side(is_right), pose[:, 3:48], is_right),
        betas=np.tile(betas, (len(pose), 1)), transl=pose[:, 48:], valid=posed, flat_mean=False,
    )  # fmt: skip
    hand = place_hand(models, stored, np.eye(3), np.zeros(3))
    faces = models.side(is_right).faces if is_right else models.side(is_right).faces[:, ::-1]
    motion = motion_of([hand], side, posed[None])
    return Truth(side, joints, valid, hand.vertices[None], motion, visible=visible, faces=faces, broken=broken)


def _read(files: list[Path], K: Floats | None) -> Arrays:
    joints, pose = np.full((len(files), 21, 3), np.nan), np.zeros((len(files), 51))
    visible = np.ones((len(files), 21), dtype=bool)
    broken: list[tuple[str, str]] = []
    for row, file in enumerate(files):
        try:
            label = read_npz(file, {"joint_3d", "pose_m", "seg"}.__contains__)
            points, parameters = numbers(label["joint_3d"], (21, 3)), numbers(label["pose_m"], (51,))
            hand = _hand_of(label["seg"]) if "seg" in label else None
        except KeyError as error:
            broken.append((str(file), f"it lacks {error}"))
        except UnreadableFileError as error:
            broken.append((str(file), f"it cannot be read: {error.reason}"))
        except (ValueError, TypeError) as error:
            broken.append((str(file), f"it {error}"))
        else:
            if not (points == -1).all():  # no hand in view
                joints[row], pose[row] = points, parameters
                if K is not None:
                    visible[row] = joints_on_hand(points[None], K, [hand], (WIDTH, HEIGHT))[0]
    paths, reasons = zip(*broken) if broken else ((), ())
    return {
        "joints": joints, "pose": pose, "visible": visible,
        "broken_path": np.array(paths, dtype=str), "broken_reason": np.array(reasons, dtype=str),
    }  # fmt: skip


def _hand_of(seg: np.ndarray) -> np.ndarray:
    """Return the hand [height, width] of a label's segmentation. Raises ValueError when it is no picture."""
    if seg.ndim != 2 or not seg.size:
        raise ValueError(f"holds a segmentation of {seg.shape} where a picture belongs")
    return np.asarray(seg == HAND_LABEL)


def _recognizes(path: Path) -> bool:
    return (path / "calibration").is_dir() and any((path / subject).is_dir() for subject in SUBJECTS)


READER = Reader(EXPECTED, SPLITS, open_split, _recognizes)
