"""What the palm detector says of a hand close up: a second network's word where views leave doubt.

In the whole picture both networks take a paw for a hand. Where it fills the palm detector's input, a paw's toes are no
palm any more, and a hand still is one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hmpfit.keypoints.frames import FrameSource, over_frames
from hmpfit.keypoints.landmarker_files import LandmarkerFiles
from hmpfit.keypoints.palm_detector import INPUT, PalmDetector
from hmpfit.keypoints.regions import cut, from_landmarks, to_image
from hmpfit.records import Floats, KeypointTracks

_FRAMES = 4
_SCALES = (1.0, 1.6)  # of the hand's region
_LEAST_SCORE, _MOST_PALMS = 0.05, 4
_NEAR = 0.35  # sides of the hand's region, between its center and that of the region around a palm of that hand


def palm_scores(
    clip: FrameSource,
    tracks: KeypointTracks,
    hands: Sequence[int],
    *,
    files: LandmarkerFiles,
    workers: int | None = None,
) -> dict[int, float]:
    """Return how surely each of some hands has a palm close up, 0..1: the median over a few frames that show it."""
    frames = {hand: _few(np.flatnonzero(tracks.seen[hand])) for hand in hands}
    wanted = np.zeros(len(tracks.times_s), dtype=bool)
    for chosen in frames.values():
        wanted[chosen] = True

    def look(palms: PalmDetector, frame: int, image: NDArray[np.uint8]) -> list[tuple[int, float]]:
        shown = [hand for hand, chosen in frames.items() if frame in chosen]
        return [(hand, palm_score(palms, image, tracks.xy_px[hand, frame])) for hand in shown]

    found = over_frames(clip, wanted, lambda: PalmDetector(files.palm, _LEAST_SCORE, _MOST_PALMS), look, workers)
    scores: dict[int, list[float]] = {hand: [] for hand in hands}
    for seen in found.values():
        for hand, score in seen:
            scores[hand].append(score)
    return {hand: float(np.median(of_hand)) if of_hand else 0.0 for hand, of_hand in scores.items()}


def palm_score(palms: PalmDetector, image: NDArray[np.uint8], xy_px: Floats) -> float:
    """Return the mean score of a hand's palm over close-ups of its landmarks [21, 2], upright and along the hand."""
    own = from_landmarks(xy_px)
    scores = []
    for scale in _SCALES:
        for turn in (0.0, -float(own.angle)):
            crop = own.turned(turn, scale)
            found = palms(cut(image, crop, False, INPUT))
            center = to_image(found.regions.center_px, crop, False, INPUT)
            near = np.linalg.norm(center - own.center_px, axis=-1) < _NEAR * own.side_px
            scores.append(float(found.score[near].max(initial=0.0)))
    return float(np.mean(scores))


def _few(frames: NDArray[np.int64]) -> NDArray[np.int64]:
    """Choose a few of some frames, evenly."""
    if len(frames) <= _FRAMES:
        return frames
    return frames[np.linspace(0, len(frames) - 1, _FRAMES + 2).round().astype(int)[1:-1]]
