"""Camera paths from files: COLMAP's images (txt, bin or their folder), TUM trajectories, and our own npz.

COLMAP stores camera from world and frame names, TUM world from camera and times; both come back as world from camera
for every frame of the clip. Units are the file's, taken as meters; COLMAP's are meters only if someone saw to it.
"""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hmpfit.errors import InputError
from hmpfit.files.archives import read_npz
from hmpfit.files.opening import read_bytes, read_text, reason_of
from hmpfit.geometry.rigid_transforms import interpolate, inverse, rigid
from hmpfit.records import Floats

_FORMS = (
    "COLMAP's images.txt or images.bin (or the folder that holds it), a TUM trajectory "
    "(time tx ty tz qx qy qz qw), or an npz with world_from_camera [T, 4, 4], such as a run's result.npz"
)
_HELD_S = 0.25  # poses may lack so long at the ends


@dataclass(frozen=True)
class ClipTimes:
    """The clip as readers need it: times of its frames and which frame of the source the first one is."""

    times_s: Floats  # [T]
    first_frame: int = 0


def read_camera_path(path: Path, clip: ClipTimes) -> NDArray[np.float64]:
    """Return world from camera [T, 4, 4] for the frames of a clip, between poses interpolated.

    Raises InputError when the file is missing, of no known form, damaged, or leaves out frames at an end of the clip.
    """
    if not path.exists():
        raise InputError(f"--camera file: there is no '{path}'; give {_FORMS}.")
    file = path
    if path.is_dir():
        names = ("images.txt", "images.bin", "result.npz", "truth.npz")
        file = next((path / name for name in names if (path / name).is_file()), path)
        if file == path:
            raise InputError(f"--camera file: the folder '{path}' holds none of {', '.join(names)}.")
    try:
        if file.suffix == ".npz":
            poses, at_s = _ours(file, clip)
        elif file.suffix == ".bin":
            poses, at_s = _by_name(*_colmap_binary(read_bytes(file)), clip)
        else:
            poses, at_s = _text(file, clip)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, EOFError, OverflowError, struct.error, UnicodeDecodeError) as error:
        raise InputError(f"--camera file: '{file}' cannot be read ({reason_of(error)}); give {_FORMS}.") from error
    return _for_frames(poses, at_s, clip, file)


def _text(file: Path, clip: ClipTimes) -> tuple[Floats, Floats]:
    lines = [line.strip() for line in read_text(file).splitlines()]
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    if not rows:
        raise ValueError("it holds no poses")
    if len(rows[0]) == 8:
        values = np.array([[float(number) for number in row] for row in rows])
        return _tum(values, clip)
    if len(rows[0]) >= 10:
        # Two lines an image; the second, the points seen, may be empty, so lines are counted before empty ones go.
        kept = [line for line in lines if not line.startswith("#")]
        while kept and not kept[0]:
            kept.pop(0)
        images = [line.split(maxsplit=9) for line in kept[::2] if line]
        if any(len(image) < 10 for image in images):
            raise ValueError("an image's line has less than its 10 columns")
        numbers = np.array([[float(number) for number in image[1:8]] for image in images])
        return _by_name(numbers, [image[9] for image in images], clip)
    raise ValueError(f"a line has {len(rows[0])} columns, not 8 (TUM) or 10 (COLMAP)")


def _ours(file: Path, clip: ClipTimes) -> tuple[Floats, Floats]:
    stored = read_npz(file, lambda key: key in ("world_from_camera", "times_s"))
    poses = np.asarray(stored["world_from_camera"], np.float64)
    times_s = np.asarray(stored["times_s"], np.float64) if "times_s" in stored else None
    if poses.ndim != 3 or poses.shape[1:] != (4, 4) or not np.isfinite(poses).all():
        raise ValueError("world_from_camera is not [T, 4, 4] of finite numbers")
    turn = poses[:, :3, :3]
    if np.abs(turn @ turn.transpose(0, 2, 1) - np.eye(3)).max() > 1e-3 or (np.linalg.det(turn) < 0).any():
        raise ValueError("world_from_camera holds no rotations")
    if times_s is not None and (times_s.shape != (len(poses),) or not np.isfinite(times_s).all()):
        raise ValueError(f"it has {len(poses)} poses, and times_s is not as many finite numbers")
    if times_s is None and len(poses) != len(clip.times_s):
        raise ValueError(f"it has {len(poses)} poses and no times_s, and the clip {len(clip.times_s)} frames")
    return poses, clip.times_s if times_s is None else times_s


