"""Frames that one hand cannot have are left out, and all others are kept."""

import numpy as np

from hmpfit.initializers.consistency import consistent_frames
from hmpfit.recipes.schema import SpeedSettings
from hmpfit.records import DETECTED, HandMotion

SPEEDS = SpeedSettings(turn_rad_s=15.0, turn_rad=0.45, move_m_s=4.0, move_share=0.25)


def motion(frames: int, turn_rad_s: float = 3.0) -> HandMotion:
    times = np.arange(frames) / 30
    orient = np.zeros((1, frames, 3))
    orient[0, :, 2] = turn_rad_s * times
    transl = np.tile([0.0, 0.0, 0.6], (1, frames, 1))
    status = np.full((1, frames), DETECTED, np.uint8)
    return HandMotion(orient, np.zeros((1, frames, 15, 3)), transl, np.zeros((1, 10)), np.array([True]), status)


def chosen(moved: HandMotion, confidence: float = 0.5) -> np.ndarray:
    frames = moved.status.shape[1]
    return consistent_frames(moved, np.full((1, frames, 21), confidence), np.arange(frames) / 30, SPEEDS)


def test_a_hand_that_turns_as_hands_do_keeps_every_frame():
    assert chosen(motion(60)).all()
    assert chosen(motion(60, turn_rad_s=14.0)).all()
    assert chosen(motion(60), confidence=0.0).all()


def test_a_palm_that_flips_for_two_frames_loses_those_two():
    flipped = motion(60, turn_rad_s=0.0)
    flipped.global_orient[0, 20:22, 1] = np.pi * 0.9
    kept = chosen(flipped)
    assert (np.flatnonzero(~kept[0]) == [20, 21]).all()


def test_a_jump_to_another_place_and_back_is_left_out():
    jumped = motion(60, turn_rad_s=0.0)
    jumped.transl[0, 30] += [0.5, 0, 0]
    assert np.flatnonzero(~chosen(jumped)[0]).tolist() == [30]


def test_confidence_decides_between_two_poses():
    flipped = motion(8, turn_rad_s=0.0)
    flipped.global_orient[0, ::2, 1] = np.pi * 0.9
    confidence = np.full((1, 8, 21), 0.1)
    confidence[0, 1::2] = 0.8
    kept = consistent_frames(flipped, confidence, np.arange(8) / 30, SPEEDS)
    assert kept[0, 1::2].all() and not kept[0, ::2].any()


def test_undetected_frames_are_never_chosen():
    seen = motion(20)
    seen.status[0, 5:9] = 0
    kept = chosen(seen)
    assert not kept[0, 5:9].any() and kept[0, :5].all() and kept[0, 9:].all()
