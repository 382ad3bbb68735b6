"""Frames without evidence between others with: what a Gaussian process must do whatever the numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hmpfit.fitting.unseen_frames import bridge_unseen, gaps, process_weights
from hmpfit.geometry import rotations
from hmpfit.recipes.schema import UnseenFrameSettings
from tests.made_problem import make

OPTIONS = UnseenFrameSettings(
    length_s=1.5,
    noise=1e-4,
    span_s=0.5,
    weak_noise=0.3,
    place_noise=0.01,
    blur_noise=0.01,
    least_trusted=5,
    least_seen=20,
)


def test_gaps_have_a_seen_frame_on_either_side():
    seen = np.array([0, 1, 0, 0, 1, 1, 0, 1, 0, 0], bool)
    assert list(gaps(seen)) == [(2, 4), (6, 7)]
    assert list(gaps(np.zeros(4, bool))) == []


def test_shares_sum_to_one_and_reproduce_a_constant_and_nearly_a_smooth_path():
    given = np.r_[np.arange(0, 0.5, 1 / 30), np.arange(1.0, 1.5, 1 / 30)]
    asked = np.arange(0.5, 1.0, 1 / 30)
    share = process_weights(given, asked, np.full(len(given), 1e-4), 1.5)
    assert np.allclose(share.sum(1), 1, atol=1e-9)
    curve = lambda t: np.sin(2 * t)  # noqa: E731
    straight = np.interp(asked, given, curve(given))
    assert np.abs(share @ curve(given) - curve(asked)).max() < 0.5 * np.abs(straight - curve(asked)).max()


def test_a_given_frame_keeps_its_value():
    times = np.arange(0, 1, 1 / 30)
    values = np.random.default_rng(0).normal(size=len(times))
    smooth = process_weights(times, times, np.full(len(times), 1e-9), 1.5) @ values
    assert np.allclose(smooth, values, atol=1e-3)


@pytest.fixture
def case():
    made = make(hands=2, frames=12)
    return made.truth, made.evidence


def test_only_frames_between_seen_ones_change(case):
    motion, evidence = case
    frames = evidence.seen.shape[1]
    seen = torch.ones_like(evidence.seen)
    seen[0, 2:5] = 0
    seen[0, frames - 2 :] = 0
    bridged = bridge_unseen(motion, replace(evidence, seen=seen), OPTIONS)
    changed = (bridged.hand_R != motion.hand_R).flatten(2).any(-1)
    assert changed[0, 2:5].all()
    changed[0, 2:5] = False
    assert not changed.any()
    eye = bridged.hand_R.transpose(-1, -2) @ bridged.hand_R
    assert torch.allclose(eye, torch.eye(3, dtype=eye.dtype).expand_as(eye), atol=1e-5)


def test_covered_landmarks_let_fingers_follow_and_leave_the_wrist_in_its_place(case):
    motion, evidence = case
    covered = replace(evidence, seen=torch.ones_like(evidence.seen))
    covered.seen[0, 4:7] = 0.1
    out = bridge_unseen(motion, covered, OPTIONS)
    assert (out.transl == motion.transl).all()
    assert (out.hand_R[0, 4:7] != motion.hand_R[0, 4:7]).any() and (out.hand_R[1] == motion.hand_R[1]).all()


def test_a_covered_frame_that_turns_alone_is_turned_back_and_a_covered_stretch_keeps_its_turn(case):
    """Landmarks that no view confirms: one frame of them is noise (cups), a stretch is what is known of the hand."""
    motion, evidence = case
    still = motion.global_R[:, :1].expand_as(motion.global_R).clone()
    aside = still[0, 0] @ rotations.exp(torch.tensor([0.0, 1.0, 0.0], dtype=still.dtype))
    left = {}
    for first, last in ((5, 6), (3, 9)):
        turned = still.clone()
        turned[0, first:last] = aside
        covered = replace(evidence, seen=torch.ones_like(evidence.seen))
        covered.seen[0, first:last] = 0.1
        out = bridge_unseen(replace(motion, global_R=turned), covered, replace(OPTIONS, turn_noise=0.0001))
        left[last - first] = rotations.log(still[0, 5].T @ out.global_R[0, 5]).norm().item()
    assert left[1] < 0.4 and left[6] > 0.6


def test_a_hand_at_rest_stays_at_rest(case):
    motion, evidence = case
    still = replace(
        motion,
        global_R=motion.global_R[:, :1].expand_as(motion.global_R),
        transl=motion.transl[:, :1].expand_as(motion.transl),
        hand_R=motion.hand_R[:, :1].expand_as(motion.hand_R),
    )
    seen = torch.ones_like(evidence.seen)
    seen[:, 2:5] = 0
    bridged = bridge_unseen(still, replace(evidence, seen=seen), OPTIONS)
    assert torch.allclose(bridged.transl, still.transl, atol=1e-6)
    turned = rotations.log(still.hand_R.transpose(-1, -2) @ bridged.hand_R)
    assert turned.abs().max() < 1e-3