def _tum(values: Floats, clip: ClipTimes) -> tuple[Floats, Floats]:
    at_s, order = values[:, 0], np.argsort(values[:, 0], kind="stable")
    poses = rigid(_rotations(values[:, 4:8]), values[:, 1:4])
    if at_s.min() > clip.times_s[-1] or at_s.max() < clip.times_s[0]:
        at_s = at_s - at_s.min() + clip.times_s[0]  # a clock of its own: the first pose is the first frame's
    return poses[order], at_s[order]


def _colmap_binary(data: bytes) -> tuple[Floats, list[str]]:
    (count,), at = struct.unpack_from("<Q", data), 8
    rows, names = [], []
    for _ in range(count):
        rows.append(struct.unpack_from("<7d", data, at + 4))
        at += 4 + 56 + 4
        end = data.index(b"\0", at)
        names.append(data[at:end].decode())
        (points,) = struct.unpack_from("<Q", data, end + 1)
        at = end + 9 + 24 * points
    return np.array(rows).reshape(-1, 7), names


def _by_name(numbers: Floats, names: list[str], clip: ClipTimes) -> tuple[Floats, Floats]:
    """Return poses and times of COLMAP's images [N, 7] (qw qx qy qz tx ty tz) by the last number in their names."""
    if not len(names):
        raise ValueError("it holds no images")
    found = [re.findall(r"\d+", Path(name).stem) for name in names]
    if not all(found):
        raise ValueError(f"the image '{names[[bool(f) for f in found].index(False)]}' has no frame number in its name")
    frames = np.array([int(one[-1]) for one in found])
    order = np.argsort(frames, kind="stable")
    frames = frames[order]
    frames = frames - (1 if frames[0] == 1 else 0) - clip.first_frame  # extracted frames count from 1
    poses = inverse(rigid(_rotations(numbers[:, [1, 2, 3, 0]]), numbers[:, 4:7]))[order]
    count = len(clip.times_s)
    if len(frames) == count and not (frames[0] >= 0 and frames[-1] < count):
        frames = np.arange(count)
    inside = (frames >= 0) & (frames < count)
    if not inside.any():
        raise ValueError(f"its frames {frames[0]} to {frames[-1]} are none of the clip's 0 to {count - 1}")
    return poses[inside], clip.times_s[frames[inside]]


def _rotations(xyzw: Floats) -> Floats:
    length = np.linalg.norm(xyzw, axis=1)
    if not np.isfinite(xyzw).all() or (np.abs(length - 1) > 0.01).any():
        raise ValueError("a quaternion is not of length 1")
    return Rotation.from_quat(xyzw).as_matrix()


def _for_frames(poses: Floats, at_s: Floats, clip: ClipTimes, file: Path) -> NDArray[np.float64]:
    if not np.isfinite(poses).all():
        raise InputError(f"--camera file: '{file}' holds numbers that are not finite.")
    at_s, once = np.unique(at_s, return_index=True)
    if at_s[0] - clip.times_s[0] > _HELD_S or clip.times_s[-1] - at_s[-1] > _HELD_S:
        raise InputError(
            f"--camera file: '{file}' has poses from {at_s[0]:.2f} s to {at_s[-1]:.2f} s and the clip lasts from "
            f"{clip.times_s[0]:.2f} s to {clip.times_s[-1]:.2f} s; cut the clip with --frames."
        )
    return interpolate(poses[once], at_s, clip.times_s)
