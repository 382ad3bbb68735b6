"""Process a chunk of a manifest's clips in one worker: run folders, and one Parquet part of all hands.

A chunk that is tried again finds its finished clips by their run folders, so that a lost worker costs the clip that it
was at. A part is written whole or not at all; the ledger says which parts count.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmpfit.batch import Job, run_job
from hmpfit.errors import HmpfitError, MissingExtraError
from hmpfit.files.replacing import replace_file
from hmpfit.manifest.reading import ManifestLine, settings_of
from hmpfit.manifest.storage import local_video, upload
from hmpfit.results.npz import read_result

PARTS = "hands"


@dataclass(frozen=True)
class Chunk:
    """Some lines, by whom they are numbered, and what all lines share. `remote` is where results go besides."""

    number: str
    lines: tuple[ManifestLine, ...]
    out: Path
    common: dict[str, Any]
    remote: str | None = None


def run_chunk(chunk: Chunk, device: str | None) -> list[dict[str, Any]]:
    """Work through a chunk and return a ledger entry per line."""
    entries, tables = [], []
    for line in chunk.lines:
        entry, table = _run_line(chunk, line, device)
        entries.append(entry)
        if table is not None:
            tables.append(table)
    part = _write_part(chunk, tables)
    return [{**entry, "part": part if entry["error"] is None else None} for entry in entries]


def given_up(chunk: Chunk, reason: str) -> list[dict[str, Any]]:
    """Return the entries of a chunk whose workers died."""
    return [_entry(line, reason, 0.0, None) for line in chunk.lines]


def _run_line(chunk: Chunk, line: ManifestLine, device: str | None) -> tuple[dict[str, Any], Any]:
    folder = chunk.out / line.name
    try:
        settings = settings_of(line, chunk.common if device is None else {**chunk.common, "device": device})
        with local_video(line.video) as video:
            outcome = run_job(Job(line.name, video, folder, video_name=line.video), settings)
        if outcome.error is not None:
            return _entry(line, outcome.error, outcome.seconds, None), None
        table = _rows(folder / "result.npz", line)
        if chunk.remote is not None:
            names = [path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
            upload(folder, names, f"{chunk.remote.rstrip('/')}/{line.name}")
            shutil.rmtree(folder)
    except HmpfitError as error:
        return _entry(line, " ".join(str(error).split()), 0.0, None), None
    return _entry(line, None, outcome.seconds, outcome.summary), table


def _entry(line: ManifestLine, error: str | None, seconds: float, summary: dict[str, Any] | None) -> dict[str, Any]:
    told = summary or {}
    return {
        "name": line.name, "video": line.video, "options": list(map(list, line.options)), "error": error,
        "seconds": round(seconds, 3), "frames": told.get("frames"), "hands": len(told.get("hands", [])),
    }  # fmt: skip


def _rows(file: Path, line: ManifestLine) -> Any:
    """Return a table of a result: a row per hand and frame."""
    try:
        import pyarrow as pa
    except ModuleNotFoundError as error:
        raise MissingExtraError("--manifest", "pyarrow", "pip install pyarrow (or hmpfit[scale])") from error
    result = read_result(file)
    motion, (hands, frames) = result.motion, result.motion.status.shape

    def lists(values: Any) -> Any:
        flat = pa.array(values.reshape(-1).astype("float32"))
        return pa.FixedSizeListArray.from_arrays(flat, values[0, 0].size)

    rows = [(h, n) for h in range(hands) for n in range(frames)]
    return pa.table(
        {
            "clip": pa.array([line.name] * len(rows)),
            "hand_id": pa.array([int(motion.hand_id[h]) for h, _ in rows], pa.int32()),
            "is_right": pa.array([bool(motion.is_right[h]) for h, _ in rows]),
            "frame": pa.array([n for _, n in rows], pa.int32()),
            "time_s": pa.array([float(result.tracks.times_s[n]) for _, n in rows]),
            "status": pa.array(motion.status.reshape(-1), pa.uint8()),
            "joints": lists(result.joints),
            "joint_std_wrist_mm": lists(result.from_wrist_mm),
            "global_orient": lists(motion.global_orient),
            "hand_pose": lists(motion.hand_pose),
            "transl": lists(motion.transl),
            "betas": lists(motion.betas[:, None].repeat(frames, axis=1)),
        }
    )


def _write_part(chunk: Chunk, tables: list[Any]) -> str | None:
    if not tables:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = f"{PARTS}-{chunk.number}.parquet"
    partial = chunk.out / f".{name}.partial"
    pq.write_table(pa.concat_tables(tables), partial, compression="zstd")
    replace_file(partial, chunk.out / name)
    if chunk.remote is not None:
        upload(chunk.out, [name], chunk.remote)
    return name
