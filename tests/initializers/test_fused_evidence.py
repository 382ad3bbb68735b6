"""Detector and network as one evidence: each counts by its expected error; what is wrong on both sides is unseen."""

from dataclasses import replace

import numpy as np
import pytest

from hmpfit.initializers.from_keypoints import initialize as solve
from hmpfit.initializers.fused_evidence import describe_changes, fuse, world_landmarks
from hmpfit.records import HandEstimates, KeypointTracks
from tests.initializers.test_learned_initializer import CAMERA, estimates_of, made

GOOD, BAD = (0.5, 0.002), (60.0, 0.05)  # pixels, meters


def _judged(estimates: HandEstimates, own: tuple[float, float], detector: tuple[float, float]) -> HandEstimates:
    values = np.array([own[0], detector[0], own[1], detector[1]])[:, None]
    errors = np.broadcast_to(values, (*estimates.estimated.shape, 4, 21)).copy()
    return replace(estimates, presence=np.ones(estimates.estimated.shape), expected_errors=errors)


def _corrupted(tracks: KeypointTracks, frame: int) -> KeypointTracks:
    xy = tracks.xy_px.copy()
    xy[:, frame] += np.random.default_rng(0).normal(0, 40, xy[:, frame].shape)
    return replace(tracks, xy_px=xy)


def _errors_in(
    estimates: HandEstimates, frame: int, own: tuple[float, float], detector: tuple[float, float]
) -> HandEstimates:
    assert estimates.expected_errors is not None
    errors = estimates.expected_errors.copy()
    errors[:, frame] = np.array([own[0], detector[0], own[1], detector[1]])[:, None]
    return replace(estimates, expected_errors=errors)


@pytest.mark.parametrize("is_right", [True, False])
def test_a_sure_detector_is_left_alone_and_a_wrong_one_replaced(is_right: bool) -> None:
    motion, clean, models = made(is_right)
    clean = replace(clean, world_m=world_landmarks(motion, models))
    estimates = _errors_in(_judged(estimates_of(motion, clean), GOOD, GOOD), 3, GOOD, BAD)
    same = fuse(_judged(estimates_of(motion, clean), GOOD, GOOD), clean, CAMERA, models)
    for name in ("xy_px", "confidence", "seen", "world_m"):
        assert np.array_equal(getattr(same, name), getattr(clean, name)), name
    fused = fuse(estimates, _corrupted(clean, 3), CAMERA, models)
    assert np.array_equal(fused.xy_px[:, [0, 1, 2, 4, 5]], clean.xy_px[:, [0, 1, 2, 4, 5]])
    assert np.abs(fused.xy_px[:, 3] - clean.xy_px[:, 3]).max() < 1.0
    assert fused.seen.all() and "1 were joined" in describe_changes(clean, fused)
    solved = solve(fused, CAMERA, models)
    assert np.linalg.norm(solved.transl[:, 3] - motion.transl[:, 3]) < 0.03


def test_frames_wrong_on_both_sides_are_unseen() -> None:
    motion, clean, models = made()
    estimates = _errors_in(_judged(estimates_of(motion, clean), GOOD, GOOD), 2, BAD, BAD)
    fused = fuse(estimates, _corrupted(clean, 2), CAMERA, models)
    assert not fused.seen[0, 2] and fused.seen.sum() == clean.seen.sum() - 1
    assert (fused.confidence[0, 2] == 0).all() and np.isnan(fused.xy_px[0, 2]).all()


def test_the_network_alone_counts_where_it_is_sure() -> None:
    motion, clean, models = made()
    missed = np.ones_like(clean.seen)
    missed[:, 1:3] = False
    estimates = _errors_in(_judged(estimates_of(motion, clean), GOOD, GOOD), 2, BAD, GOOD)
    fused = fuse(estimates, clean.keep_frames(missed), CAMERA, models)
    assert fused.seen[0].tolist() == [True, True, False, True, True, True]
    assert np.abs(fused.xy_px[:, 1] - clean.xy_px[:, 1]).max() < 1.0
    assert fused.world_m is not None and np.isfinite(fused.world_m[0, 1]).all()


def test_estimates_without_errors_are_refused() -> None:
    motion, clean, models = made()
    with pytest.raises(ValueError, match="expected errors"):
        fuse(estimates_of(motion, clean), clean, CAMERA, models)
