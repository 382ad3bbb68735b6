"""A frame is detected where enough landmarks are trusted, whatever the detector says."""

import numpy as np

from hmpfit.records import DETECTED, EXTRAPOLATED, INTERPOLATED, KeypointTracks
from hmpfit.results.jitter import high_pass_rms
from hmpfit.results.trust import status_of_trust, trusted_frames


def tracks(confident: list[int]) -> KeypointTracks:
    """Tracks of one hand with so many landmarks of some confidence in each frame."""
    frames = len(confident)
    confidence = (np.arange(21) < np.array(confident)[:, None]).astype(float)[None] * 0.5
    xy = np.zeros((1, frames, 21, 2))
    return KeypointTracks(xy, confidence, np.ones((1, frames), bool), np.array([True]), np.arange(frames) / 30.0)


def test_five_trusted_landmarks_make_a_frame_trusted():
    assert trusted_frames(tracks([21, 5, 4, 0, 6])).tolist() == [[True, True, False, False, True]]


def test_where_no_confidence_was_measured_every_known_landmark_is_trusted():
    assert trusted_frames(tracks([0, 0, 0])).all()


def test_frames_without_trust_are_filled_in_between_and_beyond_the_ends():
    status = np.full((1, 6), DETECTED, np.uint8)
    trusted = np.array([[0, 1, 0, 1, 1, 0]], bool)
    found = status_of_trust(status, trusted)[0].tolist()
    assert found == [EXTRAPOLATED, DETECTED, INTERPOLATED, DETECTED, DETECTED, EXTRAPOLATED]


def test_frames_that_were_filled_in_never_become_detected():
    status = np.array([[DETECTED, INTERPOLATED, DETECTED, EXTRAPOLATED]], np.uint8)
    assert (status_of_trust(status, np.ones((1, 4), bool)) == status).all()


def test_a_straight_path_does_not_tremble_and_a_shaking_one_does():
    straight = np.stack((np.arange(40.0), 2 * np.arange(40.0)), axis=1)
    assert high_pass_rms(straight) < 1e-9
    shaken = straight + np.where(np.arange(40) % 2, 1.0, -1.0)[:, None] * [3.0, 0.0]
    assert abs(high_pass_rms(shaken) - 3.0 * 12 / 11) < 1e-9  # the mean of eleven is one eleventh the other way
    assert high_pass_rms(straight[:5]) is None
