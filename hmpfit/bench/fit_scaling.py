"""Speed of the fit by batch size: windows a second for one clip, several, many, on one device.

Separate from `solver_speed.py`, which compares ways to solve one problem; here the way is the shipped one.
"""

import time
from collections.abc import Sequence as Sizes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hmpfit.bench.solver_speed import made_start
from hmpfit.fitting.batching.gather import ClipToFit
from hmpfit.fitting.stages import fit, fit_batch
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.prior import MotionPriorLike
from hmpfit.progress import Progress
from hmpfit.recipes.schema import Recipe

DISTINCT = 16  # clips that are made; larger batches hold them several times
ROUNDS = 2  # singles and batches by turns, because other work on the machine comes and goes
COLUMNS = (
    "windows", "seconds", "windows_per_s", "frames_per_s", "share_of_single", "share_of_single_one_thread",
    "peak_device_mb",
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """One batch: clips of one window each."""

    windows: int
    seconds: float
    windows_per_s: float
    frames_per_s: float
    share_of_single: float  # seconds a window over those of the same clips one by one, as `hmpfit run` fits each
    share_of_single_one_thread: float | None  # likewise, the clips one by one with one thread of the CPU
    peak_device_mb: float | None


def measure_scaling(
    models: HandModels, prior: MotionPriorLike, recipe: Recipe, sizes: Sizes[int], device: str, seed: int,
    progress: Progress,
) -> list[Point]:  # fmt: skip
    """Fit batches of the given sizes, whole fits as `hmpfit run` does them, and the same clips one by one.

    Everything is measured twice, by turns, and the seconds are means. On a CPU a batch is fitted as `fit_batch` sees
    fit, on a GPU whole.
    """
    count = min(max(sizes), DISTINCT)
    advance = progress.phase("making clips", count)
    clips = []
    for number in range(count):
        start = made_start(models, prior.window_frames, seed + number)
        clips.append(ClipToFit(start.initial, start.tracks, start.camera, models))
        advance(1)
    on_cpu = torch.device(device).type == "cpu"
    threads = torch.get_num_threads()
    counts = (threads, 1) if on_cpu and threads > 1 else (threads,)

    def alone(clip: ClipToFit) -> None:
        fit(clip.initial, clip.tracks, clip.camera, models, prior, recipe, device=device)

    def together(size: int) -> None:
        batch = [clips[number % count] for number in range(size)]
        fit_batch(batch, prior, recipe, device=device, most_frames=None if on_cpu else size * prior.window_frames)

    alone(clips[0])  # the first call loads and tunes what later ones find ready
    singles = {number: [0.0] * count for number in counts}
    seconds, peaks = dict.fromkeys(sizes, 0.0), dict.fromkeys(sizes, 0.0)
    for turn in range(ROUNDS):
        advance = progress.phase(f"one by one, {turn + 1} of {ROUNDS}", count * len(counts))
        for number in counts:
            torch.set_num_threads(number)
            for index, clip in enumerate(clips):
                singles[number][index] += _timed(lambda clip=clip: alone(clip), device)[0] / ROUNDS
                advance(1)
        torch.set_num_threads(threads)
        advance = progress.phase(f"batches, {turn + 1} of {ROUNDS}", len(sizes))
        for size in sizes:
            taken, peak = _timed(lambda size=size: together(size), device)
            seconds[size], peaks[size] = seconds[size] + taken / ROUNDS, max(peaks[size], peak or 0.0)
            advance(1)
    points = []
    for size in sizes:
        one_by_one = {n: sum(times[number % count] for number in range(size)) for n, times in singles.items()}
        points.append(
            Point(
                size,
                seconds[size],
                size / seconds[size],
                size * prior.window_frames / seconds[size],
                seconds[size] / one_by_one[threads],
                seconds[size] / one_by_one[1] if on_cpu else None,
                None if on_cpu else peaks[size],
            )
        )
    return points


def _timed(work: Any, device: str) -> tuple[float, float | None]:
    """Return the seconds of a call, the device's work included, and its peak memory on a GPU in MB."""
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    work()
    if cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    return seconds, torch.cuda.max_memory_allocated() / 1e6 if cuda else None


def write_curve(points: list[Point], path: Path, title: str) -> None:
    """Draw windows a second, and seconds a window as a share of single fits, over the batch's size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    sizes = [point.windows for point in points]
    left.plot(sizes, [point.windows_per_s for point in points], "o-")
    right.plot(sizes, [100 * point.share_of_single for point in points], "o-")
    for axes, label in ((left, "windows a second"), (right, "seconds a window, % of single fits")):
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("windows in the batch")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(figure)
