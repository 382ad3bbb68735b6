"""Follow a hand past its last detection: the landmark network is applied where the hand was a frame ago.

Separate from `tracklets` (no pixels) and from `refinement` (identity known). A hand behind a cup or blurred by speed
is often no palm to the detector but still a hand to the landmark network. Each tracklet is followed onwards from its
end and backwards from its start until the network sees no hand, or until it arrives at another detection: that
arrival is the best evidence there is that two tracklets are one hand.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from hmpfit.keypoints.frames import FrameSource, Progress, decoded, frame_ranges
from hmpfit.keypoints.landmarker_files import LandmarkerFiles
from hmpfit.keypoints.networks import LandmarkNetwork
from hmpfit.keypoints.recent_frames import EarlierFrames, RecentFrames
from hmpfit.keypoints.regions import Regions, from_landmarks
from hmpfit.keypoints.tracklets import Tracklet, distance, sizes, velocity
from hmpfit.process_copies import usable_cores
from hmpfit.records import Bools, Floats, HandDetections


@dataclass(frozen=True)
class ExtensionOptions:
    """When a followed hand counts as seen; distances in hand boxes' diagonals."""

    presence: float = 0.5
    farthest_step: float = 0.6
    largest_growth: float = 1.4
    arrival: float = 0.2
    patience_s: float = 0.12
    longest_s: float = 2.0


@dataclass
class TrackletExtension:
    """One tracklet followed beyond one of its ends: sightings by frame, and the tracklet where it arrived."""

    tracklet: int
    onward: bool
    frames: list[int] = field(default_factory=list)
    xy_px: list[Floats] = field(default_factory=list)  # [21, 2] each
    presence: list[float] = field(default_factory=list)
    arrived: int | None = None
    unbroken: bool = True  # seen in every frame so far


@dataclass
class _ExtensionState:
    extension: TrackletExtension
    mirrored: bool
    last_frame: int
    last_xy: Floats
    velocity: Floats  # [2] pixels per second
    start_s: float


def extend_tracklets(
    clip: FrameSource,
    detections: HandDetections,
    tracklets: list[Tracklet],
    files: LandmarkerFiles,
    options: ExtensionOptions = ExtensionOptions(),
    *,
    workers: int | None = None,
    frames_hidden: Bools | None = None,
    on_progress: Progress | None = None,
) -> list[TrackletExtension]:
    """Follow every tracklet beyond both its ends; hidden frames [T] are never read and end an extension.

    The frames in which a hand may be followed are decoded once: backwards it goes through those just kept.
    """
    frames = len(detections.times_s)
    hidden = np.zeros(frames, dtype=bool) if frames_hidden is None else frames_hidden
    owner = {int(row): n for n, tracklet in enumerate(tracklets) for row in tracklet.rows}
    count = workers or usable_cores()
    shelf: SimpleQueue[LandmarkNetwork] = SimpleQueue()
    for _ in range(count):
        shelf.put(LandmarkNetwork(files.landmarks))

    def go(state: _ExtensionState, image: NDArray[np.uint8], frame: int) -> bool:
        network = shelf.get()
        try:
            return _step(state, network, image, frame, detections, owner, options)
        finally:
            shelf.put(network)

    def go_back(state: _ExtensionState, earlier: EarlierFrames) -> int:
        """Follow to the end and return the frame that ended it, -1 for the clip's start."""
        for frame in range(state.last_frame - 1, -1, -1):
            if hidden[frame] or not go(state, earlier(frame), frame):
                return frame
        return -1

    extensions: list[TrackletExtension] = []
    back: list[tuple[int, _ExtensionState, Future[int]]] = []
    starts, ends = (_starts(detections, tracklets, onward) for onward in (False, True))
    recent, states = RecentFrames(clip), list[_ExtensionState]()
    with ThreadPoolExecutor(count) as pool:
        for first, last in frame_ranges(np.flatnonzero(_needed(starts, ends, detections.times_s, options))):
            for frame, image in decoded(clip, first, last):
                states += ends.get(frame - 1, [])
                going = [not hidden[frame]] * len(states)
                if any(going):
                    going = list(pool.map(go, states, repeat(image()), repeat(frame)))
                extensions += [state.extension for state, on in zip(states, going, strict=True) if not on]
                states = [state for state, on in zip(states, going, strict=True) if on]
                recent.put(frame, image)
                for state in starts.get(frame + 1, []):
                    back.append((frame, state, pool.submit(go_back, state, recent.earlier())))
                    if len(back) > count:
                        back[-count - 1][2].result()  # what they hold of earlier frames is bounded
                if on_progress is not None:
                    on_progress(frame + 1, frames)
        extensions += [state.extension for state in states]
        ended = sorted((-future.result(), -start, order) for order, (start, _, future) in enumerate(back))
    return extensions + [back[order][1].extension for *_, order in ended]


