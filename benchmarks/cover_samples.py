"""Samples that `train_cover.py` learns from: crops of real hands with something pasted over some of their landmarks.

Where the landmarks are is told by the run of a clean clip (where its views agree) or by truth in 3D. Every sample is
what the landmark network says of its crop: features at the landmarks that it found, and which of the true landmarks
are covered.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from training_occluders import occlude

from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.networks import LandmarkNetwork
from hmpfit.keypoints.regions import Regions, from_landmarks
from hmpfit.records import Floats
from hmpfit.video.clip import open_clip

Image = NDArray[np.uint8]

_SIDE_PX = 420  # of the picture around a hand that is kept
_AROUND = 1.6  # half its side, in diagonals of the hand's box
_SURE, _SHARE = 0.3, 0.6  # a clip's frame counts where so many landmarks have this confidence
_GOOD_PX = 8.0  # largest median reprojection of a true hand
_LOOK_AGAIN = 0.4  # share of the samples in which the crop follows what was found in it, as tracking does


@dataclass(frozen=True)
class CleanHand:
    """A picture of a hand, and where its landmarks are in it."""

    source: str
    left: bool
    image: Image
    points: Floats  # [21, 2] px


@dataclass(frozen=True)
class Samples:
    """N samples: features [N, 21, F], covered [N, 21], and the clip or set each comes from [N]."""

    features: Floats
    covered: NDArray[np.bool_]
    source: NDArray[np.str_]


def landmarks_of_run(run: Path) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the sure landmarks of a run folder [H, T, 21, 2], NaN elsewhere, and the hands' sides [H]."""
    with np.load(run / "result.npz") as result:
        confidence = result["keypoint_confidence"]
        points = np.where(confidence[..., None] > 0, result["keypoints_px"], result["landmarks_px"])
        sure = (confidence > _SURE).mean(-1) > _SHARE
        return np.where(sure[..., None, None], points, np.nan), result["is_right"]


def landmarks_of_truth(file: Path) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the projected joints of a `camK.truth.npz` [H, T, 21, 2], NaN where unknown, and the sides [H]."""
    with np.load(file) as truth:
        joints, off, K = truth["joints"], truth["reprojection_px"], truth["K"].reshape(-1, 3, 3)[0]
        good = np.isfinite(joints).all((-1, -2)) & (np.median(np.nan_to_num(off, nan=np.inf), -1) < _GOOD_PX)
        points = np.full((*joints.shape[:-1], 2), np.nan)
        for hand, frame in zip(*np.nonzero(good), strict=True):
            seen = cv2.projectPoints(joints[hand, frame], np.zeros(3), np.zeros(3), K, truth["distortion"])[0]
            points[hand, frame] = seen[:, 0]
        return points, truth["is_right"]


def clean_hands(
    source: str, video: Path, points: Floats, is_right: NDArray[np.bool_], most_frames: int
) -> Iterator[CleanHand]:
    """Yield the hands of frames spread over a video of which the landmarks [H, T, 21, 2] are known."""
    clip = open_clip(video, None)
    frames = min(clip.frames, points.shape[1])
    good = np.flatnonzero(np.isfinite(points[:, :frames, 0, 0]).any(0))
    chosen = set(good[np.linspace(0, len(good) - 1, min(most_frames, len(good))).astype(int)].tolist())
    for frame, image in clip.images(0, frames):
        for hand in np.flatnonzero(np.isfinite(points[:, frame, 0, 0])) if frame in chosen else ():
            xy = points[hand, frame]
            middle, reach = xy.mean(0), _AROUND * np.linalg.norm(np.ptp(xy, axis=0))
            low = np.maximum((middle - reach).astype(int), 0)
            high = np.minimum((middle + reach).astype(int), image.shape[1::-1])
            part = image[low[1] : high[1], low[0] : high[0]]
            scale = min(1.0, _SIDE_PX / max(part.shape))
            small = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            yield CleanHand(source, not is_right[hand], np.asarray(small, dtype=np.uint8), (xy - low) * scale)


def make_samples(hands: list[CleanHand], times: int, generator: np.random.Generator) -> Samples:
    """Return `times` samples of every hand, the first of each without an occluder.

    Pieces of pictures that are pasted come from other sources than the hand.
    """
    network = LandmarkNetwork(load_landmarker().landmarks, with_features=True)
    sources = sorted({hand.source for hand in hands})
    banks = {name: [hand.image for hand in hands[::4] if hand.source != name] for name in sources}
    features, covered = [], []
    for hand in hands:
        for time in range(times):
            image, under = hand.image, np.zeros(21, dtype=bool)
            if time:
                image, under = occlude(image, hand.points, banks[hand.source], generator)
            features.append(_look(network, _degrade(image, generator), hand, time > 0, generator))
            covered.append(under)
    source = np.repeat([hand.source for hand in hands], times)
    return Samples(np.stack(features).astype(np.float16), np.stack(covered), source)


def _degrade(image: Image, generator: np.random.Generator) -> Image:
    if generator.random() < 0.3:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), generator.uniform(0.5, 2.5)), dtype=np.uint8)
    if generator.random() < 0.4:
        brighter = image.astype(np.float32) * generator.uniform(0.7, 1.3) + generator.uniform(-15, 15)
        image = np.clip(brighter, 0, 255).astype(np.uint8)
    return image


def _look(
    network: LandmarkNetwork, image: Image, hand: CleanHand, occluded: bool, generator: np.random.Generator
) -> Floats:
    """Return the features [21, F] of a crop that lies about where tracking would lay it."""
    right = from_landmarks(hand.points[None])
    shift = generator.normal(size=(1, 2)) * 0.05 * right.side_px[:, None]
    size, turn = np.exp(generator.normal() * 0.08), generator.normal() * 0.15
    found = network(image, Regions(right.center_px + shift, right.side_px * size, right.angle + turn), hand.left)
    if occluded and generator.random() < _LOOK_AGAIN and found.presence[0] > 0.4:
        found = network(image, from_landmarks(found.xy_px), hand.left)
    assert found.features is not None
    return found.features[0]
