"""MANO's forward pass in torch: shape -> pose -> skin, and the shorter way to 16 joints and five fingertips.

Written here rather than taken from smplx because the fit needs 21 points, not a mesh (about 170 times less work);
tests hold it equal to `smplx.MANO`. Source: Romero et al. 2017, "Embodied Hands", equations 2-4.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hmpfit.geometry.rotations import exp
from hmpfit.hands.model import HandModel, HandModels
from hmpfit.records import MIRROR_X, HandMotion, PosedHands
from hmpfit.skeleton import MANO21_TO_OPENPOSE, MANO_JOINTS, MANO_PARENTS


@dataclass(frozen=True)
class PosedTensors:
    """Meters, in the frame of `global_orient` and `transl`."""

    joints: Tensor  # [..., 21, 3] OpenPose order: 16 joints and the skinned fingertips
    vertices: Tensor | None  # [..., V, 3]


class ManoHand:
    """A hand model as tensors of one dtype and device, in right-hand form."""

    def __init__(
        self, model: HandModel, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> None:
        def tensor(array: np.ndarray) -> Tensor:
            return torch.as_tensor(array, dtype=dtype, device=device)

        self.model = model
        self.v_template, self.shapedirs = tensor(model.v_template), tensor(model.shapedirs)
        self.weights, self.posedirs = tensor(model.weights), tensor(model.posedirs)
        self.bends = bool(np.any(model.posedirs))  # the open hand has no pose correctives
        self.faces = torch.as_tensor(model.faces, device=device)
        # Regressing joints from shaped vertices is linear in betas, so it is done once.
        self.rest_joints = tensor(model.J_regressor @ model.v_template)
        self.joint_dirs = tensor(np.einsum("jv,vck->jck", model.J_regressor, model.shapedirs))
        tips = np.asarray(model.tip_vertices)
        self.tip_template, self.tip_dirs = tensor(model.v_template[tips]), tensor(model.shapedirs[tips])
        self.tip_weights = tensor(model.weights[tips])
        self.tip_posedirs = tensor(model.posedirs.reshape(-1, len(model.v_template), 3)[:, tips].reshape(-1, 15))
        self.order = torch.tensor(MANO21_TO_OPENPOSE, device=device)

    def forward(
        self, global_orient: Tensor, hand_pose: Tensor, betas: Tensor, transl: Tensor, vertices: bool = True
    ) -> PosedTensors:
        """Pose and skin the hand; leading axes broadcast, so that betas [10] serve frames [T, ...].

        global_orient [..., 3] and hand_pose [..., 15, 3] are absolute axis-angle (radians, zero = the flat template),
        betas [..., 10], transl [..., 3] meters; the wrist comes to J0(betas) + transl, as in smplx. With
        `vertices=False` only the five fingertips are skinned.
        """
        leading = np.broadcast_shapes(  # torch's own imports sympy
            global_orient.shape[:-1], hand_pose.shape[:-2], betas.shape[:-1], transl.shape[:-1]
        )
        root, fingers = global_orient[..., None, :].expand(*leading, 1, 3), hand_pose.expand(*leading, 15, 3)
        return self.from_rotations(exp(torch.cat((root, fingers), dim=-2)), betas, transl, vertices)

    def from_rotations(self, rotations: Tensor, betas: Tensor, transl: Tensor, vertices: bool = True) -> PosedTensors:
        """Do as `forward` with rotation matrices [..., 16, 3, 3], the root's first: for networks that give these."""
        joints = self.rest_joints + torch.einsum("jck,...k->...jc", self.joint_dirs, betas)
        world_R, world_t = _chain(rotations, joints)
        offsets = world_t - (world_R @ joints[..., None])[..., 0]
        if vertices:
            rest = self.v_template + torch.einsum("vck,...k->...vc", self.shapedirs, betas)
            skinned = self._skin(rest, self.posedirs, self.weights, rotations, world_R, offsets)
            tips = skinned[..., torch.as_tensor(self.model.tip_vertices, device=skinned.device), :]
        else:
            rest = self.tip_template + torch.einsum("vck,...k->...vc", self.tip_dirs, betas)
            tips = self._skin(rest, self.tip_posedirs, self.tip_weights, rotations, world_R, offsets)
        points = torch.cat((world_t, tips), dim=-2)[..., self.order, :] + transl[..., None, :]
        return PosedTensors(points, skinned + transl[..., None, :] if vertices else None)

    __call__ = forward

    def skin(self, rotations: Tensor, betas: Tensor, transl: Tensor) -> Tensor:
        """Return the vertices [..., V, 3] of `forward` for joint rotations as matrices [..., 16, 3, 3], wrist first."""
        joints = self.rest_joints + torch.einsum("jck,...k->...jc", self.joint_dirs, betas)
        world_R, world_t = _chain(rotations, joints)
        offsets = world_t - (world_R @ joints[..., None])[..., 0]
        rest = self.v_template + torch.einsum("vck,...k->...vc", self.shapedirs, betas)
        return self._skin(rest, self.posedirs, self.weights, rotations, world_R, offsets) + transl[..., None, :]

    def _skin(
        self, rest: Tensor, posedirs: Tensor, weights: Tensor, rotations: Tensor, world_R: Tensor, offsets: Tensor
    ) -> Tensor:
        if self.bends:
            feature = rotations[..., 1:, :, :] - torch.eye(3, dtype=rest.dtype, device=rest.device)
            rest = rest + (feature.flatten(-3) @ posedirs).unflatten(-1, (-1, 3))
        blended = weights @ torch.cat((world_R.flatten(-2), offsets), dim=-1)  # [..., V, 12]
        turn, shift = blended[..., :9].unflatten(-1, (3, 3)), blended[..., 9:]
        return (turn @ rest[..., None])[..., 0] + shift


