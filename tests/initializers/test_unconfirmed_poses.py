"""Covered frames that no view confirms tell no pose; all others keep theirs."""

from dataclasses import replace

import numpy as np
import pytest

from hmpfit.initializers.unconfirmed_poses import without_unconfirmed_poses
from hmpfit.records import DETECTED, INTERPOLATED, HandMotion, KeypointTracks

FRAMES, BAD = 9, 4
LEAST = 0.03


def motion() -> HandMotion:
    """Return a right hand that turns steadily, and in one frame lies across."""
    orient = np.zeros((1, FRAMES, 3))
    orient[0, :, 2] = 0.1 * np.arange(FRAMES)
    orient[0, BAD] = (1.5, 0.0, 0.0)
    status = np.full((1, FRAMES), DETECTED, np.uint8)
    transl = np.tile([0.0, 0.0, 0.6], (1, FRAMES, 1))
    return HandMotion(orient, np.zeros((1, FRAMES, 15, 3)), transl, np.zeros((1, 10)), np.array([True]), status)


def tracks(weight: float = 0.1, confidence: float = 0.0) -> KeypointTracks:
    shape = (1, FRAMES, 21)
    weights, confidences = np.ones(shape), np.full(shape, 0.5)
    weights[0, BAD], confidences[0, BAD] = weight, confidence
    return KeypointTracks(
        xy_px=np.ones((*shape, 2)), confidence=confidences, world_m=np.ones((*shape, 3)), is_right=np.array([True]),
        seen=np.ones(shape[:2], bool), times_s=np.arange(FRAMES) / 30, weight=weights,
    )  # fmt: skip


def test_the_pose_of_a_covered_frame_that_no_view_confirms_is_interpolated_and_its_pixels_stay():
    moved, evidence = without_unconfirmed_poses(motion(), tracks(), LEAST)
    np.testing.assert_allclose(moved.global_orient[0, :, 2], 0.1 * np.arange(FRAMES), atol=1e-9)
    assert moved.status[0, BAD] == INTERPOLATED and (np.delete(moved.status[0], BAD) == DETECTED).all()
    assert evidence.world_m is not None and np.isnan(evidence.world_m[0, BAD]).all()
    assert np.isfinite(np.delete(evidence.world_m, BAD, axis=1)).all()
    assert np.isfinite(evidence.xy_px).all() and evidence.seen.all()


@pytest.mark.parametrize("given", [tracks(weight=1.0), tracks(confidence=0.1), replace(tracks(), weight=None)])
def test_frames_that_are_open_or_confirmed_keep_their_poses(given: KeypointTracks):
    moved, evidence = without_unconfirmed_poses(motion(), given, LEAST)
    assert moved.global_orient[0, BAD, 0] == 1.5
    assert np.isfinite(evidence.world_m).all()


def test_a_hand_of_which_nothing_else_is_known_keeps_its_poses():
    given = tracks()
    nothing = replace(given, weight=np.full_like(given.weight, 0.1), confidence=np.zeros_like(given.confidence))
    moved, evidence = without_unconfirmed_poses(motion(), nothing, LEAST)
    assert moved.global_orient[0, BAD, 0] == 1.5 and np.isfinite(evidence.world_m).all()
