"""How `hmpfit live` keeps up with a file: at its own pace here and now, or on two cores with nothing else to do.

The second is computed from CPU seconds, so that a busy machine gives the same figures: one core decodes and
tracks, the other smooths, and frames are dropped by the same rule as in `live.feed`.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hmpfit.live.engine import LEAST_NEW_S, MOST_NEW
from hmpfit.live.feed import WAITING
from hmpfit.live.records import LiveCounts, LiveEstimate, LiveFrame, SeenFrame
from hmpfit.live.session import LiveTools
from hmpfit.live.smoother import FixedLagSmoother
from hmpfit.records import FitRecord
from hmpfit.results.npz import StoredResult
from hmpfit.skeleton import OPENPOSE_WRIST
from hmpfit.video.live_source import LiveSource

Clock = Callable[[], float]
Track = Callable[[LiveFrame], SeenFrame]


@dataclass(frozen=True)
class Played:
    """What became of a file's frames; CPU seconds are of the process, or of each part for simulated cores."""

    counts: LiveCounts
    estimates: tuple[LiveEstimate, ...]
    duration_s: float
    cpu_s: dict[str, float]

    @property
    def rate(self) -> float:
        """Frames known a second of the video."""
        return self.counts.known / max(self.duration_s, 1e-9)


def play(source: LiveSource, tools: LiveTools) -> Played:
    """Play a file at its own pace."""
    engine, out = tools.engine(source), []  # type: ignore[var-annotated]
    began = _cpu_s()
    for estimates in engine.estimates():
        out += estimates
    engine.feed.close()
    return Played(engine.counts, tuple(out), _duration(out), {"all": _cpu_s() - began})


def reckon(source: LiveSource, tools: LiveTools, clock: Clock = time.thread_time) -> Played:
    """Play a file as two idle cores would."""
    counts = LiveCounts()
    tracked, done, spent = track_on_one_core(source, tools.tracker, counts, clock)
    estimates, smoothing_s = smooth_on_one_core(tracked, done, tools.smoother, counts, clock)
    return Played(counts, tuple(estimates), _duration(estimates), {**spent, "smooth": smoothing_s})


def track_on_one_core(
    source: LiveSource, track: Track, counts: LiveCounts, clock: Clock
) -> tuple[list[SeenFrame], list[float], dict[str, float]]:
    """Decode and track; return what was seen, when each frame was done, and CPU seconds. Late frames are dropped."""
    waiting: list[LiveFrame] = []
    tracked: list[SeenFrame] = []
    done: list[float] = []
    spent, free, first = {"decode": 0.0, "track": 0.0}, 0.0, None

    def work_until(moment: float) -> None:
        nonlocal free
        while waiting and max(free, waiting[0].arrived_s) < moment:
            frame = waiting.pop(0)
            began = clock()
            tracked.append(track(frame))
            took = clock() - began
            spent["track"] += took
            free = max(free, frame.arrived_s) + took
            done.append(free)

    began = clock()
    for number, picture in enumerate(source.pictures()):
        took = clock() - began
        spent["decode"] += took
        time_s = picture.time_s if picture.time_s is not None else number / source.fps
        first = time_s if first is None else first
        due = time_s - first
        work_until(due)
        free += took  # the same core decodes
        counts.arrived += 1
        waiting.append(LiveFrame(number, due, due, picture.image))
        while len(waiting) > WAITING:
            waiting.pop(0)
            counts.dropped += 1
        began = clock()
    work_until(float("inf"))
    return tracked, done, spent


def smooth_on_one_core(
    tracked: Sequence[SeenFrame], done: Sequence[float], smoother: FixedLagSmoother, counts: LiveCounts, clock: Clock
) -> tuple[list[LiveEstimate], float]:
    """Smooth what was tracked, each update as soon as there is enough for it; return estimates and CPU seconds."""
    out: list[LiveEstimate] = []
    free, spent, next_one = 0.0, 0.0, 0
    while next_one < len(tracked):
        enough = next_one + 1
        while enough < len(tracked) and tracked[enough].time_s - tracked[next_one].time_s < LEAST_NEW_S - 1e-3:
            enough += 1
        start = max(free, done[min(enough, len(tracked) - 1)])
        stop = next_one + 1
        while stop < len(tracked) and done[stop] <= start and stop - next_one < MOST_NEW:
            stop += 1
        began = clock()
        told = smoother.update(tracked[next_one:stop], last=stop == len(tracked))
        took = clock() - began
        spent, free, next_one = spent + took, start + took, stop
        out += [LiveEstimate(seen.number, seen.time_s, free - seen.arrived_s, hands) for seen, hands in told]
    counts.known = len(out)
    counts.lags_s += [one.lag_s for one in out]
    return out, spent


def distances_mm(estimates: Sequence[LiveEstimate], offline: FitRecord | StoredResult) -> np.ndarray:
    """Return the mean distance of the joints as seen from the wrist, of every hand and frame that both have.

    A live hand is compared with the offline hand of its side that lies nearest in the picture.
    """
    joints, pixels, sides = offline.joints, offline.landmarks_px, offline.motion.is_right
    out = []
    for estimate in estimates:
        for hand in estimate.hands if estimate.number < joints.shape[1] else ():
            rows = np.flatnonzero(sides == hand.is_right)
            if not len(rows):
                continue
            apart = np.linalg.norm(pixels[rows, estimate.number] - hand.landmarks_px, axis=-1).mean(-1)
            there = joints[rows[apart.argmin()], estimate.number]
            here = hand.joints - hand.joints[OPENPOSE_WRIST]
            out.append(1e3 * np.linalg.norm(here - (there - there[OPENPOSE_WRIST]), axis=-1).mean())
    return np.array(out)


def _cpu_s() -> float:
    """Return the CPU seconds of this process and of its copies that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _duration(estimates: Sequence[LiveEstimate]) -> float:
    if len(estimates) < 2:
        return 0.0
    span = estimates[-1].time_s - estimates[0].time_s
    return span * len(estimates) / (len(estimates) - 1)
