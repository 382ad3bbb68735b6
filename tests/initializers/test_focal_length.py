"""The focal length from perspective within hands: found for near hands, left to its prior where nothing tells."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hmpfit import fit_video
from hmpfit.geometry.cameras import FOCAL_LOG_STD, assumed_intrinsics
from hmpfit.hands.model_files import load_hand_models
from hmpfit.initializers.focal_length import (
    LENS_LOG_STD,
    LINE_FOCALS,
    _costs,
    estimate_focal,
    turned_landmarks,
    with_focal,
)
from hmpfit.keypoints.projected import posed_landmarks, projected_tracks
from hmpfit.records import Camera, HandMotion, KeypointTracks
from hmpfit.vanishing_points.focal_evidence import LineEvidence

MODELS = load_hand_models("open")
ASSUMED = Camera(assumed_intrinsics(640, 480)[None], 640, 480)


def seen_through(focal_per_side: float, depth: float, is_right: bool = True, frames: int = 6) -> KeypointTracks:
    """Return exact landmarks of an open hand that turns at `depth`, their 3D as a detector with ASSUMED would say."""
    rng = np.random.default_rng(0)
    camera = with_focal(ASSUMED, 640 * focal_per_side)
    motion = HandMotion(
        np.stack([[0.3, 0.9 * np.cos(t), 0.9 * np.sin(t)] for t in range(frames)])[None],
        rng.normal(0, 0.1, (1, frames, 15, 3)), np.tile([0.08, -0.02, depth], (1, frames, 1)), np.zeros((1, 10)),
        np.array([is_right]), np.full((1, frames), 2, np.uint8),
    )  # fmt: skip
    tracks = projected_tracks(motion, MODELS, camera, np.arange(frames) / 30, confidence=1.0)
    world = posed_landmarks(motion, MODELS)
    tracks = replace(tracks, world_m=world - world.mean(axis=2, keepdims=True))
    return turned_landmarks(tracks, camera, ASSUMED)


@pytest.mark.parametrize(("focal", "is_right"), [(0.55, True), (1.3, False)])
def test_a_near_hand_tells_the_focal_length(focal: float, is_right: bool) -> None:
    found = estimate_focal(seen_through(focal, 0.18, is_right), ASSUMED, MODELS)
    off, prior = np.log(found.focal_px / (640 * focal)), np.log(0.9 / focal)
    assert abs(off) < 0.5 * abs(prior), "nearer to the truth than what is assumed"
    assert abs(off) < 2 * found.log_std < 2 * FOCAL_LOG_STD["assumed"], "and its deviation is as small as it says"


def test_a_far_hand_leaves_the_prior_alone() -> None:
    near, far = (estimate_focal(seen_through(0.55, depth, frames=3), ASSUMED, MODELS) for depth in (0.2, 1.5))
    assert near.log_std < far.log_std
    assert abs(np.log(far.focal_px / (0.9 * 640))) < 0.25


def test_lines_of_the_scene_outweigh_a_far_hand_and_say_how_sure_they_are() -> None:
    tracks = seen_through(0.55, 1.5, frames=2)
    sharp = -0.5 * (np.log(LINE_FOCALS / 0.55) / 0.03) ** 2
    found = estimate_focal(tracks, ASSUMED, MODELS, lambda: LineEvidence(LINE_FOCALS, sharp, 0.8))
    assert abs(np.log(found.focal_px / (640 * 0.55))) < 0.06
    assert LENS_LOG_STD < found.log_std < 1.3 * LENS_LOG_STD
    plain = LineEvidence(LINE_FOCALS, np.zeros(len(LINE_FOCALS)), 0.0)
    flat = estimate_focal(tracks, ASSUMED, MODELS, lambda: plain)
    without = estimate_focal(tracks, ASSUMED, MODELS)
    assert flat.focal_px == pytest.approx(without.focal_px, rel=1e-6)


def test_focal_lengths_posed_in_one_batch_cost_what_each_costs_alone() -> None:
    tracks, focals = seen_through(0.6, 0.3, is_right=False), np.array([300.0, 500.0, 900.0])
    together = _costs(tracks, ASSUMED, focals, MODELS)
    alone = [_costs(tracks, ASSUMED, focals[n : n + 1], MODELS)[0] for n in range(3)]
    assert np.ptp(together) > 0.01 * together.max()
    np.testing.assert_allclose(together, alone, rtol=1e-3)


def test_without_landmarks_there_is_only_the_prior() -> None:
    tracks = seen_through(0.6, 0.3, frames=2)
    nobody = replace(tracks.keep_frames(np.zeros((1, 2), dtype=bool)))
    found = estimate_focal(nobody, ASSUMED, MODELS)
    assert found.focal_px == pytest.approx(0.9 * 640, rel=0.15) and found.log_std < FOCAL_LOG_STD["assumed"]


def test_turning_landmarks_back_and_forth_changes_nothing() -> None:
    tracks, other = seen_through(0.9, 0.3, frames=3), with_focal(ASSUMED, 300.0)
    there = turned_landmarks(tracks, ASSUMED, other)
    assert tracks.world_m is not None and there.world_m is not None
    assert np.abs(there.world_m - tracks.world_m).max() > 1e-3
    back = turned_landmarks(there, other, ASSUMED)
    np.testing.assert_allclose(back.world_m, tracks.world_m, atol=1e-12)


@pytest.mark.slow
def test_a_real_clip_is_nearer_to_its_place_than_with_the_assumed_camera(inputs: Path) -> None:
    """`rig_near`: a hand 15 cm from a wide lens, whose focal length is 0.61 of the longer side."""
    clip = inputs / "truth" / "rig_near" / "cam1.avi"
    with np.load(clip.with_name("cam1.truth.npz")) as stored:
        true_px, depth = float(stored["K"][0, 0]), stored["joints"][0, :30, 0, 2]
    off = {}
    for told in (None, "assumed"):
        result = fit_video(clip, frames=(0, 30), solver="none", views=0, intrinsics=told, hands="right")
        focal_px = float(result.camera.K[0, 0, 0])
        off[result.camera.source] = (
            abs(np.log(focal_px / true_px)), abs(np.log(np.nanmedian(result.joints[0, :, 0, 2] / depth)))
        )  # fmt: skip
        if told is None:
            assert result.camera.focal_log_std is not None and 0 < result.camera.focal_log_std < 0.45
    assert off["estimated"][0] < 0.7 * off["assumed"][0]
    assert off["estimated"][1] < 0.7 * off["assumed"][1]
