"""The files of a LeRobot v3.0 data set: parquet, video, `info.json`, tasks and statistics.

Separate from `lerobot.py`, which knows hands. Every episode has a file of its own, so that adding one rewrites none.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.errors import InputError, MissingExtraError, UnreadableFileError
from hmpfit.files.opening import explained, open_regular
from hmpfit.files.replacing import replace_file
from hmpfit.files.schemas import mismatch
from hmpfit.files.structured import read_json, read_json_table
from hmpfit.video.writer import VideoWriter

VERSION = "v3.0"
VIDEO_KEY = "observation.images.main"
_COUNTS = ("total_episodes", "total_frames", "total_tasks")
_INFO = {**dict.fromkeys(_COUNTS, int), "features": {}}
_CHUNK = 1000  # files per folder
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
_DATA, _VIDEO = f"data/{_FILE}.parquet", f"videos/{{video_key}}/{_FILE}.mp4"
_EPISODES, _TASKS = f"meta/episodes/{_FILE}.parquet", "meta/tasks.parquet"
_SAME_RATE = 0.01  # relative; clips that differ by less are of one rate
_LOOKED_AT = 24  # images per episode that the colors' statistics are taken from
_QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
Stats = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Episode:
    """What one episode adds to a data set."""

    columns: dict[str, np.ndarray]  # [T, n] each
    names: dict[str, list[str]]  # of the n numbers of each column
    task: str
    digest: str
    images: Iterator[np.ndarray] | None  # T of them, [height, width, 3] RGB
    size: tuple[int, int] | None  # width, height


class DatasetFolder:
    """A data set on disk, opened or begun; raises InputError when the folder holds something else."""

    def __init__(self, root: Path, fps: float) -> None:
        try:
            import pyarrow.parquet as parquet
        except ModuleNotFoundError as error:
            raise MissingExtraError("--to lerobot", "pyarrow", "pip install pyarrow (or hmpfit[robots])") from error
        self.root, self._parquet = root, parquet
        self._info, self._added = root / "meta" / "info.json", root / "meta" / "hmpfit.json"
        if root.exists() and any(root.iterdir()) and not self._info.is_file():
            raise InputError(f"'{root}' is no LeRobot data set; give -o another folder.")
        if self._info.is_file():
            self.info: dict[str, Any] = read_json_table(self._info)
            if type(self.info.get("fps")) not in (int, float) or not self.info["fps"] > 0:
                raise InputError(f"'{root}' has no 'fps' in meta/info.json; give -o another folder.")
            if self.info.get("codebase_version") != VERSION or not self._added.is_file():
                raise InputError(f"'{root}' is not a data set of hmpfit's in LeRobot {VERSION}; give another folder.")
            if abs(self.info["fps"] / fps - 1) > _SAME_RATE:
                raise InputError(
                    f"'{root}' has {self.info['fps']} frames a second and this run {fps:.3f}; give -o another folder."
                )
        else:
            self.info = _begin(fps)
        self._digests: list[str] = read_json(self._added) if self._added.is_file() else []
        for path, content, pattern in ((self._info, self.info, _INFO), (self._added, self._digests, [str])):
            wrong = mismatch(content, pattern)
            if wrong is None and min(self.info[key] for key in _COUNTS) < 0:
                wrong = "a number of it is negative"
            if wrong is not None:
                raise UnreadableFileError(path, wrong, "part of a LeRobot data set")

    def holds(self, digest: str) -> bool:
        """Return whether an episode of that digest has been added."""
        return digest in self._digests

    def add(self, episode: Episode) -> None:
        """Write an episode's files; `info.json`, which makes it count, comes last."""
        number, frames = self.info["total_episodes"], len(episode.columns["action"])
        self._check_features(episode)
        place = {"chunk_index": number // _CHUNK, "file_index": number % _CHUNK}
        start, task_index = self.info["total_frames"], self._task_index(episode.task)
        columns = {
            **episode.columns,
            "timestamp": (np.arange(frames) / self.info["fps"]).astype(np.float32)[:, None],
            "frame_index": np.arange(frames)[:, None],
            "episode_index": np.full((frames, 1), number),
            "index": np.arange(start, start + frames)[:, None],
            "task_index": np.full((frames, 1), task_index),
        }
        self._write(_DATA.format(**place), {key: _column(values) for key, values in columns.items()})
        stats: Stats = {key: _stats(values) for key, values in columns.items()}
        row: dict[str, Any] = {
            "episode_index": number, "tasks": [episode.task], "length": frames,
            "data/chunk_index": place["chunk_index"], "data/file_index": place["file_index"],
            "dataset_from_index": start, "dataset_to_index": start + frames,
            "meta/episodes/chunk_index": place["chunk_index"], "meta/episodes/file_index": place["file_index"],
        }  # fmt: skip
        if episode.images is not None:
            stats[VIDEO_KEY] = self._write_video(episode, place)
            row |= {f"videos/{VIDEO_KEY}/{key}": value for key, value in place.items()}
            row[f"videos/{VIDEO_KEY}/from_timestamp"] = 0.0
            row[f"videos/{VIDEO_KEY}/to_timestamp"] = frames / self.info["fps"]
        for key, values in stats.items():
            row |= {f"stats/{key}/{name}": value.tolist() for name, value in values.items()}
        self._write(_EPISODES.format(**place), {key: [value] for key, value in row.items()})
        self._write_stats(stats)
        self.info["total_episodes"] += 1
        self.info["total_frames"] += frames
        self.info["splits"] = {"train": f"0:{number + 1}"}
        self._digests.append(episode.digest)
        _replace(self._added, json.dumps(self._digests, indent=1))
        _replace(self._info, json.dumps(self.info, indent=4))

    def _check_features(self, episode: Episode) -> None:
        found = _features(episode, self.info["fps"])
        if not self.info["features"]:
            self.info["features"] = found
            self.info["video_path"] = _VIDEO if episode.images is not None else None
        kept = self.info["features"]
        if json.loads(json.dumps(found)) != json.loads(json.dumps(kept)):
            other = [key for key in {*kept, *found} if kept.get(key) != found.get(key)]
            raise InputError(
                f"The data set '{self.root}' has other features than this run ({', '.join(sorted(other))}): all of its "
                "runs must have a video, of one size, or none must; give -o another folder."
            )

    def _task_index(self, task: str) -> int:
        path = self.root / _TASKS
        tasks: list[Any] = []
        if path.exists():
            with explained(path, "the tasks of a LeRobot data set"), open_regular(path) as file:
                tasks = self._parquet.read_table(file).column("__index_level_0__").to_pylist()
        if task not in tasks:
            tasks.append(task)
            self._write(_TASKS, {"task_index": list(range(len(tasks))), "__index_level_0__": tasks}, _pandas_index())
            self.info["total_tasks"] = len(tasks)
        return tasks.index(task)

    def _write(self, name: str, columns: dict[str, Any], metadata: dict[bytes, bytes] | None = None) -> None:
        import pyarrow as pa

        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        self._parquet.write_table(pa.table(columns).replace_schema_metadata(metadata), partial)
        replace_file(partial, path)

    def _write_video(self, episode: Episode, place: dict[str, int]) -> dict[str, np.ndarray]:
        assert episode.images is not None and episode.size is not None
        path = self.root / _VIDEO.format(video_key=VIDEO_KEY, **place)
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = len(episode.columns["action"])
        looked_at = set(np.linspace(0, frames - 1, min(frames, _LOOKED_AT)).round().astype(int).tolist())
        pixels = []
        with VideoWriter(path, self.info["fps"], *episode.size) as video:
            for number, image in enumerate(episode.images):
                video.write(image, number / self.info["fps"])
                if number in looked_at:
                    pixels.append(image[::8, ::8].reshape(-1, 3) / 255)
        found = _stats(np.concatenate(pixels))
        shaped = {key: value if key == "count" else value[:, None, None] for key, value in found.items()}
        return {**shaped, "count": np.array([len(pixels)])}

    def _write_stats(self, stats: Stats) -> None:
        path = self.root / "meta" / "stats.json"
        if path.is_file():
            before = read_json_table(path)
            with explained(path, "the statistics of a LeRobot data set"):
                stats = {key: _merged(before[key], values) for key, values in stats.items()}
        text = {key: {name: value.tolist() for name, value in values.items()} for key, values in stats.items()}
        _replace(path, json.dumps(text, indent=4))


def _begin(fps: float) -> dict[str, Any]:
    rounded = round(fps)
    return {
        "codebase_version": VERSION, "robot_type": "human_hands", "total_episodes": 0, "total_frames": 0,
        "total_tasks": 0, "chunks_size": _CHUNK, "data_files_size_in_mb": 100, "video_files_size_in_mb": 200,
        "fps": rounded if abs(fps - rounded) < 1e-3 else round(fps, 6), "splits": {}, "data_path": _DATA,
        "video_path": None, "features": {},
    }  # fmt: skip


def _features(episode: Episode, fps: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if episode.size is not None:
        width, height = (side + side % 2 for side in episode.size)
        found[VIDEO_KEY] = {
            "dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channels"],
            "info": {
                "video.height": height, "video.width": width, "video.codec": "h264", "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False, "video.fps": fps, "video.channels": 3, "has_audio": False,
            },
        }  # fmt: skip
    for key, values in episode.columns.items():
        dtype = "int64" if values.dtype.kind == "i" else "float32"
        found[key] = {"dtype": dtype, "shape": [values.shape[1]], "names": episode.names[key]}
    for key in ("timestamp", "frame_index", "episode_index", "index", "task_index"):
        found[key] = {"dtype": "float32" if key == "timestamp" else "int64", "shape": [1], "names": None}
    return found


def _column(values: np.ndarray) -> Any:
    import pyarrow as pa

    flat = pa.array(values.reshape(-1))
    return flat if values.shape[1] == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _stats(values: np.ndarray) -> dict[str, np.ndarray]:
    columns = values.astype(np.float64)
    simple: dict[str, Callable[..., Any]] = {"min": np.min, "max": np.max, "mean": np.mean, "std": np.std}
    found = {name: np.asarray(reduce(columns, axis=0)) for name, reduce in simple.items()}
    found |= {name: np.quantile(columns, share, axis=0) for name, share in _QUANTILES.items()}
    return {**found, "count": np.array([len(values)])}


def _merged(before: dict[str, Any], added: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the statistics of two samples together; quantiles are the mean of both, weighted by their counts."""
    old = {name: np.asarray(value, dtype=np.float64) for name, value in before.items()}
    n, m = float(old["count"][0]), float(added["count"][0])
    share = m / (n + m)
    mean = (1 - share) * old["mean"] + share * added["mean"]
    square = (1 - share) * (old["std"] ** 2 + old["mean"] ** 2) + share * (added["std"] ** 2 + added["mean"] ** 2)
    found = {name: (1 - share) * old[name] + share * added[name] for name in _QUANTILES}
    return {
        **found, "min": np.minimum(old["min"], added["min"]), "max": np.maximum(old["max"], added["max"]),
        "mean": mean, "std": np.sqrt(np.maximum(square - mean**2, 0)), "count": np.array([int(n + m)]),
    }  # fmt: skip


def _pandas_index() -> dict[bytes, bytes]:
    """Return the metadata that makes the tasks' texts the index of the table in pandas."""
    kinds = (("task_index", "int64", "int64"), ("__index_level_0__", "unicode", "object"))
    columns = [
        {"name": None if name.startswith("_") else name, "field_name": name, "pandas_type": kind, "numpy_type": numpy,
         "metadata": None}
        for name, kind, numpy in kinds
    ]  # fmt: skip
    known = {
        "index_columns": ["__index_level_0__"],
        "column_indexes": [],
        "columns": columns,
        "pandas_version": "2.2.0",
    }
    return {b"pandas": json.dumps(known).encode()}


def _replace(path: Path, text: str) -> None:
    """Write a file in one step: a data set that lost its info.json would be lost."""
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_text(text)
    replace_file(partial, path)
