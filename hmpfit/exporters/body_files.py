"""File layouts of body estimators: where each stores a person's rotations, and how new wrists are written.

GVHMR's `.pt`, 4D-Humans' (PHALP's) pickle, an npz of SMPL-X over time, and a folder of one npz a frame as SMPLer-X and
SMPLest-X write it. Separate from `body`, which knows about elbows and not about files.
"""

import pickle
import re
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hmpfit.errors import InputError
from hmpfit.files.archives import read_npz
from hmpfit.files.opening import explained
from hmpfit.files.pickled_values import read_pickled_table
from hmpfit.records import Floats

_WHAT = "a body's result: GVHMR's .pt, 4D-Humans' .pkl, an npz of SMPL-X, or a folder of one npz a frame"
_IN_CAMERA, _ALSO = "smpl_params_incam", "smpl_params_global"  # GVHMR's two sets; their body_pose is the same
_ALIASES = {"global_orient": "smplx_root_pose", "body_pose": "smplx_body_pose", "left_hand_pose": "smplx_lhand_pose",
            "right_hand_pose": "smplx_rhand_pose"}  # fmt: skip
_FRAME_NAME = re.compile(r"(\d+)(?:_(\d+))?")


class BodyFile(ABC):
    """A person's `global_orient` [T, 3] and `body_pose` [T, J, 3], axis-angle in the camera, NaN where not seen."""

    def __init__(self, path: Path, global_orient: Floats, body_pose: Floats) -> None:
        self.path, self.global_orient, self.body_pose = path, global_orient, body_pose

    @abstractmethod
    def write(self, out: Path, body_pose: Floats, fingers: Mapping[str, Floats]) -> list[Path]:
        """Write the whole result with new body poses and finger poses [T, 45] of "left" and "right" below `out`."""

    def target(self, out: Path, suffix: str) -> Path:
        """Return the file's place below `out`, named after the body's own file."""
        out.mkdir(parents=True, exist_ok=True)
        return out / f"{self.path.stem}_hands{suffix}"


def open_body(path: Path, person: str | None) -> BodyFile:
    """Read a body's result; `person` is a track's number where it has several (default: the one seen most often).

    Raises InputError for what is no such result, or has no such person.
    """
    with explained(path, _WHAT):
        if path.is_dir():
            return _open_folder(path, person)
        if path.suffix == ".npz":
            arrays: dict[str, Any] = dict(read_npz(path))
            return _Stacked(path, arrays, [arrays])
        if path.suffix in (".pkl", ".pickle"):
            return _open_tracks(path, person)
        content = torch.load(path, map_location="cpu", weights_only=True)  # runs nothing that is in the file
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}")
        if not isinstance(content.get(_IN_CAMERA), dict):
            return _Stacked(path, content, [content])
        sets: list[dict[str, Any]] = [content[key] for key in (_IN_CAMERA, _ALSO) if key in content]
        return _Stacked(path, content, sets)


class _Stacked(BodyFile):
    """Arrays over time in one file, npz or `.pt`; in some files twice, in the camera and in the world."""

    def __init__(self, path: Path, content: dict[str, Any], sets: list[dict[str, Any]]) -> None:
        orient = np.asarray(_get(sets[0], "global_orient"), dtype=np.float64).reshape(-1, 3)
        body = np.asarray(_get(sets[0], "body_pose"), dtype=np.float64).reshape(len(orient), -1, 3)
        super().__init__(path, orient, body)
        self._content, self._sets = content, sets

    def write(self, out: Path, body_pose: Floats, fingers: Mapping[str, Floats]) -> list[Path]:
        for one in self._sets:
            _put(one, "body_pose", body_pose.reshape(np.shape(_get(one, "body_pose"))))
            for side, pose in fingers.items():
                _put(one, f"{side}_hand_pose", pose)
        file = self.target(out, self.path.suffix)
        if file.suffix == ".npz":
            np.savez(file, **self._content)
        else:
            torch.save(_tensors(self._content), file)
        return [file]


class _FrameFolder(BodyFile):
    """One npz a frame and person, `<frame>_<person>.npz`."""

    def __init__(self, path: Path, files: list[Path | None]) -> None:
        self._files = files
        read = [None if file is None else dict(read_npz(file)) for file in files]
        some = next(content for content in read if content is not None)
        joints = np.asarray(_get(some, "body_pose")).size // 3
        orient, body = np.full((len(files), 3), np.nan), np.full((len(files), joints, 3), np.nan)
        for frame, content in enumerate(read):
            if content is not None:
                orient[frame] = np.asarray(_get(content, "global_orient"), dtype=np.float64).reshape(3)
                body[frame] = np.asarray(_get(content, "body_pose"), dtype=np.float64).reshape(-1, 3)
        super().__init__(path, orient, body)

    def write(self, out: Path, body_pose: Floats, fingers: Mapping[str, Floats]) -> list[Path]:
        folder, written = self.target(out, ""), []
        shutil.copytree(self.path, folder, dirs_exist_ok=True)
        for frame, file in enumerate(self._files):
            if file is None:
                continue
            content = dict(read_npz(file))
            _put(content, "body_pose", body_pose[frame].reshape(np.shape(_get(content, "body_pose"))))
            for side, pose in fingers.items():
                shape = np.shape(_find(content, f"{side}_hand_pose", pose[frame][None]))
                _put(content, f"{side}_hand_pose", pose[frame].reshape(shape))
            np.savez(folder / file.name, **content)
            written.append(folder / file.name)
        return written


