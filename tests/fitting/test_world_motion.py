"""The world: its metrics against errors written down here, and smoothness that holds there, not before the camera."""

import numpy as np
import pytest
import torch

from hmpfit.evaluation.world_motion import world_scores
from hmpfit.fitting.batching.gather import ClipToFit, gather_hands
from hmpfit.fitting.terms import smoothness
from hmpfit.geometry.rigid_transforms import apply, inverse, rigid
from hmpfit.hands.model_files import load_hand_models
from hmpfit.hands.rigid_motion import move_hands
from hmpfit.interfaces.term import Motion
from hmpfit.records import CameraMotion, KeypointTracks
from hmpfit.synthesis.camera_paths import sample_camera_path
from hmpfit.synthesis.scenes import sample_scene

FRAMES = 200
PATH = sample_camera_path("handheld", FRAMES, 30.0, np.random.default_rng(3)).world_from_camera
HANDS_WORLD = (
    np.random.default_rng(0).normal(0, 0.04, (2, 1, 21, 3))
    + [0, 0, 0.5]
    + np.linspace(0, 0.3, FRAMES)[None, :, None, None] * [1, 0.5, 0]
)
JOINTS = apply(inverse(PATH)[None], HANDS_WORLD)


def test_the_truth_has_no_error_whatever_the_world_s_axes():
    elsewhere = rigid(PATH[60, :3, :3], np.array([3.0, -1, 2])) @ PATH
    scores = world_scores(JOINTS, JOINTS, elsewhere, PATH)
    assert scores["world_known"] == 1
    assert all(value < 1e-6 for key, value in scores.items() if key.startswith(("w_", "camera_ate")))
    assert all(value < 1e-6 for key, value in scores.items() if key.startswith("wa_") and "still" not in key)
    assert scores["wa_mpjpe_128_still_mm"] > 5  # the camera's motion, taken for the hand's


def test_every_alignment_has_the_error_that_it_cannot_take_away():
    larger = PATH.copy()
    larger[:, :3, 3] *= 1.5
    hands = JOINTS * 1.5  # a world half as large again: hands, distances and the camera's path
    scores = world_scores(hands, JOINTS, larger, PATH)
    for key in ("w_mpjpe_first_frame", "wa_mpjpe_whole", "w_mpjpe_first_frame_128", "wa_mpjpe_128"):
        assert scores[f"{key}_scaled_mm"] < 1e-6
        assert scores[f"{key}_mm"] > 10
    assert scores["camera_ate_scaled_mm"] < 1e-6 < scores["camera_ate_mm"]
    length = np.linalg.norm(np.diff(PATH[:, :3, 3], axis=0), axis=1).sum() * 1000
    assert scores["camera_path_mm"] == pytest.approx(length)
    assert scores["camera_ate_percent"] == pytest.approx(100 * scores["camera_ate_mm"] / length)
    drifting = PATH.copy()
    drifting[:, 0, 3] += np.linspace(0, 0.2, FRAMES)
    scores = world_scores(JOINTS, JOINTS, drifting, PATH)
    # drift grows from the first frame on: first-frame alignment sees all of it, whole alignment a part, pieces less
    assert scores["w_mpjpe_first_frame_mm"] == pytest.approx(100, abs=10)
    assert scores["w_mpjpe_first_frame_mm"] > scores["wa_mpjpe_whole_mm"] > scores["wa_mpjpe_128_mm"]
    assert scores["w_mpjpe_first_frame_128_mm"] < scores["w_mpjpe_first_frame_mm"]


def test_an_unknown_world_is_not_scored_but_its_path_s_form_is():
    unscaled, unknown = PATH.copy(), PATH.copy()
    unscaled[:, :3, 3] /= 3
    unknown[:, :3, 3] = np.nan
    scores = world_scores(JOINTS, JOINTS, unknown, PATH, unscaled)
    assert scores["world_known"] == 0
    assert "wa_mpjpe_128_mm" not in scores and "camera_ate_mm" not in scores
    assert scores["camera_ate_scaled_mm"] < 1e-6


def test_frames_without_an_estimate_are_left_out():
    gone = JOINTS.copy()
    gone[:, :20], gone[1] = np.nan, np.nan
    scores = world_scores(gone, JOINTS, PATH, PATH)
    assert scores["w_mpjpe_first_frame_mm"] < 1e-6


@pytest.mark.parametrize("hands", ["right", "left", "both"])
def test_a_hand_at_rest_in_the_world_is_smooth_and_before_the_moving_camera_it_is_not(hands):
    models = load_hand_models("open")
    scene = sample_scene(models, 5, 8, hands, 96, 64, None)
    rest = scene.motion
    for name in ("global_orient", "transl"):
        getattr(rest, name)[:] = getattr(rest, name)[:, :1]
    seen = move_hands(rest, models, inverse(PATH[:8]))
    shape = seen.transl.shape[:2]
    tracks = KeypointTracks(
        np.full((*shape, 21, 2), 40.0), np.ones((*shape, 21)), np.ones(shape, bool), seen.is_right, np.arange(8) / 30
    )
    for status in ("moving", "moving, scale unobserved"):
        path = PATH[:8].copy()
        if status != "moving":
            path[:, :3, 3] = np.nan
        clip = ClipToFit(seen, tracks, scene.camera, models, CameraMotion(path, status))
        evidence, _ = gather_hands(clip, torch.float64, "cpu")
        still, _ = gather_hands(ClipToFit(seen, tracks, scene.camera, models), torch.float64, "cpu")
        motion = Motion(evidence.initial_R, evidence.initial_transl, evidence.initial_betas, evidence.initial_hand_R)
        points = torch.zeros(*shape, 21, 3, dtype=torch.float64)
        for term, known in ((smoothness.ORIENT, True), (smoothness.TRANSL, status == "moving")):
            options = term.options()
            in_world = term.residuals(motion, points, evidence, options).values.abs().max()
            before_camera = term.residuals(motion, points, still, options).values.abs().max()
            assert before_camera > 1e-3
            assert (in_world < 1e-9) == known
