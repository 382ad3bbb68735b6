"""The fit's fast path: where the 21 landmark points of a hand lie, and their exact derivatives.

Kept apart from `mano.py` because nothing is skinned here: each point is rigidly attached to one joint, so that a frame
costs 16 small matrix products instead of a mesh, and the Jacobian is written down instead of differentiated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hmpfit.skeleton import FINGERS, MANO_PARENTS, OPENPOSE_21, chain, mano

if TYPE_CHECKING:
    from hmpfit.hands.model import HandModel

ORIENT_COLUMNS = slice(0, 3)
TRANSL_COLUMNS = slice(3, 6)
BETAS_COLUMNS = slice(6, 16)
POSE_COLUMNS = slice(16, 61)
COLUMNS = 61

_CHAINS = torch.tensor([chain(finger) for finger in FINGERS])  # [5, 3] MANO-16 indices, base first
_WALKED = torch.argsort(torch.cat((torch.zeros(1, dtype=torch.long), _CHAINS.T.flatten())))  # level order to MANO-16
# The MANO-16 joint that each OpenPose-21 point is attached to: a joint to itself, a tip to its finger's last joint.
POINT_JOINT = tuple(
    chain(name.removesuffix("_tip"))[2] if name.endswith("_tip") else mano(name) for name in OPENPOSE_21
)


def _moves() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """List the 45 pairs (point, hand joint 0..14) in which the joint moves the point."""
    points, joints = [], []
    for point, joint in enumerate(POINT_JOINT):
        while joint > 0:
            points.append(point)
            joints.append(joint - 1)
            joint = MANO_PARENTS[joint]
    return tuple(points), tuple(joints)


PAIR_POINT, PAIR_JOINT = _moves()
_OF_MODEL = ("joints", "joints_dirs", "points", "points_dirs")


@dataclass(frozen=True)
class Kinematics:
    """A hand model reduced to its rest positions in meters, linear in betas; right-hand form, OpenPose order of points.

    `points` are the rest joints and fingertips plus the model's landmark offsets: the places that a detector calls
    "index1", "thumb_tip" and so on, rigid in the frame of the joint `point_joint`. Where the hands of a batch have
    models of their own (`stack`) the arrays have leading axes [B, 1], for hands and frames.
    """

    joints: Tensor  # [16, 3]
    joints_dirs: Tensor  # [16, 3, 10]
    points: Tensor  # [21, 3]
    points_dirs: Tensor  # [21, 3, 10]
    point_joint: Tensor  # [21] long

    @staticmethod
    def of(
        model: "HandModel",
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        landmark_offsets: bool = True,
    ) -> "Kinematics":
        """Reduce a hand model; without `landmark_offsets` the points are the plain joints and tips."""
        regressor = torch.as_tensor(model.J_regressor, dtype=torch.float64)
        template = torch.as_tensor(model.v_template, dtype=torch.float64)
        shapes = torch.as_tensor(model.shapedirs, dtype=torch.float64)
        tips = torch.as_tensor(model.tip_vertices, dtype=torch.long)
        joints, joints_dirs = regressor @ template, torch.einsum("jv,vcs->jcs", regressor, shapes)
        order = torch.tensor([mano(name) for name in OPENPOSE_21])
        points = torch.cat((joints, template[tips]))[order]
        points_dirs = torch.cat((joints_dirs, shapes[tips]))[order]
        if landmark_offsets:
            points = points + torch.as_tensor(model.landmark_offsets, dtype=torch.float64)
        return Kinematics(joints, joints_dirs, points, points_dirs, torch.tensor(POINT_JOINT)).to(dtype, device)

    @staticmethod
    def stack(hands: Sequence["Kinematics"]) -> "Kinematics":
        """Return one record for a batch of hands that have models of their own."""
        arrays = {name: torch.stack([getattr(hand, name) for hand in hands])[:, None] for name in _OF_MODEL}
        return Kinematics(**arrays, point_joint=hands[0].point_joint)

    def rows(self, rows: Tensor) -> "Kinematics":
        """Return some hands of a batch; one model for all of them stays as it is."""
        if self.joints.ndim == 2:
            return self
        return replace(self, **{name: getattr(self, name)[rows] for name in _OF_MODEL})

    def to(self, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> "Kinematics":
        """Return the same hand in another dtype or on another device."""
        dtype = dtype or self.joints.dtype
        return Kinematics(
            joints=self.joints.to(dtype=dtype, device=device),
            joints_dirs=self.joints_dirs.to(dtype=dtype, device=device),
            points=self.points.to(dtype=dtype, device=device),
            points_dirs=self.points_dirs.to(dtype=dtype, device=device),
            point_joint=self.point_joint.to(device=device),
        )

    def rest(self, betas: Tensor) -> tuple[Tensor, Tensor]:
        """Return rest joints [..., 16, 3] and rest points [..., 21, 3] of the shape betas [..., 10]."""
        joints = self.joints + (self.joints_dirs @ betas[..., None, :, None])[..., 0]
        return joints, self.points + (self.points_dirs @ betas[..., None, :, None])[..., 0]


@dataclass(frozen=True)
class PosedJoints:
    """Global rotations and positions of the 16 joints, in the camera frame."""

    rotations: Tensor  # [..., 16, 3, 3]
    positions: Tensor  # [..., 16, 3]


def pose_joints(kin: Kinematics, global_R: Tensor, hand_R: Tensor, betas: Tensor, transl: Tensor) -> PosedJoints:
    """Pose the 16 joints: global_R [..., 3, 3], hand_R [..., 15, 3, 3], betas [..., 10], transl [..., 3] meters.

    Leading axes broadcast. The wrist lies at J0(betas) + transl, as in smplx.
    """
    rest, _ = kin.rest(betas)
    return _pose(rest, global_R, hand_R, transl)


def landmark_points(kin: Kinematics, global_R: Tensor, hand_R: Tensor, betas: Tensor, transl: Tensor) -> Tensor:
    """Return the 21 landmark points [..., 21, 3] in camera-frame meters, OpenPose order.

    Shapes as in `pose_joints`. Differentiable by autograd; each point is rigid, pose blend shapes play no part.
    """
    return joints_and_points(kin, global_R, hand_R, betas, transl)[1]


def joints_and_points(
    kin: Kinematics, global_R: Tensor, hand_R: Tensor, betas: Tensor, transl: Tensor
) -> tuple[PosedJoints, Tensor]:
    """Return the posed joints of `pose_joints` and the points of `landmark_points` together."""
    rest, rest_points = kin.rest(betas)
    posed = _pose(rest, global_R, hand_R, transl)
    arm = rest_points - rest[..., kin.point_joint, :]
    turned = (posed.rotations[..., kin.point_joint, :, :] @ arm[..., None])[..., 0]
    return posed, posed.positions[..., kin.point_joint, :] + turned


def landmark_jacobian(
    kin: Kinematics, global_R: Tensor, hand_R: Tensor, betas: Tensor, transl: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the landmark points [..., 21, 3] and their derivatives [..., 21, 3, 61].

    Columns: global orientation as a left perturbation about the wrist, R <- exp(d) R (3); translation (3); betas (10);
    the 15 hand joints as right perturbations in their own frames, R_j <- R_j exp(d) (45), MANO order.
    The slices `ORIENT_COLUMNS`, `TRANSL_COLUMNS`, `BETAS_COLUMNS`, `POSE_COLUMNS` name them.
    """
    rest, rest_points = kin.rest(betas)
    posed = _pose(rest, global_R, hand_R, transl)
    of_point = posed.rotations[..., kin.point_joint, :, :]
    arm = rest_points - rest[..., kin.point_joint, :]
    points = posed.positions[..., kin.point_joint, :] + (of_point @ arm[..., None])[..., 0]

    jacobian = points.new_zeros((*points.shape, COLUMNS))
    x, y, z = (points - posed.positions[..., :1, :]).unbind(-1)
    for row, column, value in ((0, 1, z), (0, 2, -y), (1, 0, -z), (1, 2, x), (2, 0, y), (2, 1, -x)):
        jacobian[..., row, column] = value  # d x arm
    for axis in range(3):
        jacobian[..., axis, TRANSL_COLUMNS.start + axis] = 1.0

    shape = _pose_shape(kin, posed.rotations)
    own = kin.points_dirs - kin.joints_dirs[..., kin.point_joint, :, :]
    jacobian[..., BETAS_COLUMNS] = shape[..., kin.point_joint, :, :] + of_point @ own

    _, _, moved, mover = _tables(points.device)
    levers = points[..., moved, :] - posed.positions[..., mover + 1, :]
    axes = posed.rotations[..., mover + 1, :, :]
    columns = torch.linalg.cross(axes, levers[..., None].expand_as(axes), dim=-2)
    by_joint = jacobian[..., POSE_COLUMNS].unflatten(-1, (15, 3))
    by_joint[..., moved, :, mover, :] = columns.movedim(-3, 0)
    return points, jacobian


