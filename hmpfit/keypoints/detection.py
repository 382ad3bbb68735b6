"""First pass: palms anywhere in the image, landmarks of each; frames between keyframes that agree are filled.

Separate from tracking (which sees no pixels) and from refinement (which looks again where tracking says).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hmpfit.keypoints.frames import (
    FrameSource,
    FurtherWork,
    Progress,
    Work,
    over_frames_and_back,
    over_stretches,
    stretches,
)
from hmpfit.keypoints.keyframes import Seen, between, halved, key_frames, longest_gap, unsure
from hmpfit.keypoints.landmarker_files import LandmarkerFiles
from hmpfit.keypoints.networks import LandmarkNetwork, Landmarks
from hmpfit.keypoints.palm_detector import PalmDetector
from hmpfit.records import Floats, HandDetections

Tools = tuple[PalmDetector, LandmarkNetwork]

_DUPLICATE = 0.25  # mean landmark distance, in hand boxes' diagonals, below which two detections are one hand


@dataclass(frozen=True)
class DetectorOptions:
    """How much counts as a hand in a whole frame; low, because tracking weighs the evidence of many frames."""

    palm_score: float = 0.4
    presence: float = 0.4
    most_hands: int = 10


def detect(
    clip: FrameSource,
    files: LandmarkerFiles,
    options: DetectorOptions = DetectorOptions(),
    *,
    workers: int | None = None,
    frames_hidden: NDArray[np.bool_] | None = None,
    on_progress: Progress | None = None,
) -> HandDetections:
    """Detect hands all through the clip; hidden frames [T] are never read.

    Key frames are processed on their own, and so are frames between two that do not show the same hands; elsewhere
    hands move on straight lines from key frame to key frame (see `keyframes`). `world_m` is in image axes. Results do
    not depend on the number of workers.
    """
    times = np.asarray(clip.times_s, dtype=np.float64)
    wanted = np.ones(len(times), dtype=bool) if frames_hidden is None else ~frames_hidden

    def make_tools() -> Tools:
        return PalmDetector(files.palm, options.palm_score, options.most_hands), LandmarkNetwork(files.landmarks)

    def look(tools: Tools, frame: int, image: NDArray[np.uint8]) -> Seen:
        palms = tools[0](image)
        found = tools[1](image, palms.regions) if len(palms.score) else NOTHING
        keep = distinct(found, found.presence * palms.score, options.presence)
        return found.take(keep), (found.presence * palms.score)[keep]

    def find(part: NDArray[np.int64], threads: int, advance: Callable[[], None]) -> dict[int, Seen]:
        return _find(clip, wanted, part, make_tools, look, threads, advance)

    parts = stretches(np.flatnonzero(key_frames(wanted, times)), workers)
    following = [part[:1] for part in parts[1:]] + [parts[0][:0]]  # frames between two stretches belong to the first
    parts = [np.concatenate(pair) for pair in zip(parts, following, strict=True)]
    seen: dict[int, Seen] = {}
    for found in over_stretches(parts, find, sum(map(len, parts)), workers, on_progress):
        seen |= found
    seen |= between(wanted, times, seen)
    hands = [(frame, found, score) for frame, (found, score) in sorted(seen.items()) if len(score)]
    return HandDetections(
        frame=np.array([frame for frame, _, score in hands for _ in score], dtype=np.int64),
        xy_px=np.concatenate([found.xy_px for _, found, _ in hands] or [NOTHING.xy_px]),
        world_m=np.concatenate([found.world_m for _, found, _ in hands] or [NOTHING.world_m]),
        right_probability=np.concatenate([found.right for _, found, _ in hands] or [NOTHING.right]),
        score=np.concatenate([score for _, _, score in hands] or [NOTHING.presence]),
        times_s=times,
        width=int(clip.width),
        height=int(clip.height),
    )


def _find(
    clip: FrameSource,
    wanted: NDArray[np.bool_],
    at: NDArray[np.int64],
    make_tools: Callable[[], Tools],
    look: Work[Tools, Seen],
    threads: int,
    advance: Callable[[], None],
) -> dict[int, Seen]:
    """Return what the key frames `at` show, and frames between two of them that do not agree."""
    times, keys = np.asarray(clip.times_s, dtype=np.float64), np.zeros(len(wanted), dtype=bool)
    keys[at] = True
    seen: dict[int, Seen] = {}
    keys_seen: list[int] = []

    def follow_up(frame: int, found: Seen) -> list[FurtherWork]:
        seen[frame] = found
        advance()
        keys_seen.append(frame)
        return look_between(keys_seen[-2], frame) if len(keys_seen) > 1 else []

    def look_between(a: int, b: int) -> list[FurtherWork]:
        at = halved(a, b, times, lambda a, b: unsure(a, b, wanted, seen))
        return [FurtherWork(frame, look, partial(keep, a, frame, b, len(at) == 1)) for frame in at]

    def keep(a: int, frame: int, b: int, halves: bool, found: Seen) -> list[FurtherWork]:
        seen[frame] = found
        return look_between(a, frame) + look_between(frame, b) if halves else []

    over_frames_and_back(clip, keys, make_tools, look, follow_up, longest_gap(keys), threads)
    return seen


NOTHING = Landmarks(np.zeros((0, 21, 2)), np.zeros((0, 21, 3)), np.zeros(0), np.zeros(0))


def distinct(found: Landmarks, score: Floats, presence: float) -> NDArray[np.int64]:
    """Choose the detections that show a hand and show it first; a hand found twice is kept once."""
    chosen: list[int] = []
    diagonal = np.linalg.norm(np.ptp(found.xy_px, axis=1), axis=-1)
    for n in np.argsort(-score, kind="stable"):
        apart = [
            np.linalg.norm(found.xy_px[n] - found.xy_px[m], axis=-1).mean() / max(diagonal[n], diagonal[m], 1e-9)
            for m in chosen
        ]
        if found.presence[n] >= presence and all(distance > _DUPLICATE for distance in apart):
            chosen.append(int(n))
    return np.array(chosen, dtype=np.int64)


def add_hands(detections: HandDetections, seen: Mapping[int, tuple[Landmarks, Floats]]) -> HandDetections:
    """Return the detections with the hands and scores added that were seen in some frames, in order of frames."""
    hands = [(frame, *found) for frame, found in sorted(seen.items()) if len(found[1])]
    if not hands:
        return detections
    frame = np.concatenate([detections.frame, *([frame] * len(score) for frame, _, score in hands)]).astype(np.int64)
    order = np.argsort(frame, kind="stable")

    def joined(known: Floats, new: list[Floats]) -> Floats:
        return np.concatenate([known, *new])[order]

    return HandDetections(
        frame=frame[order],
        xy_px=joined(detections.xy_px, [found.xy_px for _, found, _ in hands]),
        world_m=joined(detections.world_m, [found.world_m for _, found, _ in hands]),
        right_probability=joined(detections.right_probability, [found.right for _, found, _ in hands]),
        score=joined(detections.score, [score for _, _, score in hands]),
        times_s=detections.times_s,
        width=detections.width,
        height=detections.height,
    )