def _needed(
    starts: Mapping[int, list[_ExtensionState]],
    ends: Mapping[int, list[_ExtensionState]],
    times_s: Floats,
    options: ExtensionOptions,
) -> Bools:
    """Return the frames [T] in which a hand may be followed."""
    most_s = options.longest_s + options.patience_s
    needed = np.zeros(len(times_s), dtype=bool)
    for frame in starts:
        needed[max(int(np.searchsorted(times_s, times_s[frame] - most_s)) - 1, 0) : frame] = True
    for frame in ends:
        needed[frame + 1 : int(np.searchsorted(times_s, times_s[frame] + most_s)) + 1] = True
    return needed


def _starts(detections: HandDetections, tracklets: list[Tracklet], onward: bool) -> dict[int, list[_ExtensionState]]:
    states: dict[int, list[_ExtensionState]] = {}
    times, xy = detections.times_s, detections.xy_px
    for n, tracklet in enumerate(tracklets):
        rows = tracklet.rows[-8:] if onward else tracklet.rows[:8]
        end = -1 if onward else 0
        frame = int(detections.frame[rows[end]])
        speed = velocity(xy[rows], times[detections.frame[rows]], at_end=onward)
        state = _ExtensionState(
            TrackletExtension(n, onward), tracklet.right_log_odds < 0, frame, xy[rows[end]], speed, float(times[frame])
        )
        states.setdefault(frame, []).append(state)
    return states


def _step(
    state: _ExtensionState,
    network: LandmarkNetwork,
    image: NDArray[np.uint8],
    frame: int,
    detections: HandDetections,
    owner: dict[int, int],
    options: ExtensionOptions,
) -> bool:
    """Look for the hand one frame on; return whether to go further."""
    times, extension = detections.times_s, state.extension
    elapsed = float(times[frame] - times[state.last_frame])
    region = from_landmarks(state.last_xy)
    drift = state.velocity * elapsed if abs(frame - state.last_frame) == 1 else np.zeros(2)
    region = Regions(region.center_px + drift, region.side_px, region.angle)
    found = network(image, region[None], mirrored=state.mirrored)
    xy = found.xy_px[0]
    size = float(sizes(state.last_xy))
    moved = float(np.linalg.norm(xy.mean(axis=0) - state.last_xy.mean(axis=0))) / max(size, 1e-9)
    growth = float(np.abs(np.log(max(float(sizes(xy)), 1e-9) / max(size, 1e-9))))
    if found.presence[0] < options.presence or moved > options.farthest_step or growth > np.log(options.largest_growth):
        extension.unbroken = False
        return abs(elapsed) <= options.patience_s
    state.velocity = 0.5 * state.velocity + 0.5 * (xy.mean(axis=0) - state.last_xy.mean(axis=0)) / elapsed
    state.last_frame, state.last_xy = frame, xy
    rows = np.flatnonzero(detections.frame == frame)
    if len(rows):
        apart = distance(xy, detections.xy_px[rows])
        if apart.min() < options.arrival:
            extension.arrived = owner[int(rows[apart.argmin()])]
            return False
    extension.frames.append(frame)
    extension.xy_px.append(xy)
    extension.presence.append(float(found.presence[0]))
    return abs(times[frame] - state.start_s) < options.longest_s
