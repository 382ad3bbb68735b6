"""Time and memory of whole runs: the command in a process of its own, measured from outside.

Separate from the run, which only knows its phases: start-up and peak memory are seen from outside alone.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import HmpfitError
from hmpfit.process_copies import usable_cores
from hmpfit.worker_pool import worker_pool

WIDTH, HEIGHT, FPS, CYCLE_S = 640, 480, 30.0, 10.0
_COMMAND = "from hmpfit.command_line.main import main; main()"
_MEGABYTE = 1e6
_WATCH_EVERY_S = 0.4  # reading a process's memory takes it some milliseconds


@dataclass(frozen=True)
class Timing:
    """One run of the command. `seconds` are those of its phases; `startup` is what no phase counts."""

    name: str
    frames: int
    video_s: float
    wall_s: float
    cpu_s: float
    peak_mb: float
    seconds: dict[str, float]
    cpu_seconds: dict[str, float]  # likewise; `startup` is what comes before and after the phases

    @property
    def wall_over_duration(self) -> float:
        """Seconds of work a second of video."""
        return self.wall_s / self.video_s

    @property
    def overlap(self) -> float:
        """The share of the usable cores that was busy, from start to end."""
        return self.cpu_s / (self.wall_s * usable_cores())

    @property
    def fit_share(self) -> float:
        """The fit's share of the wall time."""
        return self.seconds["fit"] / self.wall_s


def time_run(video: Path, options: Sequence[str] = ()) -> Timing:
    """Run `hmpfit run` on a video, into a folder that is thrown away, and measure it.

    Peak memory is that of the process and its copies together (see `memory_together_mb`), or the largest one's resident
    set where that is more or all that the operating system tells. Raises HmpfitError with the run's own sentence when
    it fails.
    """
    with tempfile.TemporaryDirectory(prefix="hmpfit-bench-") as folder:
        said = Path(folder) / "said.json"
        command = [sys.executable, "-c", _COMMAND, "run", str(video), "-o", f"{folder}/run", "--json", "--quiet"]
        began = time.perf_counter()
        with said.open("wb") as stdout, (Path(folder) / "errors").open("wb") as stderr:
            process = subprocess.Popen([*command, *options], stdout=stdout, stderr=stderr)
            try:
                with _watched(process.pid) as most_mb:
                    _, status, used = os.wait4(process.pid, 0)
            except BaseException:  # interrupted: the run has nothing to work for
                process.terminate()
                process.wait()
                raise
            process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - began
        if process.returncode:
            raise HmpfitError((Path(folder) / "errors").read_text().strip().removeprefix("hmpfit: "))
        summary: dict[str, Any] = json.loads(said.read_text())
    seconds = {name: float(value) for name, value in summary["seconds"].items() if name != "total"}
    seconds = {"startup": wall_s - float(summary["seconds"]["total"]), **seconds}
    cpu_s, cpu_seconds = used.ru_utime + used.ru_stime, dict(summary["cpu_seconds"])
    cpu_seconds = {"startup": cpu_s - sum(cpu_seconds.values()), **cpu_seconds}
    return Timing(
        name=Path(video).stem,
        frames=int(summary["frames"]),
        video_s=summary["frames"] / summary["fps"],
        wall_s=wall_s,
        cpu_s=cpu_s,
        peak_mb=max(used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / _MEGABYTE, *most_mb),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
    )


@contextmanager
def _watched(pid: int) -> Iterator[list[float]]:
    """Give a list whose one number is the most memory that a process and its copies held together in the block."""
    most, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(_WATCH_EVERY_S):
            most[0] = max(most[0], memory_together_mb(pid))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()


def memory_together_mb(pid: int) -> float:
    """Return the memory of a process and all below it, pages that several hold counted once; 0 where nobody tells."""
    total, left = 0.0, [pid]
    while left:
        folder = Path(f"/proc/{left.pop()}")
        with contextlib.suppress(OSError, ValueError):
            told = dict(line.split(":", 1) for line in (folder / "smaps_rollup").read_text().splitlines()[1:])
            total += float(told["Pss"].split()[0]) * 1024 / _MEGABYTE
            left += [int(child) for task in folder.glob("task/*/children") for child in task.read_text().split()]
    return total


def linearity(timings: Sequence[Timing]) -> dict[str, float] | None:
    """Return how far wall time and memory are from growing with length as they should; None for less than two.

    `time`: work without start-up a second of video, the longest clip's over the shortest one's (1 is linear);
    `memory`: the longest clip's peak over the shortest one's.
    """
    if len(timings) < 2:
        return None
    ordered = sorted(timings, key=lambda timing: timing.video_s)
    work = [(timing.wall_s - timing.seconds["startup"]) / timing.video_s for timing in ordered]
    return {"time": work[-1] / work[0], "memory": ordered[-1].peak_mb / ordered[0].peak_mb}


def make_lengths(folder: Path, lengths_s: Sequence[float]) -> list[Path]:
    """Write clips of the given lengths: ten rendered seconds of a hand, played to and fro as often as needed.

    Works in a process of its own, so that what rendering needs is not counted as the runs' memory.
    """
    with worker_pool(1) as pool:
        return pool.submit(_make_lengths, folder, tuple(lengths_s)).result()


def lengthened(video: Path, folder: Path, times: int) -> Path:
    """Write a video of `times` times the length: the clip played to and fro."""
    with worker_pool(1) as pool:
        return pool.submit(_lengthened, video, folder / f"{video.stem}_x{times}.mp4", times).result()


def _make_lengths(folder: Path, lengths_s: Sequence[float]) -> list[Path]:
    from hmpfit.geometry.cameras import assumed_intrinsics
    from hmpfit.hands.model_files import load_hand_models
    from hmpfit.records import Camera
    from hmpfit.synthesis.clips import make_clip
    from hmpfit.synthesis.demo_motion import demo_motion
    from hmpfit.video.clip import open_clip

    models = load_hand_models("open")
    camera = Camera(assumed_intrinsics(WIDTH, HEIGHT)[None], WIDTH, HEIGHT)
    motion = demo_motion(models, np.random.default_rng(0), CYCLE_S, FPS)
    rendered, _ = make_clip(folder / "cycle", motion, models, camera, 0, FPS)
    cycle = [image for _, image in open_clip(rendered).images()]
    return [_write(folder / f"{length:g}s.mp4", _to_and_fro(cycle, round(length * FPS)), FPS) for length in lengths_s]


def _lengthened(video: Path, path: Path, times: int) -> Path:
    from hmpfit.video.clip import open_clip

    clip = open_clip(video)

    def frames() -> Iterator[NDArray[np.uint8]]:
        for part in range(times):
            if part % 2 == 0:
                yield from (image for _, image in clip.images())
                continue
            for end in range(clip.frames, 0, -16):  # backwards, a few decoded frames in memory at a time
                yield from reversed([image for _, image in clip.images(max(end - 16, 0), end)])

    return _write(path, frames(), clip.fps)


def _to_and_fro(cycle: Sequence[NDArray[np.uint8]], count: int) -> Iterator[NDArray[np.uint8]]:
    there_and_back = [*cycle, *cycle[-2:0:-1]]
    return (there_and_back[n % len(there_and_back)] for n in range(count))


def _write(path: Path, frames: Iterator[NDArray[np.uint8]], fps: float) -> Path:
    from hmpfit.video.writer import VideoWriter

    first = next(frames)
    with VideoWriter(path, fps, first.shape[1], first.shape[0], crf=18) as video:
        video.write(first)
        for frame in frames:
            video.write(frame)
    return path
