"""Real hands with 3D truth from calibrated views: `SET/CAMERA.mp4` with `.truth.npz` and `.intrinsics.json` beside it.

The layout is ours (`docs/datasets.md`). Triangulated truth is not exact: what its views disagree about is left out
here, so that no score counts it.
"""

from functools import partial
from pathlib import Path

import numpy as np

from hmpfit.datasets.layout import Numbered
from hmpfit.errors import InputError
from hmpfit.files.archives import read_npz
from hmpfit.geometry.intrinsics import camera_for
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.dataset import Dataset, Reader, Sequence, Truth
from hmpfit.records import Camera, Floats
from hmpfit.video.clip import open_clip

EXPECTED = "folders of SET/CAMERA.mp4 (or .avi) with CAMERA.truth.npz and CAMERA.intrinsics.json"
ALL = "all"
VIDEOS = (".mp4", ".avi", ".mov", ".mkv")
MOST_REPROJECTION_PX = 8.0  # in the median over a hand's landmarks; above it the views do not agree on the hand
MOST_RATE_ERROR = 0.05  # share by which a container's rate may differ from the truth's
SUFFIX = ".truth.npz"


def open_truth(path: Path, split: str, models: HandModels | None) -> Dataset:
    """Open all clips in the folders below `path`, or those of its folder called like the split, one sequence a camera.

    A clip whose files cannot be read is listed in `broken`. Raises InputError when there are none.
    """
    pattern = f"*/*{SUFFIX}" if split == ALL else f"{split}/*{SUFFIX}"
    files = sorted(path.glob(pattern))
    if not files:
        raise InputError(f"'{path}' holds no {pattern}; truth expects {EXPECTED}.")
    sequences, broken = [], []
    for file in files:
        try:
            sequences.append(_sequence(file))
        except InputError as error:
            broken.append((str(file), str(error)))
    return Dataset("truth", path, split, tuple(sequences), tuple(broken))


def _sequence(file: Path) -> Sequence:
    stem = file.name.removesuffix(SUFFIX)
    video = next((found for end in VIDEOS if (found := file.with_name(stem + end)).is_file()), None)
    if video is None:
        raise InputError(f"There is no video beside '{file}'; truth expects {EXPECTED}.")
    arrays = _arrays(file)
    times_s = arrays["times_s"]
    fps = float((len(times_s) - 1) / (times_s[-1] - times_s[0]))
    return Sequence(
        name=f"{file.parent.name}/{stem}",
        fps=fps,
        images=(),
        frame_names=Numbered("{}", np.arange(len(times_s))),
        times_s=times_s,
        protocol="hmp",
        sides=tuple(arrays["is_right"].astype(bool).tolist()),
        read_camera=partial(_camera, file, video),
        read_truth=partial(_truth, file),
        video=video,
        video_fps=fps,
        video_frames=(0, len(times_s)),
    )


def _camera(file: Path, video: Path) -> Camera:
    intrinsics = file.with_name(file.name.replace(SUFFIX, ".intrinsics.json"))
    clip = open_clip(video, (0, 1))
    return camera_for(clip.width, clip.height, str(intrinsics), 0.9)


def _truth(file: Path) -> Truth:
    arrays = _arrays(file)
    joints = np.array(arrays["joints"], dtype=np.float64)
    spread = np.where(np.isfinite(arrays["reprojection_px"]), arrays["reprojection_px"], np.inf)
    joints[np.median(spread, axis=-1) > MOST_REPROJECTION_PX] = np.nan
    known = np.isfinite(joints).all(-1)
    return Truth(
        is_right=arrays["is_right"].astype(bool),
        joints_m=joints,
        valid=known.all(-1),
        joint_valid=known,
    )


def _arrays(file: Path) -> dict[str, Floats]:
    arrays = dict(read_npz(file))
    for name, axes in (("joints", 4), ("reprojection_px", 3), ("is_right", 1), ("times_s", 1)):
        if name not in arrays or np.ndim(arrays[name]) != axes:
            raise InputError(f"'{file}' has no '{name}' with {axes} axes; docs/datasets.md has the layout.")
    if len(arrays["times_s"]) < 2 or arrays["joints"].shape[1] != len(arrays["times_s"]):
        raise InputError(f"'{file}' must have two frames or more, and as many joints as times.")
    return arrays


def _recognizes(path: Path) -> bool:
    return next(path.glob(f"*/*{SUFFIX}"), None) is not None


READER = Reader(EXPECTED, (ALL,), open_truth, _recognizes, subfolders=True)