def _chain(rotations: Tensor, joints: Tensor) -> tuple[Tensor, Tensor]:
    """Walk the tree: global rotations [..., 16, 3, 3] and positions [..., 16, 3]; the root turns about J0."""
    joints = joints.expand(*rotations.shape[:-3], *joints.shape[-2:])
    world_R, world_t = [rotations[..., 0, :, :]], [joints[..., 0, :]]
    for joint in range(1, len(MANO_JOINTS)):
        parent = MANO_PARENTS[joint]
        bone = joints[..., joint, :] - joints[..., parent, :]
        world_t.append(world_t[parent] + (world_R[parent] @ bone[..., None])[..., 0])
        world_R.append(world_R[parent] @ rotations[..., joint, :, :])
    return torch.stack(world_R, dim=-3), torch.stack(world_t, dim=-2)


def pose_hands(models: HandModels, motion: HandMotion, vertices: bool = False) -> PosedHands:
    """Pose every hand of a motion, left hands as left hands, in float64.

    Positions are in the frame of the motion (the camera's), meters; vertices only when asked for.
    """
    upright = motion.mirrored(~motion.is_right)
    sides = [
        _pose_side(models.side(bool(is_right)), upright, hand, vertices)
        for hand, is_right in enumerate(motion.is_right)
    ]
    flip = np.where(motion.is_right[:, None], 1.0, MIRROR_X)[:, None, None, :]
    joints = np.stack([joints for joints, _ in sides]) * flip
    if not vertices:
        return PosedHands(joints)
    return PosedHands(joints, np.stack([mesh for _, mesh in sides if mesh is not None]) * flip)


def _pose_side(model: HandModel, motion: HandMotion, hand: int, vertices: bool) -> tuple[np.ndarray, np.ndarray | None]:
    fields = (motion.global_orient, motion.hand_pose, motion.betas, motion.transl)
    orient, pose, betas, transl = (torch.as_tensor(field[hand], dtype=torch.float64) for field in fields)
    posed = ManoHand(model, torch.float64).forward(orient, pose, betas, transl, vertices)
    return posed.joints.numpy(), None if posed.vertices is None else posed.vertices.numpy()
