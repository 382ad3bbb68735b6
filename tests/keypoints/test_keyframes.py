"""Key frames: straight motion is filled as it was, and whatever is not plain gets a look of its own."""

from itertools import pairwise

import numpy as np
import pytest

from hmpfit.keypoints.keyframes import CLOSE_S, Seen, between, halved, key_frames, longest_gap, unsure
from hmpfit.keypoints.networks import Landmarks

TIMES = np.arange(13) / 30
ALL = np.ones(13, dtype=bool)
HAND = np.random.default_rng(1).uniform(0, 100, (21, 2))


def hands(*centers: tuple[float, float], right: float = 0.9, score: float = 0.95) -> Seen:
    count = len(centers)
    xy = np.stack([HAND + center for center in centers]) if centers else np.zeros((0, 21, 2))
    seen = Landmarks(xy, np.zeros((count, 21, 3)), np.full(count, 0.99), np.full(count, right))
    return seen, np.full(count, score)


def close_frames(wanted: np.ndarray) -> np.ndarray:
    return key_frames(wanted, TIMES, CLOSE_S)


def test_key_frames_are_a_fifth_of_a_second_apart_at_any_rate() -> None:
    assert list(np.flatnonzero(key_frames(ALL, TIMES))) == [0, 6, 12]
    assert list(np.flatnonzero(key_frames(ALL, TIMES / 2))) == [0, 12]
    assert key_frames(ALL, TIMES * 8).all()


def all_unsure(keys: np.ndarray, wanted: np.ndarray, seen: dict[int, Seen]) -> list[int]:
    pairs = pairwise(np.flatnonzero(keys).tolist())
    return [n for a, b in pairs for n in halved(a, b, TIMES, lambda a, b: unsure(a, b, wanted, seen))]


def test_frames_that_disagree_are_halved_first_and_all_looked_at_when_they_are_close() -> None:
    assert halved(0, 6, TIMES, lambda a, b: True) == [3]
    assert halved(3, 6, TIMES, lambda a, b: True) == [4, 5]
    assert halved(0, 6, TIMES, lambda a, b: False) == halved(5, 6, TIMES, lambda a, b: True) == []


def test_both_ends_of_every_stretch_are_key_frames() -> None:
    wanted = ALL.copy()
    wanted[5:8] = False
    keys = close_frames(wanted)
    assert list(np.flatnonzero(keys)) == [0, 3, 4, 8, 11, 12]
    assert not {5, 6, 7} & set(all_unsure(keys, wanted, {n: hands((0, 0)) for n in range(13)}))
    assert longest_gap(keys) == 4


def test_two_hands_in_straight_motion_are_filled_exactly() -> None:
    truth = {n: hands((10.0 * n, 0), (900 - 5.0 * n, 40)) for n in range(13)}
    keys = close_frames(ALL)
    seen = {int(n): truth[n] for n in np.flatnonzero(keys)}
    found, score = seen[3]
    turned = Landmarks(found.xy_px[::-1], found.world_m[::-1], found.presence[::-1], found.right[::-1])
    seen[3] = turned, score[::-1]  # the detector's order means nothing
    assert not all_unsure(keys, ALL, seen)
    filled = between(ALL, TIMES, seen)
    assert sorted(filled) == sorted(set(range(13)) - set(seen))
    for frame, (found, _) in filled.items():
        xy = found.xy_px[::-1] if frame in (4, 5) else found.xy_px
        assert xy == pytest.approx(truth[frame][0].xy_px)


@pytest.mark.parametrize(
    "other",
    [
        hands(),  # gone
        hands((0, 0), (500, 0)),  # a second one
        hands((80, 0)),  # too far to be surely the same
        hands((0, 0), right=0.1),  # the other side
        hands((0, 0), score=0.45),  # hardly a hand
    ],
)
def test_what_is_not_plain_gets_a_closer_look(other: Seen) -> None:
    keys = close_frames(ALL)
    seen = {int(n): hands((0, 0)) for n in np.flatnonzero(keys)}
    seen[6] = other
    need = all_unsure(keys, ALL, seen)
    assert need == [4, 5, 7, 8]
    seen |= {n: hands((0, 0)) for n in need}
    assert sorted(between(ALL, TIMES, seen)) == [1, 2, 10, 11]


def test_hands_that_come_close_are_not_mistaken_for_one_another() -> None:
    keys = close_frames(ALL)
    seen = {int(n): hands((0, 0), (30, 0)) for n in np.flatnonzero(keys)}
    seen[6] = hands((14, 0), (44, 0))
    assert all_unsure(keys, ALL, seen) == [4, 5, 7, 8]
