"""Depths that only a mirrored hand has: found by the inverse kinematics, and turned along the line of sight."""

from dataclasses import replace

import numpy as np
import pytest

from hmpfit.geometry.cameras import project_array
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.initializers.depth_signs import find_reversed_depths, with_depths
from hmpfit.records import DETECTED, Camera, HandMotion, KeypointTracks

MODELS = load_hand_models("open")
CAMERA = Camera(np.array([[[800.0, 0, 320], [0, 800.0, 240], [0, 0, 1]]]), 640, 480)
FRAMES = 6


def tracks_of_fists(is_right: bool, confidence: float = 1.0) -> KeypointTracks:
    """Half-closed hands off the optical axis whose palms are seen from the side, exactly detected."""
    turns = np.linspace(1.2, 1.5, FRAMES)[:, None] * [1.0, 0.0, 0.0]
    motion = HandMotion(
        global_orient=turns[None],
        hand_pose=np.tile([0.0, 0.0, 0.7], (1, FRAMES, 15, 1)) * (1 if is_right else [1, -1, -1]),
        transl=np.tile([0.12, 0.05, 0.6], (1, FRAMES, 1)),
        betas=np.zeros((1, 10)),
        is_right=np.array([is_right]),
        status=np.full((1, FRAMES), DETECTED, np.uint8),
    )
    joints = pose_hands(MODELS, motion).joints
    return KeypointTracks(
        xy_px=project_array(joints, CAMERA.K[:, None], None),
        confidence=np.full(joints.shape[:-1], confidence),
        seen=np.ones((1, FRAMES), dtype=bool),
        is_right=motion.is_right,
        times_s=np.arange(FRAMES) / 30,
        world_m=joints - joints.mean(2, keepdims=True),
    )


@pytest.mark.parametrize("is_right", [True, False])
def test_mirrored_depths_are_found_and_turned_back(is_right: bool) -> None:
    true = tracks_of_fists(is_right)
    wrong = np.zeros((1, FRAMES), dtype=bool)
    wrong[0, [1, 4]] = True
    ray = true.xy_px - [320, 240]
    ray = np.concatenate((ray / 800, np.ones_like(ray[..., :1])), axis=-1)
    middle = (ray / np.linalg.norm(ray, axis=-1, keepdims=True)).sum(2, keepdims=True)
    middle /= np.linalg.norm(middle, axis=-1, keepdims=True)
    assert true.world_m is not None
    mirrored = true.world_m - 2 * (true.world_m * middle).sum(-1, keepdims=True) * middle
    seen = replace(true, world_m=np.where(wrong[..., None, None], mirrored, true.world_m))

    signs = find_reversed_depths(seen, CAMERA, MODELS)

    np.testing.assert_array_equal(signs.reversed, wrong)
    some = np.arange(FRAMES)[None] < 3
    np.testing.assert_array_equal(find_reversed_depths(seen, CAMERA, MODELS, some).reversed, wrong & some)
    turned = with_depths(seen, CAMERA, signs)
    np.testing.assert_allclose(turned.world_m, true.world_m, atol=1e-9)


def test_landmarks_that_no_view_confirms_stay_as_they_are() -> None:
    tracks = tracks_of_fists(True)
    assert tracks.world_m is not None
    confidence = tracks.confidence.copy()
    confidence[0, 2:] = 0.02
    doubtful = replace(tracks, world_m=tracks.world_m * [1.0, 1.0, -1.0], confidence=confidence)
    assert find_reversed_depths(doubtful, CAMERA, MODELS).reversed[0].tolist() == [True] * 2 + [False] * (FRAMES - 2)


def test_tracks_without_3d_landmarks_come_back() -> None:
    flat = replace(tracks_of_fists(True), world_m=None)
    signs = find_reversed_depths(flat, CAMERA, MODELS)
    assert not signs.reversed.any() and with_depths(flat, CAMERA, signs) is flat
