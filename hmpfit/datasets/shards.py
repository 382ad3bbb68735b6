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

from hmpfit.errors import InputError
from hmpfit.regressors.samples import HandClip

INDEX = "shards.json"
QUALITY = 92
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
    partial.replace(path)


def write_index(folder: Path, shards: Iterable[tuple[str, int]], about: dict[str, Any]) -> None:
    """Write `shards.json`: the shards with their numbers of clips, and what they hold."""
    content = {"shards": [list(shard) for shard in shards], **about}
    partial = folder / f".{INDEX}.partial"
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / INDEX)


class Shards:
    """The clips of a folder of shards, by number; shards that were read stay in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, f"synthetic:{folder}"
        try:
            self.about = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            self.shards = [(str(name), int(count)) for name, count in self.about["shards"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
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
        per_clip = int(arrays["per_clip"])
        ends = np.concatenate(([0], arrays["ends"]))
        bounds = [(int(ends[i]), int(ends[i + 1])) for i in range(row * per_clip, (row + 1) * per_clip)]
        images = np.stack([_decoded(arrays["jpeg"][a:b]) for a, b in bounds])
        floats = {name: arrays[name][row].astype(np.float64) for name in FIELDS if name != "is_right"}
        return HandClip(images, is_right=arrays["is_right"][row], **floats)


def _shard(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in (*FIELDS, "jpeg", "ends", "per_clip")}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise InputError(f"The shard '{path}' is damaged ({type(error).__name__}); make the folder anew.") from error


def _encoded(image: np.ndarray) -> bytes:
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert done
    return bytes(data)


def _decoded(data: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1], dtype=np.uint8)
