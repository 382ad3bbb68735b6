"""The detector of hands around objects: what its map means, when it searches, and what it makes of a real hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.keypoints import held_object_search
from hmpfit.keypoints.detection import NOTHING
from hmpfit.keypoints.hand_detector import FoundHands, HandDetector, decode_centers
from hmpfit.keypoints.hand_judge import judge_inputs, judged
from hmpfit.keypoints.held_object_search import SearchOptions, frames_to_search, propose, search_missing_hands
from hmpfit.keypoints.judge_network import INPUTS
from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.network_taps import POOLED
from hmpfit.keypoints.networks import LandmarkNetwork, Landmarks, interpreter
from hmpfit.keypoints.palm_detector import PalmDetector, letterbox
from hmpfit.keypoints.palm_features import COARSE, FINE, PalmFeatures
from hmpfit.keypoints.regions import Regions
from hmpfit.records import HandDetections
from hmpfit.video.clip import open_clip


def _cells(*peaks: tuple[int, int, float, float]) -> np.ndarray:
    """Return a map with peaks at (x, y), each with a logit and a box of so many cells."""
    cells = np.zeros((8, FINE, FINE))
    cells[0] = -9.0
    for x, y, logit, size in peaks:
        cells[:, y, x] = (logit, 0.25, 0.0, np.log(size), np.log(2 * size), 4.0, 0.0, -2.0)
    return cells


def test_a_peak_is_a_box_around_its_cell() -> None:
    found = decode_centers(_cells((3, 10, 2.0, 4.0)), 0.1, 5)
    center, half = np.array([3.75, 10.5]) * 8, np.array([16, 32])
    assert np.allclose(found.xyxy_px, [[*(center - half), *(center + half)]])
    assert np.allclose(found.score, 1 / (1 + np.exp(-2))) and found.right[0] > 0.9
    assert np.allclose(found.direction, [[0, -1]])
    assert np.allclose(found.regions.angle, 0) and np.allclose(found.regions.side_px, 1.45 * 64)


def test_overlapping_boxes_are_one_hand_and_the_most_certain_comes_first() -> None:
    cells = _cells((3, 10, 1.0, 8.0), (5, 10, 2.0, 8.0), (18, 5, 3.0, 3.0))
    found = decode_centers(cells, 0.1, 5)
    assert np.allclose(found.xyxy_px.reshape(-1, 2, 2).mean(1)[:, 0] / 8, [18.75, 5.75])
    assert len(decode_centers(cells, 0.1, 1).score) == 1
    assert len(decode_centers(cells, 0.99, 5).score) == 0


def test_inner_layers_leave_the_palm_detector_as_it_is() -> None:
    files = load_landmarker()
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    features = PalmFeatures(files.palm)
    (fine, coarse), scale, _ = features.of_image(image)
    assert fine.shape == (FINE, FINE, 256) and coarse.shape == (COARSE, COARSE, 256) and scale == 192 / 160
    assert np.isfinite(fine).all() and np.isfinite(coarse).all()
    plain, outputs = interpreter(files.palm, (1, 192, 192, 3)), features._interpreter.get_output_details()[:2]
    plain.set_tensor(features._input, letterbox(image, 192)[0][None].astype(np.float32) / np.float32(255))
    plain.invoke()
    for number in (one["index"] for one in outputs):
        assert np.allclose(features._interpreter.get_tensor(number), plain.get_tensor(number), atol=1e-3)


def test_another_network_is_refused() -> None:
    with pytest.raises(InputError, match="palm detector"):
        PalmFeatures(load_landmarker().landmarks)


def _detections(frames: list[int], count: int) -> HandDetections:
    n = len(frames)
    return HandDetections(
        np.array(frames, dtype=np.int64), np.zeros((n, 21, 2)), np.zeros((n, 21, 3)), np.ones(n), np.ones(n),
        np.arange(count) / 30, 640, 480,
    )  # fmt: skip


def test_only_frames_with_fewer_hands_than_those_around_are_searched() -> None:
    every = np.ones(90, dtype=bool)
    options = SearchOptions(every_s=1e-3)
    both = _detections(sorted([*range(90), *range(90)]), 90)
    assert not frames_to_search(both, every, options).any(), "nothing is lacking"
    gap = _detections(sorted([*range(90), *range(40), *range(50, 90)]), 90)
    assert np.flatnonzero(frames_to_search(gap, every, options)).tolist() == list(range(40, 50))
    assert frames_to_search(_detections([], 90), every, options).all(), "no hand at all"
    assert frames_to_search(_detections([], 90), every, SearchOptions(every_s=0.1)).sum() == 30
    assert not frames_to_search(_detections([], 90), every, SearchOptions(every_s=0.0)).any()
    hidden = every.copy()
    hidden[42:45] = False
    assert not frames_to_search(gap, hidden, options)[42:45].any(), "hidden frames are not read"


HAND = np.random.default_rng(1).uniform(200, 300, (21, 2))


class _Network:
    """Says that there is a hand in the regions, with the presence that the judge shall give in each look."""

    def __init__(self, *presence: float) -> None:
        self.presence = list(presence)

    def __call__(self, image: np.ndarray, regions: Any, mirrored: bool = False) -> Landmarks:
        n, presence = len(regions.side_px), self.presence.pop(0)
        return Landmarks(np.tile(HAND, (n, 1, 1)), np.zeros((n, 21, 3)), np.full(n, presence), np.ones(n))


@pytest.mark.parametrize("first, second, known, kept", [
    (0.9, 0.8, False, 1), (0.2, 0.9, False, 0), (0.9, 0.1, False, 0), (0.9, 0.9, True, 0),
])  # fmt: skip
def test_a_box_is_judged_twice(
    first: float, second: float, known: bool, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_object_search, "judged", lambda seen, regions: seen)
    low, high = HAND.min(0), HAND.max(0)
    found = FoundHands(np.array([[*low, *high]]), np.array([0.8]), np.ones(1), np.array([[0.0, -1.0]]))
    tools: Any = (lambda image: found, _Network(first, second))
    hands = HAND[None] if known else NOTHING.xy_px
    seen, score = propose(tools, np.zeros((480, 640, 3), np.uint8), hands, SearchOptions())
    assert len(seen.xy_px) == len(score) == kept
    assert kept == 0 or np.allclose(score, (first * second * np.sqrt(0.8)) ** 0.4)


def _seen(xy_px: np.ndarray) -> Landmarks:
    return Landmarks(xy_px, np.zeros((1, 21, 3)), np.ones(1), np.zeros(1), None, np.zeros((1, POOLED)))


def test_the_judge_reads_landmarks_as_they_lie_in_the_crop() -> None:
    square = Regions(np.array([[250.0, 250.0]]), np.array([140.0]), np.zeros(1))
    plain = judge_inputs(_seen(HAND[None]), square)
    assert plain.shape == (1, INPUTS)
    assert np.allclose(plain[0, POOLED:-2].reshape(21, 2), (HAND - 250) / 140)
    turn = np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
    turned = Regions(np.array([[40.0, 60.0]]), np.array([280.0]), np.full(1, 0.6))
    again = judge_inputs(_seen(2 * (HAND[None] - 250) @ turn.T + (40.0, 60.0)), turned)
    assert np.allclose(plain, again)


def test_the_judge_tells_a_hand_around_a_cup_from_other_places(inputs: Path) -> None:
    """The hand of frame 9 of `cups`, which the training left out, and squares of the same frame without a hand."""
    image = next(image for frame, image in open_clip(inputs / "clips" / "cups.mp4").images(9, 10))
    files = load_landmarker()
    found = HandDetector(files.palm, 0.15, 5)(image)
    center = found.xyxy_px.reshape(-1, 2, 2).mean(1)
    hand = found.regions[np.flatnonzero(((center > (200, 10)) & (center < (440, 140))).all(1))[:1]]
    empty = Regions(np.array([[150.0, 600.0], [1150.0, 600.0]]), np.full(2, float(hand.side_px[0])), np.zeros(2))
    network = LandmarkNetwork(files.landmarks, with_pooled=True)
    yes, no = (judged(network(image, at), at).presence for at in (hand, empty))
    assert yes.min() > 0.4 > no.max()


def test_reading_the_last_vector_changes_no_answer() -> None:
    files, image = load_landmarker(), np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    at = Regions(np.array([[150.0, 140.0]]), np.array([200.0]), np.zeros(1))
    plain, tapped = (LandmarkNetwork(files.landmarks, with_pooled=one)(image, at) for one in (False, True))
    assert plain.pooled is None and tapped.pooled is not None and tapped.pooled.shape == (1, POOLED)
    for name in ("xy_px", "world_m", "presence", "right"):
        assert np.array_equal(getattr(plain, name), getattr(tapped, name))
    with pytest.raises(InputError, match="landmark network"):
        LandmarkNetwork(files.palm, with_pooled=True)


def test_frames_without_anything_to_search_cost_nothing() -> None:
    detections = _detections(list(range(5)), 5)
    assert search_missing_hands(None, detections, None) is detections  # type: ignore[arg-type]


def test_a_hand_around_a_cup_is_found_where_the_palm_detector_sees_none(inputs: Path) -> None:
    """In frame 9 of `cups` a right hand holds a cup at (200, 10) to (440, 140); the clip was left out of training."""
    files = load_landmarker()
    image = next(image for frame, image in open_clip(inputs / "clips" / "cups.mp4").images(9, 10))
    found = HandDetector(files.palm, 0.15, 5)(image)
    center = found.xyxy_px.reshape(-1, 2, 2).mean(1)
    assert ((center > (200, 10)) & (center < (440, 140))).all(1).any()
    regions = PalmDetector(files.palm, 0.4, 5)(image).regions
    assert not ((regions.center_px > (150, 0)) & (regions.center_px < (490, 240))).all(1).any()
