"""Turned crops inside boxes: whoever looks says which turn and which side show the hand."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from hmpfit.keypoints.box_files import HandBoxes
from hmpfit.keypoints.box_search import locate
from hmpfit.keypoints.regions import Regions
from hmpfit.records import Floats

FRAMES, WIDTH, HEIGHT = 5, 320, 240
HAND = np.random.default_rng(0).uniform(-30, 30, (21, 2))


class _Clip:
    width, height = WIDTH, HEIGHT
    times_s = np.arange(FRAMES) / 30

    def images(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for frame in range(start, FRAMES if stop is None else stop):
            yield frame, np.full((HEIGHT, WIDTH, 3), frame, np.uint8)


class _Look:
    """Sees the hand only in crops near its turn and on its side."""

    def __init__(self, is_right: bool) -> None:
        self.is_right, self.calls = is_right, 0

    def __call__(self, image: NDArray[np.uint8], regions: Regions, mirrored: bool) -> tuple[Floats, Floats, Floats]:
        self.calls += len(regions.side_px)
        joints = _joints(int(image[0, 0, 0]))
        off = np.abs((regions.angle - 2.3 + np.pi) % (2 * np.pi) - np.pi)
        side = 1.0 if mirrored != self.is_right else 0.4
        presence = side * np.exp(-((off / 0.5) ** 2))
        return np.tile(joints, (len(off), 1, 1)), presence, np.full(len(off), side)


def _joints(frame: int) -> Floats:
    return np.asarray(HAND + np.array([120 + 4 * frame, 100]))


def _boxes() -> Floats:
    joints = np.stack([_joints(frame) for frame in range(FRAMES)])
    return np.concatenate((joints.min(1), joints.max(1)), axis=1)[None]


@pytest.mark.parametrize("is_right", [True, False])
@pytest.mark.parametrize("said", [True, False])
def test_the_hand_is_found_and_its_side_voted(is_right: bool, said: bool) -> None:
    look = _Look(is_right)
    boxes = HandBoxes(_boxes(), (is_right if said else None,))
    found = locate(look, _Clip(), boxes, np.zeros(FRAMES, dtype=bool))
    assert found.is_right.tolist() == [is_right]
    assert np.allclose(found.xy_px[0], [_joints(frame) for frame in range(FRAMES)])


def test_hidden_frames_and_frames_without_a_box_are_not_looked_at() -> None:
    boxes = _boxes()
    boxes[0, 1] = np.nan
    hidden = np.arange(FRAMES) == 3
    found = locate(_Look(True), _Clip(), HandBoxes(boxes, (True,)), hidden)
    assert np.isfinite(found.xy_px[0]).all((-1, -2)).tolist() == [True, False, True, False, True]


def test_later_frames_try_fewer_turns() -> None:
    one, all_of_them = _Look(True), _Look(True)
    locate(
        one, _Clip(), HandBoxes(np.where(np.arange(FRAMES)[:, None] < 1, _boxes(), np.nan), (True,)), np.zeros(5, bool)
    )
    locate(all_of_them, _Clip(), HandBoxes(_boxes(), (True,)), np.zeros(5, bool))
    assert all_of_them.calls < 3.5 * one.calls


def test_followed_joints_are_taken_and_turn_the_crops_after_them() -> None:
    followed = np.full((1, FRAMES, 21, 2), np.nan)
    followed[0, :2] = HAND + 7.0
    boxes = _boxes()
    boxes[0, 0] = np.nan
    found = locate(_Look(True), _Clip(), HandBoxes(boxes, (True,)), np.arange(FRAMES) == 1, followed_px=followed)
    np.testing.assert_array_equal(found.xy_px[0, 0], followed[0, 0])
    assert np.isnan(found.xy_px[0, 1]).all()  # hidden
    assert np.allclose(found.xy_px[0, 2:], [_joints(frame) for frame in range(2, FRAMES)])
