"""Process a manifest: what the ledger lacks, in chunks, on processes of this machine or on Ray."""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmpfit.batch_engines import on_processes, on_ray
from hmpfit.errors import InputError
from hmpfit.manifest.chunks import PARTS, Chunk, given_up, run_chunk
from hmpfit.manifest.ledger import Ledger
from hmpfit.manifest.reading import ManifestLine, read_manifest

CHUNK_MOST = 32  # lines: what a part holds, and what a restart may have to repeat
_PART = re.compile(rf"{PARTS}-(\d+)-(\d+)-(\d+)\.parquet")


@dataclass(frozen=True)
class ManifestRun:
    """How a manifest is worked through; `shard` is (I, N), counted from 0."""

    out: Path
    common: dict[str, Any]
    shard: tuple[int, int] = (0, 1)
    engine: str = "local"
    workers: int | None = None
    ray_address: str | None = None
    gpus_per_job: float = 0.0
    devices: Sequence[str] = ()
    chunk: int | None = None
    upload: str | None = None


def run_manifest(
    manifest: Path, run: ManifestRun, on_start: Callable[[int, int], None], on_done: Callable[[int], None]
) -> dict[str, dict[str, Any]]:
    """Do the lines of a shard that the ledger lacks, or has with an error; return the entries of all its lines.

    `on_start` gets the numbers of clips that are left and that were done before. Raises InputError and RunFolderError.
    """
    lines = read_manifest(manifest, run.shard)
    ledger = Ledger(run.out / f"ledger-{run.shard[0]:05d}-of-{run.shard[1]:05d}.jsonl")
    try:
        _remove_orphans(run, ledger)
        left = [line for line in lines if not _is_done(line, ledger.done.get(line.name))]
        on_start(len(left), len(lines) - len(left))
        with closing(_stream(run, _chunks(run, left, ledger))) as stream:
            for entries in stream:
                ledger.add(entries)  # on the disk before it is reported
                on_done(len(entries))
        return {line.name: ledger.done[line.name] for line in lines if line.name in ledger.done}
    finally:
        ledger.close()


def read_shard(text: str) -> tuple[int, int]:
    """Read I/N, I from 0 to N - 1. Raises InputError."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if found is None or not int(found[1]) < int(found[2]):
        raise InputError(f"--shard {text} is no part: write I/N with I from 0 to N - 1, such as 0/8.")
    return int(found[1]), int(found[2])


def _stream(run: ManifestRun, chunks: list[Chunk]) -> Any:
    if run.engine == "ray":
        if run.devices:
            raise InputError("--devices is for --engine local; on Ray say --gpus-per-job.")
        return on_ray(run_chunk_on_ray, chunks, given_up, run.workers, run.ray_address, run.gpus_per_job)
    return on_processes(run_chunk, chunks, given_up, run.workers or os.cpu_count() or 1, run.devices)


def run_chunk_on_ray(chunk: Chunk, device: str | None) -> list[dict[str, Any]]:
    """Do as `run_chunk`, on one thread: the cores of a node are shared by its workers."""
    import torch

    torch.set_num_threads(1)
    return run_chunk(chunk, device)


def _is_done(line: ManifestLine, entry: dict[str, Any] | None) -> bool:
    if entry is None or entry.get("error") is not None:
        return False
    return entry.get("video") == line.video and entry.get("options") == [list(pair) for pair in line.options]


def _chunks(run: ManifestRun, lines: list[ManifestLine], ledger: Ledger) -> list[Chunk]:
    workers = run.workers or os.cpu_count() or 1
    size = run.chunk or max(1, min(CHUNK_MOST, len(lines) // (4 * workers)))
    sessions = [int(found[2]) for entry in ledger.done.values() if (found := _PART.fullmatch(entry.get("part") or ""))]
    session = max(sessions, default=-1) + 1
    return [
        Chunk(
            f"{run.shard[0]:05d}-{session:03d}-{first // size:06d}", tuple(lines[first : first + size]), run.out,
            run.common, run.upload,
        )
        for first in range(0, len(lines), size)
    ]  # fmt: skip


def _remove_orphans(run: ManifestRun, ledger: Ledger) -> None:
    """Remove parts of this shard that no entry of the ledger names: their chunk was cut short and is done again."""
    named = {entry.get("part") for entry in ledger.done.values()}
    for path in run.out.glob(f"{PARTS}-{run.shard[0]:05d}-*.parquet"):
        if path.name not in named and _PART.fullmatch(path.name):
            path.unlink()
