"""Recordings of joint positions: both layouts, even timing, and poses that bring the recorded joints back."""

import numpy as np
import pytest
import torch

from hmpfit.datasets.joint_motion import JointMotion, read_motion, recording_to_hand_pose, resample
from hmpfit.errors import InputError
from hmpfit.geometry.rotations import exp
from hmpfit.hands.joint_limits import REST_POSE, to_anatomical
from hmpfit.hands.kinematics import Kinematics, landmark_points
from hmpfit.hands.model_files import load_hand_models
from hmpfit.skeleton import MANO_HAND_JOINTS, OPENPOSE_WRIST


@pytest.fixture(scope="module")
def kin() -> Kinematics:
    return Kinematics.of(load_hand_models().right, landmark_offsets=False)


def curling(frames: int) -> torch.Tensor:
    """Fingers that close from relaxed by up to 40 degrees, thumb still."""
    pose = torch.as_tensor(REST_POSE).repeat(frames, 1, 1)
    close = 0.7 * torch.linspace(0, 1, frames, dtype=torch.float64)
    for name in ("index1", "index2", "middle2"):
        pose[:, MANO_HAND_JOINTS.index(name), 2] += close
    return pose


def recorded(kin: Kinematics, pose: torch.Tensor, size: float, is_right: bool) -> np.ndarray:
    frames = len(pose)
    turn = exp(torch.linspace(0, 1, frames, dtype=torch.float64)[:, None] * torch.tensor([0.4, 1.0, -0.3]).double())
    place = torch.tensor([0.1, 0.2, 0.5], dtype=torch.float64).expand(frames, 3)
    joints = landmark_points(kin, turn, exp(pose), torch.zeros(10, dtype=torch.float64), place).numpy() * size
    return joints if is_right else joints * [-1, 1, 1]


@pytest.mark.parametrize("is_right", [True, False])
def test_poses_of_a_bigger_hand_are_found_whichever_side(kin, tmp_path, is_right):
    pose = curling(40)
    path = tmp_path / "grip.npz"
    np.savez(path, joints_m=recorded(kin, pose, 1.2, is_right), fps=30.0, is_right=is_right)
    (motion,) = read_motion(path)
    assert motion.is_right == is_right and motion.fps == pytest.approx(30.0)
    found = recording_to_hand_pose(motion, kin)
    assert found.valid.all() and found.hand_pose.dtype == np.float32
    assert np.nanmax(found.residual_mm) < 1.0
    error = np.rad2deg(np.abs(to_anatomical(found.hand_pose.astype(np.float64)) - to_anatomical(pose.numpy())))
    assert error[:, :12, 0].max() < 4.0  # flexion of the four fingers


def test_a_pair_of_hands_is_two_motions_the_left_one_first(kin, tmp_path):
    left, right = recorded(kin, curling(30), 1.0, False), recorded(kin, curling(30), 1.0, True)
    np.savez(tmp_path / "sign.npz", joints_m=np.stack((left, right)), fps=60.0)
    found = read_motion(tmp_path / "sign.npz")
    assert [(one.name, one.is_right, one.fps) for one in found] == [
        ("sign:left", False, pytest.approx(60)),
        ("sign:right", True, pytest.approx(60)),
    ]
    np.testing.assert_array_equal(found[0].joints_m, left)
    np.savez(tmp_path / "three.npz", joints_m=np.zeros((3, 30, 21, 3)), fps=60.0)
    with pytest.raises(InputError, match=r"\[2, T, 21, 3\] for a left and a right hand"):
        read_motion(tmp_path / "three.npz")


def test_gaps_are_left_out_and_short_ones_bridged(kin):
    joints = recorded(kin, curling(60), 1.0, True)
    times = np.arange(60) / 60.0
    valid = np.ones(60, dtype=bool)
    valid[10:13] = False  # 67 ms between neighbors: bridged
    valid[30:45] = False
    motion = JointMotion("made", joints, valid, times, True, valid.astype(float), np.ones(21))
    even = resample(motion, 30.0)
    assert len(even.times_s) == 30
    np.testing.assert_array_equal(np.flatnonzero(~even.valid), np.arange(15, 23)[even.times_s[15:23] > 29.01 / 60])
    assert np.isnan(even.joints_m[~even.valid]).all() and np.isfinite(even.joints_m[even.valid]).all()
    np.testing.assert_allclose(even.joints_m[12], joints[24], atol=1e-9)
    assert np.abs(even.joints_m[6] - joints[12]).max() < 2e-3


def test_leap_layout_names_both_hands_and_guesses_the_wrist(tmp_path):
    generator = np.random.default_rng(0)
    joints = np.full((8, 2, 5, 5, 3), np.nan)
    joints[:, 1] = generator.normal(size=(8, 5, 5, 3)) * 30 + 100
    joints[3, 1] = 0
    path = tmp_path / "leap.npz"
    np.savez(path, joints_mm=joints, confidence=np.ones((8, 2)), timestamp_us=np.arange(8) * 9000.0)
    (motion,) = read_motion(path)
    assert motion.is_right and motion.name == "leap:right"
    np.testing.assert_array_equal(motion.valid, np.arange(8) != 3)
    np.testing.assert_allclose(motion.joints_m[0, 1:], joints[0, 1, :, 1:].reshape(20, 3) * 1e-3)
    assert motion.reliance[OPENPOSE_WRIST] < 0.5 and (motion.reliance[1:] == 1).all()
    assert motion.fps == pytest.approx(1e6 / 9000)


def test_real_recording_comes_back_within_a_millimetre(kin, inputs):
    (motion,) = read_motion(inputs / "motion" / "leap" / "pinch.npz")
    found = recording_to_hand_pose(motion, kin)
    assert found.valid.all()
    assert np.nanmedian(found.residual_mm) < 1.0
    angles = np.rad2deg(to_anatomical(found.hand_pose.astype(np.float64)))
    bends = angles[:, MANO_HAND_JOINTS.index("index2"), 0]
    assert bends.min() < 25 and bends.max() > 45  # the recorded bones turn by 20 to 49 degrees


def test_other_files_are_refused_with_the_layouts_that_work(tmp_path):
    np.savez(tmp_path / "poses.npz", poses=np.zeros((3, 156)))
    with pytest.raises(InputError, match=r"joints_m.*joints_mm.*found: poses"):
        read_motion(tmp_path / "poses.npz")
    np.savez(tmp_path / "short.npz", joints_m=np.zeros((3, 16, 3)))
    with pytest.raises(InputError, match=r"\[T, 21, 3\]"):
        read_motion(tmp_path / "short.npz")
    (tmp_path / "text.npz").write_text("no")
    with pytest.raises(InputError, match="not a readable npz"):
        read_motion(tmp_path / "text.npz")
