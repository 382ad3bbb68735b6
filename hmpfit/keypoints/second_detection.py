"""Detect hands that the pass over whole frames misses, in parts of some frames: at the border, and small ones.

Separate from detection, which sees every hand that fills enough of the frame. The palm detector's input has 192 pixels
a side: a hand that the border cuts off is found with a black margin around the picture, a small one in a tile of it.
Following takes over from there, so that a few looks a second do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from hmpfit.keypoints.arms import crops_at_wrists
from hmpfit.keypoints.detection import NOTHING, add_hands, distinct
from hmpfit.keypoints.frames import FrameSource, over_frames
from hmpfit.keypoints.landmarker_files import LandmarkerFiles
from hmpfit.keypoints.networks import LandmarkNetwork, Landmarks
from hmpfit.keypoints.palm_detector import PalmDetector
from hmpfit.keypoints.pose_detector import NO_BODIES, Bodies, PoseDetector, load_pose_files
from hmpfit.keypoints.regions import Regions, from_landmarks
from hmpfit.keypoints.tracklets import distance, sizes
from hmpfit.records import Bools, Floats, HandDetections


@dataclass(frozen=True)
class SecondDetectionOptions:
    """When and how to detect; thresholds are higher here than in a whole frame."""

    border_every_s: float = 0.5
    tiles_every_s: float = 1.0
    border: float = 0.25  # of the picture's sides, on each
    tile: float = 0.5  # of the longer side
    small_tile: float = 0.25  # where nothing at all was found
    small_frames: int = 3
    palm_score: float = 0.35
    presence: float = 0.85
    confirmed: float = 0.9  # presence in a second crop around its landmarks; an ear in a tile reaches 0.85
    farthest: float = 0.2  # hand diagonals between both crops
    most_hands: int = 6


_ONE_ROW = 1.2  # of a tile's side, up to which a tile grows to the picture's shorter side: 16:9 needs half as many

Tools = tuple[PalmDetector, LandmarkNetwork, "_SharedPoseDetector"]
Found = tuple[Landmarks, Floats, Bodies]


def detect_missed_hands(
    clip: FrameSource,
    detections: HandDetections,
    files: LandmarkerFiles,
    options: SecondDetectionOptions = SecondDetectionOptions(),
    *,
    workers: int | None = None,
    frames_hidden: Bools | None = None,
) -> tuple[HandDetections, dict[int, Bodies]]:
    """Return the detections with those added that are found at the border, in tiles and at wrists of bodies.

    Also the bodies, by frame, in the frames in which they were looked for. Hidden frames are not seen.
    """
    times = np.asarray(detections.times_s)
    wanted = np.ones(len(times), dtype=bool) if frames_hidden is None else ~frames_hidden
    border, tiles = (_moments(wanted, times, every) for every in (options.border_every_s, options.tiles_every_s))
    areas = {1: _bordered(clip, options.border), 2: _tiles(clip, options.tile), 3: _tiles(clip, options.small_tile)}

    bodies_of = _SharedPoseDetector()

    def look(chosen: dict[int, list[int]], known: HandDetections) -> dict[int, Found]:
        frames = np.zeros(len(times), dtype=bool)
        frames[list(chosen)] = True

        def at(tools: Tools, frame: int, image: NDArray[np.uint8]) -> Found:
            parts = [area for kind in chosen[frame] for area in areas[kind]]
            hands = known.xy_px[known.frame == frame]
            bodies = tools[2](image) if 2 in chosen[frame] else NO_BODIES
            return *_look(tools, image, [*parts, *crops_at_wrists(bodies, hands)], hands, options), bodies

        return over_frames(clip, frames, lambda: (*_tools(files, options), bodies_of), at, workers)

    kinds = {int(frame): [1] * int(border[frame]) + [2] * int(tiles[frame]) for frame in np.flatnonzero(border | tiles)}
    seen = look(kinds, detections)
    detections = add_hands(detections, _hands(seen))
    if len(detections.frame) == 0:
        few = np.flatnonzero(wanted)
        few = few[np.linspace(0, len(few) - 1, 2 * options.small_frames + 1).round().astype(int)[1::2]]
        detections = add_hands(detections, _hands(look({int(frame): [3] for frame in few}, detections)))
    return detections, {frame: bodies for frame, (_, _, bodies) in seen.items() if tiles[frame]}


def _tools(files: LandmarkerFiles, options: SecondDetectionOptions) -> tuple[PalmDetector, LandmarkNetwork]:
    return PalmDetector(files.palm, options.palm_score, options.most_hands), LandmarkNetwork(files.landmarks)


class _SharedPoseDetector:
    """One pose detector for all threads, which take turns: it is large, and few frames need it."""

    def __init__(self) -> None:
        files = load_pose_files()
        self._detector = None if files is None else PoseDetector(*files)
        self._turn = Lock()

    def __call__(self, image: NDArray[np.uint8]) -> Bodies:
        if self._detector is None:
            return NO_BODIES
        with self._turn:
            return self._detector(image)


def _moments(wanted: Bools, times_s: Floats, every_s: float) -> Bools:
    """Choose the wanted frames [T] nearest to the middles of stretches of `every_s`."""
    chosen = np.zeros(len(wanted), dtype=bool)
    frames = np.flatnonzero(wanted)
    if len(frames):
        part = np.floor((times_s[frames] - times_s[frames[0]]) / every_s).astype(int)
        middle = np.abs((times_s[frames] - times_s[frames[0]]) / every_s - part - 0.5)
        for number in np.unique(part):
            own = np.flatnonzero(part == number)
            chosen[frames[own[middle[own].argmin()]]] = True
    return chosen


def _bordered(clip: FrameSource, share: float) -> list[Floats]:
    """Return the one area, (left, top, right, bottom), that has a margin around the picture."""
    x, y = share * clip.width, share * clip.height
    return [np.array([-x, -y, clip.width + x, clip.height + y])]


def _tiles(clip: FrameSource, share: float) -> list[Floats]:
    """Return squares that cover the picture, overlapping by half; one row of them where that is nearly as close."""
    side, short = share * max(clip.width, clip.height), min(clip.width, clip.height)
    if side < short <= side * _ONE_ROW:
        side = short
    out = []
    for y in _starts(clip.height, side):
        out += [np.array([x, y, x + side, y + side]) for x in _starts(clip.width, side)]
    return out


def _starts(length: float, side: float) -> Floats:
    if length <= side:
        return np.array([(length - side) / 2])
    return np.linspace(0, length - side, int(np.ceil(2 * (length - side) / side)) + 1)


def _look(
    tools: Tools, image: NDArray[np.uint8], areas: Sequence[Floats], known: Floats, options: SecondDetectionOptions
) -> tuple[Landmarks, Floats]:
    """Detect hands in areas of an image; places on a known hand are skipped."""
    palms, network, _ = tools
    found = [palms(_cut(image, area)) for area in areas]
    centers = [one.regions.center_px + area[:2].round() for one, area in zip(found, areas, strict=True)]
    center = np.concatenate(centers)
    side = np.concatenate([one.regions.side_px for one in found])
    angle, score = np.concatenate([one.regions.angle for one in found]), np.concatenate([one.score for one in found])
    apart = np.linalg.norm(center[:, None] - known.mean(axis=1)[None], axis=-1) / np.maximum(sizes(known), 1e-9)
    new = apart.min(axis=1, initial=np.inf) > 0.6
    order = np.flatnonzero(new)[np.argsort(-score[new], kind="stable")][: options.most_hands]
    if len(order) == 0:
        return NOTHING, NOTHING.presence
    seen = network(image, Regions(center, side, angle)[order])
    strength = seen.presence * score[order]
    keep = distinct(seen, strength, options.presence)
    if len(keep) == 0:
        return NOTHING, NOTHING.presence
    again = network(image, from_landmarks(seen.xy_px[keep]))
    steady = distance(seen.xy_px[keep], again.xy_px) < options.farthest
    keep = keep[steady & (again.presence >= options.confirmed)]
    return seen.take(keep), strength[keep]


def _cut(image: NDArray[np.uint8], area: Floats) -> NDArray[np.uint8]:
    """Cut an area out of an image; outside the image it is black."""
    left, top, right, bottom = area.round().astype(int)
    height, width = image.shape[:2]
    inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    margins = ((max(-top, 0), max(bottom - height, 0)), (max(-left, 0), max(right - width, 0)), (0, 0))
    return inside if not any(map(any, margins)) else np.pad(inside, margins)


def _hands(seen: dict[int, Found]) -> dict[int, tuple[Landmarks, Floats]]:
    return {frame: (found, score) for frame, (found, score, _) in seen.items()}
