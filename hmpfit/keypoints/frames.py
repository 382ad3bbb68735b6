"""Spread one clip's frames over the cores, in order and with bounded memory.

Stretches of frames go to copies of this process, which do not wait for each other's interpreter lock; where it cannot
be copied, frames go to threads. A frame's result depends on that frame alone: the number of workers changes nothing.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from hmpfit.process_copies import can_copy, side_by_side, usable_cores
from hmpfit.records import Floats

Tools = TypeVar("Tools")
Result = TypeVar("Result")
Part = TypeVar("Part")  # of what is to be done with the frames of a stretch
Progress = Callable[[int, int], None]  # frames done, frames in all
MakeImage = Callable[[], NDArray[np.uint8]]
Work = Callable[[Tools, int, NDArray[np.uint8]], Result]
FollowUp = Callable[[int, Result], Iterable["FurtherWork"]]

MOST_COPIES = 4  # of the process: each has networks of its own, and further cores get threads in them
_LEAST_STRETCH = 16  # frames
_WORTH_A_SEEK = 60  # frames: decoding through a shorter hole is cheaper than seeking over it


@dataclass(frozen=True)
class FurtherWork:
    """Work on a frame that has passed; `then` gets its result and may ask for more between the same frames."""

    frame: int
    work: Callable[[Any, int, NDArray[np.uint8]], Any]
    then: Callable[[Any], "Iterable[FurtherWork]"]


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


def chosen_frames(clip: FrameSource, frames: NDArray[np.int64]) -> Iterator[tuple[int, MakeImage]]:
    """Yield some frames, ascending; long holes between them are sought over (`Clip.chosen` does without more)."""
    choose = getattr(clip, "chosen", None)
    for start, stop in frame_ranges(frames):
        part = frames[(frames >= start) & (frames < stop)]
        if choose is not None:
            yield from choose(part)
        else:
            asked = set(part.tolist())
            yield from ((frame, image) for frame, image in decoded(clip, start, stop) if frame in asked)


def stretches(frames: NDArray[np.int64], workers: int | None = None) -> list[NDArray[np.int64]]:
    """Cut frames into stretches that processes work on side by side; into one where this process cannot be copied."""
    count = min(workers or usable_cores(), MOST_COPIES, len(frames) // _LEAST_STRETCH) if can_copy(workers) else 1
    return np.array_split(frames, max(count, 1))


def over_stretches(
    parts: Sequence[Part],
    compute: Callable[[Part, int, Callable[[], None]], Result],
    total: int,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> list[Result]:
    """Return `compute(part, threads, advance)` of every part; `advance` is called after each of the `total` frames."""
    threads = max((workers or usable_cores()) // len(parts), 1)
    done = 0

    def count(_: None) -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(done, total)

    def work(part: Part, send: Callable[[None], None]) -> Result:
        return compute(part, threads, partial(send, None))

    return side_by_side([partial(work, part) for part in parts], count, workers)


def over_frames(
    clip: FrameSource,
    wanted: NDArray[np.bool_],
    make_tools: Callable[[], Tools],
    work: Work[Tools, Result],
    workers: int | None = None,
    on_progress: Progress | None = None,
    in_copies: bool = True,
) -> dict[int, Result]:
    """Run `work(tools, frame, image)` on the wanted frames [T] and return the results by frame, in frame order.

    Each worker (default: one a core) has its own tools. Unwanted frames are decoded at most, never handed out.
    `in_copies` False keeps to threads: for results that are large, or tools that a copy cannot use.
    """

    def compute(part: NDArray[np.int64], threads: int, advance: Callable[[], None]) -> dict[int, Result]:
        results: dict[int, Result] = {}

        def collect(frame: int, result: Result) -> None:
            results[frame] = result
            advance()

        with _Workers(min(threads, len(part)), make_tools) as team:
            for frame, image in chosen_frames(clip, part):
                team.submit(frame, image, work, collect)
            team.finish()
        return results

    frames = np.flatnonzero(wanted)
    parts = stretches(frames, workers) if in_copies else [frames]
    found: dict[int, Result] = {}
    for results in over_stretches(parts, compute, len(frames), workers, on_progress):
        found |= results
    return found


def over_frames_and_back(
    clip: FrameSource,
    wanted: NDArray[np.bool_],
    make_tools: Callable[[], Tools],
    work: Work[Tools, Result],
    follow_up: FollowUp[Result],
    reach: int,
    threads: int = 1,
) -> None:
    """Run `work` on the wanted frames [T] in order, and what `follow_up` returns on up to `reach` frames before each.

    `follow_up(frame, result)` is called in order of frames, and so is `then` of the work that it asks for. The clip is
    decoded once.
    """
    kept: dict[int, MakeImage] = {}
    with _Workers(threads, make_tools) as team:

        def give(further: Iterable[FurtherWork], images: Mapping[int, MakeImage]) -> None:
            for one in further:
                team.add(one.frame, images[one.frame], one.work, partial(collect_further, one, images))

        def collect_further(one: FurtherWork, images: Mapping[int, MakeImage], _: int, result: Any) -> None:
            give(one.then(result), images)

        def collect(frame: int, result: Result) -> None:
            further = list(follow_up(frame, result))
            if further:
                give(further, dict(kept))  # more may be asked for when these frames are no longer kept
            for old in [at for at in kept if at < frame - reach]:
                del kept[old]

        for start, stop in frame_ranges(np.flatnonzero(wanted)):
            for frame, image in decoded(clip, start, stop):
                kept[frame] = image
                if wanted[frame]:
                    team.submit(frame, image, work, collect)
        team.finish()


class _Workers(Generic[Tools]):
    """Threads with tools of their own, or this one alone; results come in the order in which the work was given."""

    def __init__(self, count: int, make_tools: Callable[[], Tools]) -> None:
        self._count = max(count, 1)
        self._pool = ThreadPoolExecutor(self._count) if self._count > 1 else None
        self._make_tools, self._made = make_tools, False
        self._shelf: SimpleQueue[Tools] = SimpleQueue()
        self._waiting: deque[tuple[int, Callable[[], Any], Callable[[int, Any], None]]] = deque()

    def submit(
        self, frame: int, image: MakeImage, work: Work[Tools, Result], collect: Callable[[int, Result], None]
    ) -> None:
        """Give work and wait while too much of it is not done; `collect` gets the result later, on this thread."""
        self.add(frame, image, work, collect)
        while len(self._waiting) > (2 * self._count if self._pool is not None else 0):
            self._collect()

    def add(
        self, frame: int, image: MakeImage, work: Work[Tools, Result], collect: Callable[[int, Result], None]
    ) -> None:
        """Give work without waiting."""
        if not self._made:
            for _ in range(self._count):
                self._shelf.put(self._make_tools())
            self._made = True
        run = partial(self._run, frame, image, work)
        self._waiting.append((frame, run if self._pool is None else self._pool.submit(run).result, collect))

    def finish(self) -> None:
        """Wait for everything."""
        while self._waiting:
            self._collect()

    def _collect(self) -> None:
        frame, result, collect = self._waiting.popleft()
        collect(frame, result())

    def _run(self, frame: int, image: MakeImage, work: Work[Tools, Result]) -> Result:
        tools = self._shelf.get()
        try:
            return work(tools, frame, image())
        finally:
            self._shelf.put(tools)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        self._shelf = SimpleQueue()  # networks go at once: work that asks for more work refers to this in a circle


def frame_ranges(frames: Sequence[int] | NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield half-open ranges that hold all the given frames; only long holes between them are left out."""
    if len(frames) == 0:
        return
    breaks = np.flatnonzero(np.diff(frames) > _WORTH_A_SEEK) + 1
    for part in np.split(np.asarray(frames), breaks):
        yield int(part[0]), int(part[-1]) + 1
