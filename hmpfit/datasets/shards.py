"""Hand clips in shards: JPEG frames and their annotations, many to a file, so that training reads few large files.

Separate from what makes the clips. A folder of shards is a dataset of its own (`synthetic:PATH`); a shard is an npz
without pickles, its frames one stream of bytes.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_npz
from hmpfit.files.replacing import replace_file
from hmpfit.files.schemas import Fields
from hmpfit.files.structured import read_json_table
from hmpfit.regressors.samples import HandClip

INDEX = "shards.json"
QUALITY = 92
CLIPS_MOST = 1_000_000  # of one shard
KEPT = 256  # shards of a folder that stay in memory, some MB each
FIELDS = ("K", "is_right", "joints_px", "joints_m", "global_orient", "hand_pose", "betas")


def write_shard(path: Path, clips: Sequence[HandClip]) -> None:
    """Write clips of equal frame and hand counts and image sizes as one shard; a shard is there whole or not at all."""
    frames = [_encoded(image) for clip in clips for image in clip.images]
    arrays = {name: np.stack([np.asarray(getattr(clip, name)) for clip in clips]) for name in FIELDS}
    arrays = {name: value.astype(np.float32) if value.dtype == np.float64 else value for name, value in arrays.items()}
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        np.savez(
            file,
            **arrays,
            jpeg=np.frombuffer(b"".join(frames), dtype=np.uint8),
            ends=np.cumsum([len(frame) for frame in frames]),
            per_clip=np.array(len(clips[0].images)),
        )
    replace_file(partial, path)


def write_index(folder: Path, shards: Iterable[tuple[str, int]], about: dict[str, Any]) -> None:
    """Write `shards.json`: the shards with their numbers of clips, and what they hold."""
    content = {"shards": [list(shard) for shard in shards], **about}
    partial = folder / f".{INDEX}.partial"
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    replace_file(partial, folder / INDEX)


class Shards:
    """The clips of a folder of shards, by number; shards that were read stay in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, f"synthetic:{folder}"
        try:
            self.about = read_json_table(folder / INDEX)
            self.shards = [(str(name), int(count)) for name, count in self.about["shards"]]
            if any(
                Path(name).name != name or len(name) > 200 or not 0 < count <= CLIPS_MOST for name, count in self.shards
            ):
                raise ValueError("it names files elsewhere, or impossible counts")
        except (UnreadableFileError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise InputError(f"'{folder}' is not a folder of shards: {INDEX} is missing or damaged.") from error
        missing = [name for name, _ in self.shards if not (folder / name).is_file()]
        if missing or not self.shards:
            what = f"shard '{missing[0]}' is missing" if missing else "it lists no shard"
            raise InputError(f"'{folder}' is damaged: {what}; make it anew.")
        self._read: dict[Path, dict[str, np.ndarray]] = {}
        self.starts = np.cumsum([0, *(count for _, count in self.shards)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> HandClip:
        shard = int(np.searchsorted(self.starts, index, side="right")) - 1
        row = index - int(self.starts[shard])
        path = self.folder / self.shards[shard][0]
        if path not in self._read:
            if len(self._read) >= KEPT:
                self._read.pop(next(iter(self._read)))
            self._read[path] = _shard(path)
        arrays = self._read[path]
        if row >= len(arrays["K"]):
            raise InputError(f"The shard '{path}' holds {len(arrays['K'])} clips, fewer than {INDEX} says.")
        per_clip = int(arrays["per_clip"])
        ends = np.concatenate(([0], arrays["ends"]))
        bounds = [(int(ends[i]), int(ends[i + 1])) for i in range(row * per_clip, (row + 1) * per_clip)]
        images = np.stack([_decoded(arrays["jpeg"][a:b]) for a, b in bounds])
        floats = {name: arrays[name][row].astype(np.float64) for name in FIELDS if name != "is_right"}
        return HandClip(images, is_right=arrays["is_right"][row], **floats)


def _shard(path: Path) -> dict[str, np.ndarray]:
    stored = Fields(read_npz(path), path, "a shard; make the folder anew")
    per_clip = int(stored.number("per_clip", 1, 1000))
    jpeg = stored.array("jpeg", (None,), np.uint8)
    ends = stored.array("ends", (None,), np.int64, 0, len(jpeg))
    if (np.diff(ends, prepend=0) < 0).any():
        raise stored.wrong("ends", "does not rise")
    arrays = {name: stored.any_array(name) for name in FIELDS}
    clips = len(ends) // per_clip
    for name, values in arrays.items():
        if values.dtype.kind not in "biuf" or values.ndim < 2 or len(values) != clips or np.isinf(values).any():
            raise stored.wrong(name, "holds no numbers of every clip")
    return {**arrays, "jpeg": jpeg, "ends": ends, "per_clip": np.array(per_clip)}


def _encoded(image: np.ndarray) -> bytes:
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return bytes(data)


def _decoded(data: np.ndarray) -> np.ndarray:
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise InputError("A picture in a shard is damaged; make the folder anew.")
    return np.asarray(image[..., ::-1], dtype=np.uint8)
