"""Detector and network as one evidence: what the detector saw stays, what it lacks is filled."""

from dataclasses import replace

import numpy as np
import pytest

from hmpfit.initializers.fused_evidence import IN_BOXES, FusionOptions, describe_changes, fuse, world_landmarks
from hmpfit.records import HandEstimates
from tests.initializers.test_learned_initializer import CAMERA, estimates_of, made

GOOD, BAD = (0.5, 0.002), (60.0, 0.05)  # pixels, meters


def _judged(estimates: HandEstimates, own: tuple[float, float], detector: tuple[float, float]) -> HandEstimates:
    values = np.array([own[0], detector[0], own[1], detector[1]])[:, None]
    errors = np.broadcast_to(values, (*estimates.estimated.shape, 4, 21)).copy()
    return replace(estimates, presence=np.ones(estimates.estimated.shape), expected_errors=errors)


def _errors_in(
    estimates: HandEstimates, frame: int, own: tuple[float, float], detector: tuple[float, float]
) -> HandEstimates:
    assert estimates.expected_errors is not None
    errors = estimates.expected_errors.copy()
    errors[:, frame] = np.array([own[0], detector[0], own[1], detector[1]])[:, None]
    return replace(estimates, expected_errors=errors)


def test_what_the_detector_saw_stays_as_it_is() -> None:
    motion, clean, models = made()
    clean = replace(clean, world_m=world_landmarks(motion, models))
    estimates = _errors_in(_judged(estimates_of(motion, clean), GOOD, GOOD), 3, GOOD, BAD)
    for options in (FusionOptions(), IN_BOXES):
        same = fuse(estimates, clean, CAMERA, models, options)
        for name in ("xy_px", "confidence", "seen", "world_m"):
            assert np.array_equal(getattr(same, name), getattr(clean, name)), name


def test_depth_that_the_keypoints_lack_is_the_network_s() -> None:
    motion, clean, models = made()
    fused = fuse(_judged(estimates_of(motion, clean), GOOD, GOOD), replace(clean, world_m=None), CAMERA, models)
    assert np.array_equal(fused.xy_px, clean.xy_px)
    assert fused.world_m is not None
    np.testing.assert_allclose(fused.world_m, world_landmarks(motion, models), atol=0.01)


def test_the_network_fills_what_the_detector_missed_in_boxes_only() -> None:
    motion, clean, models = made()
    missed = np.ones_like(clean.seen)
    missed[:, 1:3] = False
    estimates = _errors_in(_judged(estimates_of(motion, clean), GOOD, GOOD), 2, (300.0, 0.3), GOOD)
    tracks = clean.keep_frames(missed)
    assert np.array_equal(fuse(estimates, tracks, CAMERA, models).seen, missed)
    assert np.array_equal(fuse(estimates, tracks, CAMERA, models, IN_BOXES).seen, missed)  # flow follows the hand there
    tracks = replace(tracks, times_s=60.0 * tracks.times_s)
    fused = fuse(estimates, tracks, CAMERA, models, IN_BOXES)
    assert fused.seen[0].tolist() == [True, True, False, True, True, True]
    assert "1 were found" in describe_changes(tracks, fused)
    assert np.abs(fused.xy_px[:, 1] - clean.xy_px[:, 1]).max() < 1.0
    assert fused.world_m is not None and np.isfinite(fused.world_m[0, 1]).all()


def test_estimates_without_errors_are_refused() -> None:
    motion, clean, models = made()
    with pytest.raises(ValueError, match="expected errors"):
        fuse(estimates_of(motion, clean), clean, CAMERA, models)