@cache
def _tables(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the chains, the way back to MANO-16 order, and the pairs on a device; copied there once."""
    return (
        _CHAINS.to(device),
        _WALKED.to(device),
        torch.tensor(PAIR_POINT).to(device),
        torch.tensor(PAIR_JOINT).to(device),
    )


def _pose(rest: Tensor, global_R: Tensor, hand_R: Tensor, transl: Tensor) -> PosedJoints:
    """Walk the five chains side by side, three levels deep."""
    root = rest[..., :1, :] + transl[..., None, :]
    rotation, position, parent_rest = global_R[..., None, :, :], root, rest[..., :1, :]
    rotations, positions = [rotation], [position]
    chains, walked, _, _ = _tables(rest.device)
    for level in chains.T:
        here = rest[..., level, :]
        position = position + (rotation @ (here - parent_rest)[..., None])[..., 0]
        rotation = rotation @ hand_R[..., level - 1, :, :]
        rotations.append(rotation)
        positions.append(position)
        parent_rest = here
    shape = np.broadcast_shapes(*(r.shape[:-3] for r in rotations), *(p.shape[:-2] for p in positions))
    return PosedJoints(
        torch.cat([r.expand(*shape, *r.shape[-3:]) for r in rotations], dim=-3)[..., walked, :, :],
        torch.cat([p.expand(*shape, *p.shape[-2:]) for p in positions], dim=-2)[..., walked, :],
    )


def _pose_shape(kin: Kinematics, rotations: Tensor) -> Tensor:
    """Return the derivatives of the posed joint positions by betas, [..., 16, 3, 10]."""
    chains, walked, _, _ = _tables(rotations.device)
    dirs = kin.joints_dirs
    moved = dirs[..., :1, :, :].expand(*rotations.shape[:-3], 1, 3, dirs.shape[-1])
    parent = chains.new_zeros(5)
    levels = [moved]
    for level in chains.T:
        moved = moved + rotations[..., parent, :, :] @ (dirs[..., level, :, :] - dirs[..., parent, :, :])
        levels.append(moved)
        parent = level
    return torch.cat(levels, dim=-3)[..., walked, :, :]
