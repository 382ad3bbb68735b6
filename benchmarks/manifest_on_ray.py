"""Work a manifest of many short clips through on Ray and kill a worker: `benchmarks/manifest_on_ray.py CLIPS -o DIR`.

Cuts seconds out of the videos in CLIPS, at half their size, and lists them over and over until there are `--count`
lines, each with a name of its own. `hmpfit batch --manifest` works them through on two Ray workers without views and
solver, so that what a clip costs beyond its own work shows; one worker is killed after a third of the clips. Prints
one JSON object: the run's wall seconds, with Ray's start, times workers, less the clips' own, per clip; the workers'
resident memory over the run; and whether every hand and frame stands in the parts once. Linux only.
"""

import argparse
import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from hmpfit.video.clip import open_clip
from hmpfit.video.writer import VideoWriter

FRAMES = 30
WORKERS = 2
AT_WORK = "ray::run_job"  # how Ray calls a process that works on a task
LOOKS_EVERY_S = 5.0
MIB = 2**20


def cut(videos: list[Path], out: Path) -> list[Path]:
    """Write every second of the videos as a clip of its own, at half size; return the files."""
    clips = []
    for video in videos:
        source = open_clip(video)
        for start in range(0, source.frames - FRAMES + 1, FRAMES):
            path = out / f"{video.stem}-{start}.mp4"
            clips.append(path)
            if path.exists():
                continue
            with VideoWriter(path, source.fps, source.width // 2, source.height // 2) as writer:
                for _, image in open_clip(video, (start, start + FRAMES)).images():
                    writer.write(np.ascontiguousarray(image[: source.height // 2 * 2 : 2, : source.width // 2 * 2 : 2]))
    return clips


def ended(out: Path) -> int:
    """Return how many clips the ledger holds."""
    return sum(path.read_bytes().count(b"\n") for path in out.glob("ledger-*.jsonl"))


def workers_below(pid: int) -> dict[int, float]:
    """Return the processes below one that work on clips now, and their resident memory in MiB; Linux only."""
    found, left = {}, [pid]
    while left:
        folder = Path(f"/proc/{left.pop()}")
        with contextlib.suppress(OSError):  # it ended
            left += [int(child) for task in folder.glob("task/*/children") for child in task.read_text().split()]
            if AT_WORK in (folder / "cmdline").read_text():
                told = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
                found[int(folder.name)] = float(told["VmRSS"].split()[0]) * 1024 / MIB
    return found


def watch(process: "subprocess.Popen[bytes]", out: Path, kill_after: int) -> list[tuple[int, float]]:
    """Kill a worker once `kill_after` clips ended; return clips ended and a worker's MiB at each look."""
    looks: list[tuple[int, float]] = []
    killed = False
    while process.poll() is None:
        time.sleep(LOOKS_EVERY_S)
        done, workers = ended(out), workers_below(process.pid)
        looks += [(done, mib) for mib in workers.values()]
        if not killed and workers and done >= kill_after:
            os.kill(max(workers), signal.SIGKILL)
            killed = True
    assert killed, "the run ended before a worker could be killed"
    return looks


def median_mib(looks: list[tuple[int, float]], first: int, last: int) -> int:
    """Return the median memory of a worker at looks with so many clips ended."""
    return round(float(np.median([mib for done, mib in looks if first <= done <= last])))


def main() -> None:
    """Cut, list, run, check, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="folder of videos")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2000)
    chosen = parser.parse_args()
    pieces, out = chosen.out / "pieces", chosen.out / "out"
    pieces.mkdir(parents=True, exist_ok=True)
    files = cut(sorted(chosen.clips.glob("*.mp4")), pieces)
    manifest = chosen.out / "list.csv"
    with manifest.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("video", "name"))
        rows.writerows((files[n % len(files)].resolve(), f"c{n:05d}") for n in range(chosen.count))
    command = [sys.executable, "-c", "from hmpfit.command_line.main import main; main()", "batch", "--manifest"]
    options = ["--solver", "none", "--views", "0", "--engine", "ray", "--workers", str(WORKERS), "--json", "--quiet"]
    with (chosen.out / "said.json").open("wb") as stdout:
        environment = {**os.environ, "RAY_worker_niceness": "0"}
        started = time.monotonic()
        process = subprocess.Popen([*command, str(manifest), "-o", str(out), *options], stdout=stdout, env=environment)
        looks = watch(process, out, chosen.count // 3)
        wall = time.monotonic() - started
    said = json.loads((chosen.out / "said.json").read_text())
    entries = [json.loads(line) for path in out.glob("ledger-*.jsonl") for line in path.read_text().splitlines()]
    rows_seen: Counter[tuple[str, int, int]] = Counter()
    for part in said["parts"]:
        table = pq.read_table(out / part, columns=["clip", "hand_id", "frame"]).to_pydict()
        rows_seen.update(zip(table["clip"], table["hand_id"], table["frame"]))
    expected = sum(entry["hands"] * entry["frames"] for entry in entries if entry["error"] is None)
    own = sum(entry["seconds"] for entry in entries)
    third = chosen.count // 3
    print(
        json.dumps(
            {
                "lines": chosen.count,
                "succeeded": said["succeeded"],
                "errors": dict(Counter(entry["error"] for entry in entries if entry["error"] is not None)),
                "names_in_ledger": len({entry["name"] for entry in entries}),
                "entries_in_ledger": len(entries),
                "wall_s": round(wall, 1),
                "own_s": round(own, 1),
                "beyond_own_s_per_clip": round((WORKERS * wall - own) / chosen.count, 3),
                "worker_mib": {
                    "first third": median_mib(looks, 1, third),
                    "last third": median_mib(looks, chosen.count - third, chosen.count),
                    "most": round(max(mib for _, mib in looks)),
                },
                "rows": sum(rows_seen.values()),
                "rows_expected": expected,
                "rows_once": set(rows_seen.values()) == {1},
                "parts_named": {path.name for path in out.glob("hands-*.parquet")} == set(said["parts"]),
            }
        )
    )


if __name__ == "__main__":
    main()
