"""Followed hands in given boxes: whose they are, and in which frames they count."""

import numpy as np

from hmpfit.keypoints.box_files import HandBoxes
from hmpfit.keypoints.tracking import HandTracks
from hmpfit.keypoints.tracks_in_boxes import follow_in_boxes
from hmpfit.records import Floats

FRAMES = 6
HAND = np.random.default_rng(0).uniform(-30, 30, (21, 2))
LEFT_PX, RIGHT_PX = np.array([100.0, 100.0]), np.array([300.0, 100.0])


def _tracks(*places: Floats, is_right: tuple[bool, ...]) -> HandTracks:
    xy = np.stack([np.tile(HAND + place, (FRAMES, 1, 1)) for place in places])
    hands = len(places)
    return HandTracks(
        xy, np.ones((hands, FRAMES), dtype=bool), np.array(is_right), np.zeros(hands), np.ones(hands),
        np.arange(FRAMES) / 30, np.arange(hands), np.zeros(hands, dtype=np.int64),
    )  # fmt: skip


def _boxes(*places: Floats) -> Floats:
    around = np.concatenate((HAND.min(0), HAND.max(0)))
    return np.stack([np.tile(around + np.tile(place, 2), (FRAMES, 1)) for place in places])


def test_a_followed_hand_fills_its_row_with_boxes_and_without() -> None:
    tracks = _tracks(LEFT_PX, RIGHT_PX, is_right=(False, True))
    boxes = _boxes(RIGHT_PX, LEFT_PX)
    boxes[0, 2:4] = np.nan
    found = follow_in_boxes(tracks, HandBoxes(boxes, (None, None)))
    assert found.is_right == (True, False)
    np.testing.assert_array_equal(found.xy_px, tracks.xy_px[::-1])


def test_a_box_elsewhere_is_left_to_be_searched_and_says_the_side() -> None:
    boxes = _boxes(RIGHT_PX)
    boxes[0, 4] += 200.0  # the followed hand is not in this one
    found = follow_in_boxes(_tracks(RIGHT_PX, is_right=(True,)), HandBoxes(boxes, (False,)))
    assert found.is_right == (False,)
    assert np.isfinite(found.xy_px[0]).all((-1, -2)).tolist() == [True, True, True, True, False, True]


def test_hands_outside_of_all_boxes_and_no_hands_are_no_rows() -> None:
    for tracks in (_tracks(LEFT_PX, is_right=(False,)), None):
        found = follow_in_boxes(tracks, HandBoxes(_boxes(RIGHT_PX), (None,)))
        assert found.is_right == (None,) and np.isnan(found.xy_px).all()
