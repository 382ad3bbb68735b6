"""Search frames that lack hands with `hand_detector`; `hand_judge` says which of its boxes show one.

Separate from `second_detection`, which cuts pictures for the palm detector. A hand around a cup is no palm, but in a
square that is placed and turned well the landmark network sees it. Following takes over from there.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hmpfit.keypoints.detection import NOTHING, add_hands, distinct
from hmpfit.keypoints.frames import FrameSource, over_frames
from hmpfit.keypoints.hand_detector import HandDetector
from hmpfit.keypoints.hand_judge import judged
from hmpfit.keypoints.landmarker_files import LandmarkerFiles
from hmpfit.keypoints.networks import LandmarkNetwork, Landmarks
from hmpfit.keypoints.regions import Regions, from_landmarks
from hmpfit.keypoints.tracklets import distance, sizes
from hmpfit.records import Bools, Floats, HandDetections

Tools = tuple[HandDetector, LandmarkNetwork]


@dataclass(frozen=True)
class SearchOptions:
    """Where is searched, and what counts as a hand; distances in hand boxes' diagonals."""

    every_s: float = 0.1  # 0: never
    around_s: float = 2.0  # a frame lacks a hand when frames within this time have more
    box_score: float = 0.03
    presence: float = 0.3  # by the judge, mean over turns of the crop
    score: float = 0.4  # of the judge, of its second look around the landmarks of the first, and of the box
    farthest: float = 0.4  # between the landmarks of both crops
    apart: float = 0.6  # from every hand that is known
    most: int = 5
    side_vote: float = 0.1  # how far from one half what is found here votes for a side: both networks are often wrong


_TURNS = np.array([0.0, -0.5, 0.5])  # radians about the direction that the detector says


def search_missing_hands(
    clip: FrameSource,
    detections: HandDetections,
    files: LandmarkerFiles,
    options: SearchOptions = SearchOptions(),
    *,
    workers: int | None = None,
    frames_hidden: Bools | None = None,
) -> HandDetections:
    """Return the detections with the hands added that are found in frames with fewer hands than those around them.

    Hidden frames are not seen.
    """
    times = np.asarray(detections.times_s)
    wanted = np.ones(len(times), dtype=bool) if frames_hidden is None else ~frames_hidden
    frames = frames_to_search(detections, wanted, options)
    if not frames.any():
        return detections

    def make_tools() -> Tools:
        detector = HandDetector(files.palm, options.box_score, options.most)
        return detector, LandmarkNetwork(files.landmarks, with_pooled=True)

    def look(tools: Tools, frame: int, image: NDArray[np.uint8]) -> tuple[Landmarks, Floats]:
        return propose(tools, image, detections.xy_px[detections.frame == frame], options)

    return add_hands(detections, over_frames(clip, frames, make_tools, look, workers))


def frames_to_search(detections: HandDetections, wanted: Bools, options: SearchOptions) -> Bools:
    """Choose the wanted frames [T] to search: at most one each `every_s`, where hands are lacking."""
    chosen = np.zeros(len(wanted), dtype=bool)
    if options.every_s <= 0:
        return chosen
    times = np.asarray(detections.times_s)
    count = np.bincount(detections.frame, minlength=len(times))
    last = -np.inf
    for frame in np.flatnonzero(wanted):
        around = slice(*np.searchsorted(times, (times[frame] - options.around_s, times[frame] + options.around_s)))
        if count[frame] < max(count[around].max(), 1) and times[frame] - last >= options.every_s - 1e-4:
            chosen[frame], last = True, times[frame]
    return chosen


def propose(tools: Tools, image: NDArray[np.uint8], known: Floats, options: SearchOptions) -> tuple[Landmarks, Floats]:
    """Return hands of an image and their scores, beside the `known` ones [K, 21, 2]."""
    detector, network = tools
    found = detector(image)
    new = _away_from(known, found.regions.center_px, options.apart)
    if not len(new):
        return NOTHING, NOTHING.presence
    seen = _best_turns(network, image, found.regions[new])
    likely = distinct(seen, seen.presence, options.presence)
    if not len(likely):
        return NOTHING, NOTHING.presence
    seen, boxes = seen.take(likely), found.score[new][likely]
    at = from_landmarks(seen.xy_px)
    again = judged(network(image, at), at)
    score = (seen.presence * again.presence * np.sqrt(boxes)) ** 0.4  # the mean in logs; a box counts half
    vote = 0.5 + options.side_vote * (again.right + seen.right - 1.0)
    steady = _away_from(known, again.xy_px.mean(axis=1), options.apart)
    steady = steady[distance(seen.xy_px, again.xy_px)[steady] < options.farthest]
    again, score = replace(again, right=vote, presence=score).take(steady), score[steady]
    good = distinct(again, score, options.score)
    return again.take(good), score[good]


def _away_from(known: Floats, center_px: Floats, apart: float) -> NDArray[np.int64]:
    """Choose the centers [N, 2] that lie on none of the known hands [K, 21, 2]."""
    away = np.linalg.norm(center_px[:, None] - known.mean(axis=1)[None], axis=-1)
    return np.flatnonzero((away / np.maximum(sizes(known), 1e-9)).min(axis=1, initial=np.inf) > apart)


def _best_turns(network: LandmarkNetwork, image: NDArray[np.uint8], regions: Regions) -> Landmarks:
    """Return the landmarks of each region in the turn that the landmark network is surest of, judged over all turns."""
    count, turns = len(regions.side_px), len(_TURNS)
    turned = Regions(
        np.repeat(regions.center_px, turns, axis=0), np.repeat(regions.side_px, turns),
        (regions.angle[:, None] + _TURNS).ravel(),
    )  # fmt: skip
    seen = network(image, turned)
    best = np.arange(count) * turns + seen.presence.reshape(count, turns).argmax(axis=1)
    said = judged(seen, turned)
    presence, right = (one.reshape(count, turns).mean(axis=1) for one in (said.presence, said.right))
    return replace(seen.take(best), presence=presence, right=right)
