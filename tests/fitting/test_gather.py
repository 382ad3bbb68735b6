"""What the fit takes from the records: 3D landmarks carry no size, whatever their depths."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hmpfit.fitting.batching.gather import ClipToFit, gather_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.records import KeypointTracks
from hmpfit.synthesis.made_keypoints import make_keypoints
from tests.fitting.test_fit_batch import sequences

MODELS = load_hand_models()


def gathered(clip: ClipToFit) -> np.ndarray:
    """Return the hand-centered landmarks [H, T, 21, 3] of the evidence."""
    return gather_hands(clip, torch.float64, "cpu")[0].world_m.numpy()


def with_world(clip: ClipToFit, factor: float, deeper: float) -> ClipToFit:
    world = clip.tracks.world_m
    assert world is not None
    return replace(clip, tracks=replace(clip.tracks, world_m=world * factor * np.array([1.0, 1.0, deeper])))


@pytest.mark.parametrize("number", [0, 1])  # the second is a left hand seen through a lens
def test_landmarks_of_any_size_and_depth_spread_across_the_view_as_the_pixels_do(number: int) -> None:
    clip = sequences(16, 16)[number]
    exact = gathered(with_world(clip, 1.0, 1.0))
    for factor, deeper in ((0.8, 1.0), (1.3, 1.0), (1.0, 2.0), (0.7, 0.5)):
        found = gathered(with_world(clip, factor, deeper))
        # deeper along the optical axis, and not quite along the line of sight
        np.testing.assert_allclose(found[..., :2], exact[..., :2], rtol=0.02, atol=1e-3)
        np.testing.assert_allclose(found[..., 2], deeper * exact[..., 2], rtol=0.02, atol=1e-3)


def test_exact_landmarks_of_an_exact_guess_keep_their_size() -> None:
    made = make_keypoints(MODELS, 12, 30.0, 0)
    tracks: KeypointTracks = made.tracks
    assert tracks.world_m is not None
    found = gathered(ClipToFit(made.truth, tracks, made.camera, MODELS))
    known = np.isfinite(tracks.world_m)
    np.testing.assert_allclose(found[known], tracks.world_m[known], rtol=0.1, atol=2e-3)


def test_a_finger_that_is_never_seen_changes_nothing_much() -> None:
    clip = sequences(8)[0]
    xy = clip.tracks.xy_px.copy()
    xy[:, :, 3] = np.nan
    found, whole = gathered(replace(clip, tracks=replace(clip.tracks, xy_px=xy))), gathered(clip)
    np.testing.assert_allclose(found, whole, rtol=0.03)


def test_landmarks_keep_their_size_where_too_few_tell_it() -> None:
    clip = sequences(8)[0]
    xy = clip.tracks.xy_px.copy()
    xy[:, :, 6:] = np.nan
    assert clip.tracks.world_m is not None
    found = gathered(replace(clip, tracks=replace(clip.tracks, xy_px=xy)))
    np.testing.assert_array_equal(found, np.nan_to_num(clip.tracks.world_m))
