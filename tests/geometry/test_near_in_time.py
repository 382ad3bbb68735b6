"""Means around moments equal the plain comparison of all moments with all."""

import numpy as np
import pytest

from hmpfit.geometry.near_in_time import mean_around, nearest, seconds_to_nearest, short_gaps


@pytest.mark.parametrize("count, over_s", [(1, 0.3), (2, 0.0), (50, 0.3), (50, 0.02), (50, 100.0)])
def test_means_are_those_of_all_that_is_near_or_of_the_nearest(count: int, over_s: float) -> None:
    rng = np.random.default_rng(count)
    times, asked = np.sort(rng.uniform(0, 5, count)), np.sort(rng.uniform(-1, 6, 40))
    values = rng.normal(size=(2, count))
    apart = np.abs(asked[:, None] - times)
    np.testing.assert_allclose(seconds_to_nearest(times, asked), apart.min(1))
    near = apart <= np.maximum(over_s, apart.min(1, keepdims=True)) + 1e-9
    np.testing.assert_allclose(mean_around(values, times, asked, over_s), values @ near.T / near.sum(1), atol=1e-12)


def test_two_that_are_as_near_count_both_and_a_limit_is_reached_in_spite_of_rounding() -> None:
    assert mean_around(np.array([1.0, 3.0]), np.array([0.0, 2.0]), np.array([1.0]), 0.1) == pytest.approx([2.0])
    frames = np.arange(60) / 25  # 0.3 s are seven and a half of these, from one middle to the next
    middles = (frames[1:] + frames[:-1]) / 2
    found = mean_around(np.arange(59.0), middles, frames[20:40], 0.3)
    np.testing.assert_allclose(found, np.arange(19.5, 39.5), atol=1e-9)


def test_the_nearest_of_some_moments_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    asked = np.arange(90) / 30
    for share in (0.05, 0.3, 1.0):
        times = asked[np.append(rng.random(89) < share, True)]
        expected = np.abs(times[None] - asked[:, None]).argmin(axis=1)
        np.testing.assert_array_equal(nearest(times, asked), expected)


def test_short_gaps_lie_between_known_frames_and_last_at_most_so_long() -> None:
    known = np.array([0, 1, 0, 0, 1, 0, 0, 0, 1, 0], bool)
    times_s = np.arange(10.0)
    assert list(short_gaps(known, times_s, 1.0)) == [(2, 4)]
    assert list(short_gaps(known, times_s, 2.0)) == [(2, 4), (5, 8)]
    assert list(short_gaps(known, times_s, 0.0)) == []
