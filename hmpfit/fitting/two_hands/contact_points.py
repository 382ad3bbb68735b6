"""Points fixed to joints: where contact vertices lie as a hand moves, and the derivatives of that."""

import torch
from torch import Tensor

from hmpfit.interfaces.term import Evidence, Motion
from hmpfit.skeleton import MANO16_TO_OPENPOSE, MANO_PARENTS


def joint_rotations(motion: Motion) -> Tensor:
    """Return the global rotations [B, T, 16, 3, 3] of the joints, MANO order."""
    turns = [motion.global_R]
    for joint in range(1, len(MANO_PARENTS)):
        turns.append(turns[MANO_PARENTS[joint]] @ motion.hand_R[..., joint - 1, :, :])
    return torch.stack(turns, dim=-3)


def contact_points(motion: Motion, points: Tensor, evidence: Evidence) -> Tensor:
    """Return where the planes' vertices are now, [B, T, K, 3] from their hand's wrist: each fixed to its joint."""
    arm, start = _lever_arms(joint_rotations(motion), points, evidence)
    return start + arm - points[..., :1, :]


def contact_jacobian(motion: Motion, points: Tensor, d_points: Tensor, evidence: Evidence) -> Tensor:
    """Return the derivatives [B, T, K, 3, C] of `contact_points` by the C columns of d_points [B, T, 21, 3, C].

    Columns as in `kinematics.landmark_jacobian`; C = 16 leaves the finger joints out.
    """
    turns = joint_rotations(motion)
    arm, _ = _lever_arms(turns, points, evidence)
    assert evidence.contact_joint is not None
    owner = evidence.contact_joint.long()
    columns = d_points.shape[-1]
    at = joint_landmark(owner)[..., None, None].expand(-1, -1, -1, 3, columns)
    out = d_points.gather(2, at) - d_points[:, :, :1]
    eye = torch.eye(3, dtype=points.dtype, device=points.device)
    out[..., :3] += torch.linalg.cross(eye.expand(*arm.shape, 3), arm[..., None].expand(*arm.shape, 3), dim=-2)
    if columns > 16:
        moves = _MOVING_JOINTS.to(points)[owner]  # [B, T, K, 15]
        axes = turns[:, :, None, 1:].expand(*arm.shape[:-1], 15, 3, 3)
        lever = arm[..., None, :, None].expand(*arm.shape[:-1], 15, 3, 3)
        turned = torch.linalg.cross(axes, lever, dim=-2) * moves[..., None, None]
        out[..., 16:] += turned.movedim(-3, -2).flatten(-2)
    return out


def _lever_arms(turns: Tensor, points: Tensor, evidence: Evidence) -> tuple[Tensor, Tensor]:
    assert evidence.contact_joint is not None and evidence.contact_offset is not None
    owner = evidence.contact_joint.long()
    start = points.gather(2, joint_landmark(owner)[..., None].expand(*owner.shape, 3))
    turn = turns.gather(2, owner[..., None, None].expand(*owner.shape, 3, 3))
    return (turn @ evidence.contact_offset[..., None])[..., 0], start


def joint_landmark(owner: Tensor) -> Tensor:
    """Return the landmark point that lies at a joint."""
    return torch.tensor(MANO16_TO_OPENPOSE, device=owner.device)[owner]


def _moving_joints() -> Tensor:
    """Return which of the 15 finger joints move each of the 16 joints' frames, [16, 15]."""
    out = torch.zeros(16, 15)
    for joint in range(1, 16):
        if MANO_PARENTS[joint] > 0:
            out[joint] = out[MANO_PARENTS[joint]]
        out[joint, joint - 1] = 1.0
    return out


_MOVING_JOINTS = _moving_joints()
