"""Spreading one clip's frames over threads, in order and with bounded memory.

LiteRT, OpenCV and PyAV all let go of the interpreter lock, so threads scale like processes here, without start-up,
pickling or log noise. Every frame's result depends on that frame alone: the number of workers changes nothing.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from hmpfit.records import Floats

Tools = TypeVar("Tools")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]  # frames done, frames in all

_WORTH_A_SEEK = 60  # frames: decoding through a shorter hole is cheaper than seeking over it


class FrameSource(Protocol):
    """What keypoints need of a clip (`hmpfit.video.clip.Clip` is one)."""

    @property
    def width(self) -> int:
        """Width of a frame in pixels."""

    @property
    def height(self) -> int:
        """Height of a frame in pixels."""

    @property
    def times_s(self) -> Floats:
        """Timestamps [T] in seconds."""

    def images(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield (index, RGB image [height, width, 3]) of the frames start..stop."""


def decoded(
    clip: FrameSource, start: int = 0, stop: int | None = None
) -> Iterator[tuple[int, Callable[[], NDArray[np.uint8]]]]:
    """Yield frames whose image is made when it is asked for, where the source can do so (`Clip.decoded`)."""
    lazy = getattr(clip, "decoded", None)
    if lazy is not None:
        yield from lazy(start, stop)
        return
    for frame, image in clip.images(start, stop):
        yield frame, lambda image=image: image  # type: ignore[misc]


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def over_frames(
    clip: FrameSource,
    wanted: NDArray[np.bool_],
    make_tools: Callable[[], Tools],
    work: Callable[[Tools, int, NDArray[np.uint8]], Result],
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> dict[int, Result]:
    """Run `work(tools, frame, image)` on the wanted frames [T] and return the results by frame, in frame order.

    Each worker (default: one a core) has its own tools. Unwanted frames are decoded at most, never handed out.
    """
    total = int(wanted.sum())
    count = max(min(workers or usable_cores(), total), 1)
    results: dict[int, Result] = {}
    if total == 0:
        return results
    shelf: SimpleQueue[Tools] = SimpleQueue()
    for _ in range(count):
        shelf.put(make_tools())

    def on_a_thread(frame: int, image: Callable[[], NDArray[np.uint8]]) -> Result:
        tools = shelf.get()
        try:
            return work(tools, frame, image())
        finally:
            shelf.put(tools)

    waiting: deque[tuple[int, Future[Result]]] = deque()

    def collect() -> None:
        frame, future = waiting.popleft()
        results[frame] = future.result()
        if on_progress is not None:
            on_progress(len(results), total)

    with ThreadPoolExecutor(count) as pool:
        try:
            for start, stop in stretches(np.flatnonzero(wanted)):
                for frame, image in decoded(clip, start, stop):
                    if wanted[frame]:
                        waiting.append((frame, pool.submit(on_a_thread, frame, image)))
                    if len(waiting) > 2 * count:
                        collect()
            while waiting:
                collect()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return results


def stretches(frames: Sequence[int] | NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield half-open ranges that hold all the given frames; only long holes between them are left out."""
    if len(frames) == 0:
        return
    breaks = np.flatnonzero(np.diff(frames) > _WORTH_A_SEEK) + 1
    for part in np.split(np.asarray(frames), breaks):
        yield int(part[0]), int(part[-1]) + 1
