"""How the fit's speed grows with the batch: windows a second for one clip, several, many, on one device.

Separate from `solver_speed.py`, which compares ways to solve one problem; here the way is the shipped one.
"""

import time
from collections.abc import Sequence as Sizes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hmpfit.evaluation.solver_speed import made_start
from hmpfit.fitting.gathering import Sequence
from hmpfit.fitting.pose_field import MotionPriorLike
from hmpfit.fitting.stages import fit, fit_batch
from hmpfit.hands.model import HandModels
from hmpfit.progress import Progress

DISTINCT = 16  # clips that are made; larger batches hold them several times
COLUMNS = ("windows", "seconds", "windows_per_s", "frames_per_s", "share_of_single", "peak_device_mb")


@dataclass(frozen=True)
class Point:
    """One batch: clips of one window each."""

    windows: int
    seconds: float
    windows_per_s: float
    frames_per_s: float
    share_of_single: float  # seconds a window over those of the same clips one by one, in the same process
    peak_device_mb: float | None


def measure_scaling(
    models: HandModels, prior: MotionPriorLike, recipe: dict[str, Any], sizes: Sizes[int], device: str, seed: int,
    progress: Progress,
) -> list[Point]:  # fmt: skip
    """Fit batches of the given sizes, whole fits as `hmpfit run` does them, and the same clips one by one."""
    count = min(max(sizes), DISTINCT)
    advance = progress.phase("making clips", count)
    clips = []
    for number in range(count):
        start = made_start(models, prior.window_frames, seed + number)
        clips.append(Sequence(start.initial, start.tracks, start.camera, models))
        advance(1)

    def alone(clip: Sequence) -> None:
        fit(clip.initial, clip.tracks, clip.camera, models, prior, recipe, device=device)

    alone(clips[0])  # the first call loads and tunes what later ones find ready
    advance = progress.phase("one by one", count)
    singles = []
    for clip in clips:
        singles.append(_timed(lambda clip=clip: alone(clip), device)[0])
        advance(1)
    advance = progress.phase("batches", len(sizes))
    points = []
    for size in sizes:
        batch = [clips[number % count] for number in range(size)]
        frames = size * prior.window_frames
        seconds, peak = _timed(
            lambda batch=batch, frames=frames: fit_batch(batch, prior, recipe, device=device, most_frames=frames),
            device,
        )
        single = sum(singles[number % count] for number in range(size))
        points.append(Point(size, seconds, size / seconds, frames / seconds, seconds / single, peak))
        advance(1)
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
