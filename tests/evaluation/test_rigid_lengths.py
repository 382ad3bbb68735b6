"""Lengths of a hand that are read from trembling joints: the ruler's, whatever noise and pose."""

import numpy as np
import pytest

from hmpfit.evaluation.real_truth import real_errors
from hmpfit.evaluation.rigid_lengths import bone_length_ratio, rigid_lengths, ruler_length
from hmpfit.hands.kinematics import Kinematics
from hmpfit.hands.model_files import load_hand_models
from hmpfit.skeleton import BONES, openpose

FRAMES = 400
REST = Kinematics.of(load_hand_models("open").right, landmark_offsets=False).points.numpy()
CHAIN = [openpose(name) for name in ("wrist", "middle1", "middle2", "middle3", "middle_tip")]


def still(frames: int = FRAMES) -> np.ndarray:
    return np.repeat(REST[None], frames, axis=0)


def trembling(std_m: float, seed: int = 0) -> np.ndarray:
    return still() + np.random.default_rng(seed).normal(0, std_m, (FRAMES, 21, 3))


def straight(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(points[CHAIN], axis=0), axis=1).sum())


def test_lengths_of_a_rigid_hand_are_its_bones() -> None:
    parents, children = (list(side) for side in zip(*BONES))
    assert np.allclose(rigid_lengths(still()), np.linalg.norm(REST[children] - REST[parents], axis=1))
    assert ruler_length(still()) == pytest.approx(straight(REST))


def test_noise_makes_bones_longer_and_the_ruler_does_not_follow() -> None:
    joints = trembling(0.003)
    plain = np.median([straight(frame) for frame in joints])
    assert plain > 1.01 * straight(REST)
    assert ruler_length(joints) == pytest.approx(straight(REST), rel=0.004)


def test_errors_of_pose_and_place_change_the_aligned_size_and_not_the_length() -> None:
    one, other = trembling(0.006, 1), trembling(0.006, 2)
    scored = real_errors(one, other)
    assert scored.size_ratio > 1.02  # aligning to what is only similar shrinks
    assert scored.length_ratio == pytest.approx(1.0, abs=0.005)
    wrong = still(20)
    wrong[:, 13:21] = wrong[:, 13:21, [0, 2, 1]]  # two fingers bent, every bone as long as it was
    for base in (13, 17):
        wrong[:, base : base + 4] += REST[base] - wrong[:, [base]]
    assert abs(real_errors(wrong, still(20)).size_ratio - 1) > 0.02
    assert bone_length_ratio(wrong, still(20)) == pytest.approx(1.0)
    assert bone_length_ratio(1.1 * wrong, still(20)) == pytest.approx(1.1)


def test_unknown_joints_are_left_out_or_filled_with_the_average_hands() -> None:
    joints = still(20)
    joints[:, openpose("middle_tip")] = np.nan
    assert np.isnan(rigid_lengths(joints)).sum() == 1
    assert ruler_length(joints) == pytest.approx(straight(REST), rel=0.02)
    assert bone_length_ratio(1.2 * joints, still(20)) == pytest.approx(1.2)
    joints[:, openpose("wrist")] = np.nan
    assert np.isnan(ruler_length(joints))
    assert np.isnan(bone_length_ratio(np.full((4, 21, 3), np.nan), still(4)))