class _Tracks(BodyFile):
    """4D-Humans' table of frames: lists of people, each with a track's number and rotation matrices of SMPL."""

    def __init__(self, path: Path, frames: dict[str, dict[str, Any]], people: list[dict[str, Any] | None]) -> None:
        self._frames, self._people = frames, people
        some = next(one for one in people if one is not None)
        joints = np.asarray(some["body_pose"]).size // 9
        orient, body = np.full((len(people), 3), np.nan), np.full((len(people), joints, 3), np.nan)
        for frame, one in enumerate(people):
            if one is not None:
                orient[frame] = _vectors(one["global_orient"])[0]
                body[frame] = _vectors(one["body_pose"])
        super().__init__(path, orient, body)

    def write(self, out: Path, body_pose: Floats, fingers: Mapping[str, Floats]) -> list[Path]:
        for frame, one in enumerate(self._people):
            if one is None:
                continue
            one["body_pose"] = _matrices(body_pose[frame]).reshape(np.shape(one["body_pose"]))
            for side, pose in fingers.items():
                one[f"{side}_hand_pose"] = _matrices(pose[frame].reshape(-1, 3))
        file = self.target(out, self.path.suffix)
        file.write_bytes(pickle.dumps(self._frames, protocol=4))  # numbers, texts and arrays alone; joblib reads it too
        return [file]


def _open_tracks(path: Path, person: str | None) -> _Tracks:
    frames = read_pickled_table(path, _WHAT)
    ordered = [frames[name] for name in sorted(frames)]
    if not ordered or not all(isinstance(frame, dict) and {"smpl", "tid"} <= set(frame) for frame in ordered):
        raise ValueError("its frames have no 'smpl' and 'tid'")
    seen = Counter(int(track) for frame in ordered for track in frame["tid"])
    track = _chosen(seen, person, path)
    people = []
    for frame in ordered:
        tracks = [int(one) for one in frame["tid"]]
        people.append(frame["smpl"][tracks.index(track)] if track in tracks else None)
    return _Tracks(path, frames, people)


def _open_folder(path: Path, person: str | None) -> _FrameFolder:
    named = [(match, file) for file in sorted(path.glob("*.npz")) if (match := _FRAME_NAME.fullmatch(file.stem))]
    if not named:
        raise ValueError("it has no files such as 00001_0.npz")
    chosen = _chosen(Counter(int(match[2] or 0) for match, _ in named), person, path)
    numbers = sorted({int(match[1]) for match, _ in named})
    of = {int(match[1]): file for match, file in named if int(match[2] or 0) == chosen}
    return _FrameFolder(path, [of.get(number) for number in range(numbers[0], numbers[-1] + 1)])


def _chosen(seen: Counter[int], person: str | None, path: Path) -> int:
    if not seen:
        raise ValueError("nobody is in it")
    if person is None:
        return min(seen, key=lambda track: (-seen[track], track))
    if not person.isdigit() or int(person) not in seen:
        known = ", ".join(str(track) for track in sorted(seen)[:20])
        raise InputError(f"'{path}' has no person {person}; --to smplx:N takes one of {known}.")
    return int(person)


def _get(content: Mapping[str, Any], key: str) -> Any:
    found = _find(content, key, None)
    if found is None:
        raise ValueError(f"it has no {key}")
    return found


def _find(content: Mapping[str, Any], key: str, otherwise: Any) -> Any:
    return content[key] if key in content else content.get(_ALIASES.get(key, ""), otherwise)


def _put(content: dict[str, Any], key: str, value: Floats) -> None:
    content[_ALIASES[key] if key not in content and _ALIASES.get(key) in content else key] = value


def _vectors(matrices: Any) -> Floats:
    found: Floats = Rotation.from_matrix(np.asarray(matrices, dtype=np.float64).reshape(-1, 3, 3)).as_rotvec()
    return found


def _matrices(vectors: Floats) -> Floats:
    return Rotation.from_rotvec(vectors).as_matrix().astype(np.float32)


def _tensors(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tensors(item) for key, item in value.items()}
    return torch.as_tensor(value, dtype=torch.float32) if isinstance(value, np.ndarray) else value
