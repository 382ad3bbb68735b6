"""Calibrated deviations: what they must obey whatever the table holds, and the table that ships."""

import json
from dataclasses import replace

import numpy as np

from hmpfit.fitting.deviation import NAMES, TABLE, calibrate, deviation_features
from hmpfit.hands.hand_size import ADULT_STD
from hmpfit.records import KeypointTracks
from hmpfit.skeleton import OPENPOSE_WRIST

FRAMES = 12


def hand(seen: np.ndarray) -> tuple[np.ndarray, KeypointTracks]:
    rng = np.random.default_rng(0)
    joints = np.array([0.0, 0.0, 0.6]) + 0.05 * rng.normal(size=(1, FRAMES, 21, 3))
    px = 600 * joints[..., :2] / joints[..., 2:] + 320
    tracks = KeypointTracks(
        xy_px=np.where(seen[None, :, None, None], px + 1.0, np.nan),
        confidence=np.where(seen[None, :, None], 0.8, 0.0) * np.ones((1, FRAMES, 21)),
        seen=seen[None],
        is_right=np.array([True]),
        times_s=np.arange(FRAMES) / 30,
    )
    return joints, tracks


def test_the_wrist_is_known_from_itself_and_the_camera_frame_has_size_and_focal_length() -> None:
    joints, tracks = hand(np.ones(FRAMES, dtype=bool))
    found = calibrate(np.full((1, FRAMES, 21), 2.0), joints, tracks, 0.0, ADULT_STD)
    assert (found.wrist_mm[..., OPENPOSE_WRIST] == 0).all() and (np.delete(found.wrist_mm, 0, axis=-1) > 1).all()
    distance_mm = 1e3 * np.linalg.norm(joints[:, :, OPENPOSE_WRIST], axis=-1)
    assert (found.camera_mm >= ADULT_STD * distance_mm[..., None]).all()
    unsure = calibrate(np.full((1, FRAMES, 21), 2.0), joints, tracks, 0.45, ADULT_STD)
    assert (unsure.camera_mm > 0.45 * distance_mm[..., None]).all()
    np.testing.assert_array_equal(unsure.wrist_mm, found.wrist_mm)


def test_it_grows_where_nothing_was_seen() -> None:
    seen = np.ones(FRAMES, dtype=bool)
    seen[4:9] = False
    joints, tracks = hand(seen)
    joints[:] = joints[:, :1]  # one pose, so that only the gap differs
    tracks = replace(tracks, times_s=tracks.times_s * 10)
    found = calibrate(np.ones((1, FRAMES, 21)), joints, tracks, 0.0, ADULT_STD).wrist_mm[0, :, 8]
    assert found[6] > found[4] > found[3] and found[6] > found[8]


def test_unknown_stays_unknown() -> None:
    joints, tracks = hand(np.ones(FRAMES, dtype=bool))
    found = calibrate(np.full((1, FRAMES, 21), np.nan), joints, tracks, 0.0, ADULT_STD)
    assert np.isnan(found.camera_mm).all() and np.isnan(found.wrist_mm).all()


def test_features_are_finite_and_named() -> None:
    joints, tracks = hand(np.arange(FRAMES) > 3)
    linear = np.where(np.arange(21) > 4, 2.0, np.nan) * np.ones((1, FRAMES, 1))
    values = deviation_features(joints, tracks, linear)
    assert values.shape == (1, FRAMES, 21, len(NAMES)) and np.isfinite(values).all()
    assert set(json.loads(TABLE.read_text())["weights"]) == set(NAMES)


def test_a_far_hand_is_less_known() -> None:
    """The share of the distance is the same, so the deviation grows with it."""
    joints, tracks = hand(np.ones(FRAMES, dtype=bool))
    near = calibrate(np.zeros((1, FRAMES, 21)), joints, tracks, 0.0, ADULT_STD)
    far = calibrate(np.zeros((1, FRAMES, 21)), joints + np.array([0, 0, 6.0]), tracks, 0.0, ADULT_STD)
    assert (far.camera_mm[..., 0] > 5 * near.camera_mm[..., 0]).all()


def test_a_covered_landmark_is_marked_and_its_place_in_the_picture_does_not_matter() -> None:
    """It has none: read as (0, 0) it lay a picture away from the hand."""
    joints, tracks = hand(np.ones(FRAMES, dtype=bool))
    xy = tracks.xy_px.copy()
    xy[0, 3, 8] = np.nan
    linear = np.ones((1, FRAMES, 21))
    without = deviation_features(joints, replace(tracks, xy_px=xy), linear)
    marked = without - deviation_features(joints, tracks, linear)
    changed = np.argwhere(marked != 0)
    np.testing.assert_array_equal(changed, [[0, 3, 8, NAMES.index("no_landmark")]])
