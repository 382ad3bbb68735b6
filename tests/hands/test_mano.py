"""The forward pass against smplx, both sides, and what a mirrored hand means."""

import numpy as np
import pytest
import torch
from smplx.lbs import lbs

from hmpfit.geometry.rotations import exp
from hmpfit.hands.left_right import mirror_arrays
from hmpfit.hands.mano import ManoHand, pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_hand_models
from hmpfit.records import HandMotion
from hmpfit.skeleton import MANO16_TO_OPENPOSE, MANO_PARENTS, OPENPOSE_21
from tests.model_fixtures import invented_left, invented_model, smplx_layer

TIPS = [OPENPOSE_21.index(f"{f}_tip") for f in ("thumb", "index", "middle", "ring", "pinky")]


def random_inputs(frames: int, dtype: torch.dtype, seed: int = 0) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(seed)
    orient = 2 * torch.randn(frames, 3, generator=g, dtype=torch.float64)
    pose = 0.6 * torch.randn(frames, 15, 3, generator=g, dtype=torch.float64)
    betas = 2 * torch.randn(frames, 10, generator=g, dtype=torch.float64)
    transl = torch.randn(frames, 3, generator=g, dtype=torch.float64)
    return tuple(t.to(dtype) for t in (orient, pose, betas, transl))


# smplx rounds the model to float32 and adds 1e-8 to every angle, so float64 cannot agree better than that here.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 2e-8)])
@pytest.mark.parametrize("frames", [1, 7])
@pytest.mark.parametrize("source", ["open", "invented"])
def test_equals_smplx(source: str, frames: int, dtype: torch.dtype, tolerance: float) -> None:
    model = load_hand_models("open").right if source == "open" else invented_model()
    orient, pose, betas, transl = random_inputs(frames, dtype)
    betas = betas if source == "open" else betas / 4
    transl = transl * 0.1
    theirs = smplx_layer(model, True, dtype)(
        global_orient=orient, hand_pose=pose.flatten(1), betas=betas, transl=transl
    )
    ours = ManoHand(model, dtype).forward(orient, pose, betas, transl)
    assert ours.vertices is not None and ours.vertices.dtype == dtype
    assert (ours.vertices - theirs.vertices).abs().max() < tolerance
    assert (ours.joints[:, list(MANO16_TO_OPENPOSE)] - theirs.joints).abs().max() < tolerance
    assert (ours.joints[:, TIPS] - theirs.vertices[:, model.tip_vertices]).abs().max() < tolerance


def test_equals_smplx_to_rounding_when_given_matrices() -> None:
    """smplx rounds a model's arrays to float32 on the way in; its skinning, given float64, must agree fully."""
    model = invented_model()
    orient, pose, betas, _ = random_inputs(4, torch.float64)
    matrices = exp(torch.cat((orient[:, None], pose), dim=1))
    vertices, joints = lbs(
        betas,
        matrices,
        *(torch.as_tensor(a) for a in (model.v_template, model.shapedirs, model.posedirs, model.J_regressor)),
        torch.tensor(MANO_PARENTS),
        torch.as_tensor(model.weights),
        pose2rot=False,
    )
    ours = ManoHand(model, torch.float64).forward(orient, pose, betas, torch.zeros(3, dtype=torch.float64))
    assert ours.vertices is not None
    assert (ours.vertices - vertices).abs().max() < 1e-12
    assert (ours.joints[:, list(MANO16_TO_OPENPOSE)] - joints).abs().max() < 1e-12


def test_joints_alone_are_the_same_and_broadcasts() -> None:
    hand = ManoHand(invented_model(), torch.float64)
    orient, pose, betas, transl = random_inputs(6, torch.float64)
    full = hand.forward(orient, pose, betas[:1], transl).joints
    assert torch.allclose(hand(orient, pose, betas[0], transl, vertices=False).joints, full, atol=1e-12)
    batched = hand(orient.view(2, 3, 3), pose.view(2, 3, 15, 3), betas[0], transl.view(2, 3, 3), vertices=False).joints
    assert torch.allclose(batched.view(6, 21, 3), full, atol=1e-12)
    many_shapes = hand.forward(orient[0], pose[0], betas, transl[0])
    assert many_shapes.vertices is not None and many_shapes.vertices.shape[:2] == (6, len(hand.v_template))
    single = hand.forward(orient[0], pose[0], betas[4], transl[0])
    assert single.joints.shape == (21, 3)
    assert torch.allclose(many_shapes.joints[4], single.joints, atol=1e-12)


def test_wrist_is_rest_wrist_plus_transl() -> None:
    hand = ManoHand(load_hand_models("open").right, torch.float64)
    orient, pose, betas, transl = random_inputs(4, torch.float64)
    wrist = hand.rest_joints[0] + torch.einsum("ck,tk->tc", hand.joint_dirs[0], betas) + transl
    assert torch.allclose(hand(orient, pose, betas, transl, vertices=False).joints[:, 0], wrist, atol=1e-12)


def test_left_hand_equals_smplx_left() -> None:
    """A left file, turned into right-hand form, posed, mirrored back, is what smplx makes of the left file itself."""
    right, left = invented_model(), invented_left()
    orient, pose, betas, transl = random_inputs(5, torch.float64)
    mirrored = type(right)(**{**vars(left), **mirror_arrays(vars(left))})
    motion = HandMotion(
        global_orient=torch.stack((orient, orient)).numpy(),
        hand_pose=torch.stack((pose, pose)).numpy(),
        transl=torch.stack((transl, transl)).numpy(),
        betas=torch.stack((betas[0], betas[0])).numpy(),
        is_right=np.array([False, True]),
        status=np.full((2, 5), 2, dtype=np.uint8),
    )
    posed = pose_hands(HandModels(right=right, left=mirrored), motion, vertices=True)
    theirs = smplx_layer(left, False)(
        global_orient=orient, hand_pose=pose.flatten(1), betas=betas[:1].expand(5, 10), transl=transl
    )
    assert posed.vertices is not None
    assert np.abs(posed.vertices[0] - theirs.vertices.numpy()).max() < 2e-8
    assert np.abs(posed.joints[0][:, list(MANO16_TO_OPENPOSE)] - theirs.joints.numpy()).max() < 2e-8
    assert np.abs(posed.joints[1] - posed.joints[0]).max() > 0.01
    assert pose_hands(HandModels(right, mirrored), motion).vertices is None


def test_gradient_by_finite_differences() -> None:
    hand = ManoHand(invented_model(), torch.float64)
    inputs = tuple(t.requires_grad_() for t in random_inputs(1, torch.float64))
    assert torch.autograd.gradcheck(lambda *a: hand(*a, vertices=False).joints.sum(-1), inputs, atol=1e-6)
