"""Segments of a drawn Manhattan world, whose focal length and lens are known, and segments without any order."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hmpfit.vanishing_points.focal_evidence import focal_evidence
from hmpfit.vanishing_points.manhattan import Segments, refine_frames

FOCALS = np.exp(np.linspace(np.log(0.35), np.log(2.2), 25))


def drawn_segments(focal: float, seed: int, lines: int = 90, others: int = 30, bend: float = 0.0) -> np.ndarray:
    """Return segments [N, 2, 2] of edges along three directions, and of others, with noise, through a bent lens."""
    random = np.random.default_rng(seed)
    axes = Rotation.from_euler("YXZ", (35, -18, 5), degrees=True).as_matrix()
    found = []
    while len(found) < lines:
        start = np.append(random.uniform((-0.45, -0.25), (0.45, 0.25)), focal) * random.uniform(2, 6)
        end = start + axes[len(found) % 3] * random.uniform(0.3, 2)
        ends = np.stack((start, end))
        if ends[:, 2].min() < 0.3:
            continue
        ends = ends[:, :2] / ends[:, 2:] * focal
        if np.abs(ends).max() < 0.5 and np.linalg.norm(ends[1] - ends[0]) > 0.03:
            found.append(ends)
    for _ in range(others):
        start, turn = random.uniform((-0.4, -0.25), (0.4, 0.25)), random.uniform(0, np.pi)
        found.append(np.stack((start, start + 0.08 * np.array([np.cos(turn), np.sin(turn)]))))
    straight = np.stack(found)
    seen = straight.copy()
    for _ in range(20):  # undone by p / (1 + bend |p|^2)
        seen = straight * (1 + bend * np.square(seen).sum(axis=-1, keepdims=True))
    return seen + random.normal(0, 0.0005, seen.shape)


@pytest.mark.parametrize("focal", [0.5, 0.8, 1.3])
def test_the_likeliest_focal_length_is_that_of_the_drawn_world(focal: float) -> None:
    evidence = focal_evidence([drawn_segments(focal, seed=3)], FOCALS)
    assert evidence.order > 0.6
    assert abs(np.log(FOCALS[evidence.log_likelihood.argmax()] / focal)) < 0.09  # the grid's steps are 0.077
    far = np.abs(np.log(FOCALS / focal)) > 0.25
    assert (evidence.log_likelihood[far] < -3).all()


def test_a_bent_lens_is_found_along_with_the_focal_length() -> None:
    evidence = focal_evidence([drawn_segments(0.6, seed=4, bend=-0.6)], FOCALS)
    assert abs(np.log(FOCALS[evidence.log_likelihood.argmax()] / 0.6)) < 0.1


def test_segments_without_order_say_nothing() -> None:
    evidence = focal_evidence([drawn_segments(0.6, seed=5, lines=0, others=120)], FOCALS)
    assert evidence.order < 0.35
    assert np.ptp(evidence.log_likelihood) < 3


def test_too_few_segments_say_nothing_and_views_count_as_their_mean() -> None:
    few, many = drawn_segments(0.8, seed=6, lines=5, others=2), drawn_segments(0.8, seed=6)
    assert not focal_evidence([few], FOCALS).log_likelihood.any()
    assert not focal_evidence([], FOCALS).log_likelihood.any()
    once, twice = focal_evidence([many], FOCALS), focal_evidence([many, few, many], FOCALS)
    np.testing.assert_array_equal(once.log_likelihood, twice.log_likelihood)


def test_refinement_turns_a_frame_onto_the_segments() -> None:
    segments = Segments.of(drawn_segments(0.8, seed=7, others=0), 0.8)
    truth = Rotation.from_euler("YXZ", (35, -18, 5), degrees=True).as_matrix()
    turned = Rotation.from_rotvec([0.02, -0.03, 0.02]).as_matrix() @ truth
    found = refine_frames(segments, turned[None])
    overlap = np.abs(found.axes[0] @ truth.T)
    np.testing.assert_allclose(overlap.max(axis=1), 1.0, atol=1e-4)
