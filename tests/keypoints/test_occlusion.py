"""Covered landmarks: the layers that tell of them, and what is dropped because of them."""

import numpy as np
import pytest

from hmpfit.keypoints.landmarker_files import load_landmarker
from hmpfit.keypoints.network_taps import tap
from hmpfit.keypoints.networks import LandmarkNetwork, at_points
from hmpfit.keypoints.occlusion import OcclusionClassifier, drop_covered, weigh_covered
from hmpfit.keypoints.regions import Regions
from hmpfit.recipes.schema import OcclusionThresholds
from hmpfit.records import KeypointTracks

LIMITS = OcclusionThresholds(landmark=0.6, landmarks=6.0, over_s=0.1)


def tracks(covered: np.ndarray) -> KeypointTracks:
    """Tracks of one hand, all of it seen, with a probability of cover [T, 21]."""
    frames = len(covered)
    generator = np.random.default_rng(0)
    return KeypointTracks(
        xy_px=generator.uniform(0, 100, (1, frames, 21, 2)),
        confidence=np.ones((1, frames, 21)),
        seen=np.ones((1, frames), bool),
        is_right=np.array([True]),
        times_s=np.arange(frames) / 30,
        world_m=generator.normal(size=(1, frames, 21, 3)),
        covered=covered[None],
    )


def test_frames_with_many_covered_landmarks_are_unseen_and_remembered_as_sighted():
    covered = np.full((30, 21), 0.05)
    covered[10:20] = 0.9
    found = drop_covered(tracks(covered), LIMITS)
    assert found.seen[0, :8].all() and found.seen[0, 22:].all() and not found.seen[0, 10:20].any()
    assert found.sighted is not None and found.sighted.all()


def test_one_frame_alone_is_no_cover():
    covered = np.full((30, 21), 0.05)
    covered[10] = 0.9
    assert drop_covered(tracks(covered), LIMITS).seen[0, :9].all()


def test_single_covered_landmarks_lose_their_evidence_only():
    covered = np.full((10, 21), 0.05)
    covered[:, [4, 8]] = 0.95
    given = tracks(covered)
    found = drop_covered(given, LIMITS)
    assert found.seen.all() and found.world_m is not None
    assert np.isnan(found.xy_px[0, :, [4, 8]]).all() and (found.confidence[0, :, [4, 8]] == 0).all()
    rest = np.setdiff1d(np.arange(21), [4, 8])
    assert (found.xy_px[0][:, rest] == given.xy_px[0][:, rest]).all()


def test_a_hand_that_would_lose_every_frame_keeps_them():
    assert drop_covered(tracks(np.full((10, 21), 0.5)), LIMITS).seen.all()


def test_covered_landmarks_and_frames_keep_a_share_of_their_weight():
    covered = np.full((30, 21), 0.05)
    covered[10:20] = 0.9
    covered[25:, [4, 8]] = 0.95
    given = tracks(covered)
    found = weigh_covered(given, LIMITS)
    assert found.weight is not None and found.seen.all() and (found.xy_px == given.xy_px).all()
    assert (found.weight[0, 12:18] == LIMITS.weight).all() and (found.weight[0, :8] == 1).all()
    assert (np.flatnonzero(found.weight[0, 27] < 1) == [4, 8]).all()


def test_tracks_that_nobody_judged_stay():
    bare = KeypointTracks(**{**vars(tracks(np.zeros((3, 21)))), "covered": None})
    assert drop_covered(bare, LIMITS) is bare and weigh_covered(bare, LIMITS) is bare


def test_a_feature_map_is_read_between_its_cells():
    cells = np.arange(16.0).reshape(4, 4, 1)
    assert at_points(cells, np.array([[0.125, 0.125]]))[0, 0] == 0
    assert at_points(cells, np.array([[0.25, 0.25]]))[0, 0] == pytest.approx(2.5)
    assert at_points(cells, np.array([[2.0, 2.0]]))[0, 0] == 15


def test_reading_inner_layers_changes_no_answer():
    model = load_landmarker().landmarks
    image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    region = Regions(np.array([[160.0, 120.0]]), np.array([200.0]), np.array([0.3]))
    plain, tapped = (LandmarkNetwork(model, with_features=asked)(image, region) for asked in (False, True))
    for name in ("xy_px", "world_m", "presence", "right"):
        assert (getattr(plain, name) == getattr(tapped, name)).all()
    assert plain.features is None and tapped.features is not None
    chance = OcclusionClassifier.load()(tapped.features)
    assert chance.shape == (1, 21) and (chance > 0).all() and (chance < 1).all()


def test_a_file_that_is_no_network_has_no_layers():
    assert tap(b"no network") is None
