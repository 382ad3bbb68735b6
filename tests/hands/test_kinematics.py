"""The landmark points and their Jacobian against a plain per-frame loop and finite differences."""

import numpy as np
import pytest
import torch

from hmpfit.geometry.rotations import exp
from hmpfit.hands.kinematics import (
    BETAS_COLUMNS,
    COLUMNS,
    ORIENT_COLUMNS,
    POSE_COLUMNS,
    TRANSL_COLUMNS,
    Kinematics,
    landmark_jacobian,
    landmark_points,
    pose_joints,
)
from hmpfit.skeleton import MANO_PARENTS, OPENPOSE_21, mano, openpose


def made_up_hand(dtype: torch.dtype = torch.float64) -> Kinematics:
    """A hand of roughly MANO's proportions: fingers along -x, thumb on the +z side, random shape directions."""
    generator = torch.Generator().manual_seed(7)
    joints = torch.zeros(16, 3, dtype=torch.float64)
    for finger, z, base in (
        ("index", 0.025, 0.09),
        ("middle", 0.0, 0.095),
        ("ring", -0.02, 0.088),
        ("pinky", -0.04, 0.075),
    ):
        for part, length in ((1, 0.0), (2, 0.035), (3, 0.06)):
            joints[mano(f"{finger}{part}")] = torch.tensor([-base - length, 0.002 * part, z])
    for part, place in ((1, (-0.025, -0.01, 0.03)), (2, (-0.05, -0.015, 0.055)), (3, (-0.075, -0.02, 0.075))):
        joints[mano(f"thumb{part}")] = torch.tensor(place)
    attached = [mano(name.replace("_tip", "3")) for name in OPENPOSE_21]
    points = torch.stack([joints[joint] for joint in attached])
    for row, name in enumerate(OPENPOSE_21):
        if name.endswith("_tip"):
            points[row] += torch.tensor([-0.022, -0.003, 0.004])
    points = points + 0.003 * torch.randn(21, 3, generator=generator, dtype=torch.float64)
    joints_dirs = 0.002 * torch.randn(16, 3, 10, generator=generator, dtype=torch.float64)
    points_dirs = joints_dirs[attached] + 0.0005 * torch.randn(21, 3, 10, generator=generator, dtype=torch.float64)
    return Kinematics(joints, joints_dirs, points, points_dirs, torch.tensor(attached)).to(dtype)


def random_state(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(*shape, *size, generator=generator, dtype=torch.float64).to(dtype)

    return [exp(draw(3)), exp(0.6 * draw(15, 3)), draw(10), 0.3 * draw(3)]


def by_loop(kin: Kinematics, global_R, hand_R, betas, transl):
    rest = kin.joints + torch.einsum("jcs,s->jc", kin.joints_dirs, betas)
    rest_points = kin.points + torch.einsum("jcs,s->jc", kin.points_dirs, betas)
    world = []
    for joint, parent in enumerate(MANO_PARENTS):
        local = torch.eye(4, dtype=rest.dtype)
        local[:3, :3] = global_R if parent < 0 else hand_R[joint - 1]
        local[:3, 3] = rest[joint] if parent < 0 else rest[joint] - rest[parent]
        world.append(local if parent < 0 else world[parent] @ local)
    points = [
        (world[j] @ torch.cat((rest_points[p] - rest[j], torch.ones(1, dtype=rest.dtype))))[:3] + transl
        for p, j in enumerate(kin.point_joint.tolist())
    ]
    return torch.stack(points), torch.stack([w[:3, 3] + transl for w in world])


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3)])
def test_points_equal_the_plain_loop(shape):
    kin = made_up_hand()
    state = random_state(shape)
    points, joints = landmark_points(kin, *state), pose_joints(kin, *state).positions
    flat = [x.reshape(-1, *x.shape[len(shape) :]) for x in state]
    for row in range(flat[0].shape[0]):
        expected, expected_joints = by_loop(kin, *(x[row] for x in flat))
        torch.testing.assert_close(points.reshape(-1, 21, 3)[row], expected)
        torch.testing.assert_close(joints.reshape(-1, 16, 3)[row], expected_joints)


def test_wrist_lies_at_rest_wrist_plus_transl_whatever_the_rotation():
    kin = made_up_hand()
    global_R, hand_R, betas, transl = random_state((4,))
    wrist = pose_joints(kin, global_R, hand_R, betas, transl).positions[:, 0]
    torch.testing.assert_close(wrist, kin.rest(betas)[0][:, 0] + transl)


def test_positive_turn_about_z_bends_a_finger_towards_the_palm():
    kin = made_up_hand()
    eye, zero = torch.eye(3, dtype=torch.float64), torch.zeros(10, dtype=torch.float64)
    angles = torch.zeros(15, 3, dtype=torch.float64)
    angles[mano("index1") - 1, 2] = 0.5
    flat = landmark_points(kin, eye, exp(torch.zeros_like(angles)), zero, zero[:3])
    bent = landmark_points(kin, eye, exp(angles), zero, zero[:3])
    tip = openpose("index_tip")
    assert bent[tip, 1] < flat[tip, 1] - 0.02  # the palm faces -y
    unmoved = [i for i, name in enumerate(OPENPOSE_21) if not name.startswith("index")]
    torch.testing.assert_close(bent[unmoved], flat[unmoved])


def perturb(global_R, hand_R, betas, transl, step):
    """Take a step [..., 61] in the columns of `landmark_jacobian`."""
    turned = exp(step[..., ORIENT_COLUMNS]) @ global_R
    bent = hand_R @ exp(step[..., POSE_COLUMNS].unflatten(-1, (15, 3)))
    return turned, bent, betas + step[..., BETAS_COLUMNS], transl + step[..., TRANSL_COLUMNS]


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_jacobian_is_the_finite_difference(shape):
    kin = made_up_hand()
    state = random_state(shape, seed=3)
    points, jacobian = landmark_jacobian(kin, *state)
    torch.testing.assert_close(points, landmark_points(kin, *state))
    h = 1e-6
    for column in range(COLUMNS):
        step = torch.zeros(*shape, COLUMNS, dtype=torch.float64)
        step[..., column] = h
        ahead, behind = landmark_points(kin, *perturb(*state, step)), landmark_points(kin, *perturb(*state, -step))
        torch.testing.assert_close(jacobian[..., column], (ahead - behind) / (2 * h), atol=1e-8, rtol=1e-6)


def test_shared_betas_broadcast_over_frames_and_autograd_agrees():
    kin = made_up_hand()
    global_R, hand_R, betas, transl = random_state((6,), seed=5)
    shared = betas[0].clone().requires_grad_()
    points, jacobian = landmark_jacobian(kin, global_R, hand_R, shared.detach(), transl)
    assert jacobian.shape == (6, 21, 3, COLUMNS)
    weights = torch.randn(points.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (landmark_points(kin, global_R, hand_R, shared, transl) * weights).sum().backward()
    torch.testing.assert_close(shared.grad, torch.einsum("tpcs,tpc->s", jacobian[..., 6:16], weights))


def test_single_precision_follows_double():
    exact = landmark_jacobian(made_up_hand(), *random_state((4,)))
    single = landmark_jacobian(made_up_hand(torch.float32), *random_state((4,), dtype=torch.float32))
    for a, b in zip(single, exact):
        assert a.dtype == torch.float32
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=2e-6)
