"""Errors of two hands on a batch, as the papers take them: about the middle knuckle, plain and scaled, and aligned.

Separate from `evaluation`, which scores runs against datasets and lies above the regressors.
"""

import torch
from torch import Tensor

from hmpfit.geometry.alignment import similarity_aligned
from hmpfit.skeleton import OPENPOSE_MIDDLE_MCP, OPENPOSE_WRIST

MM = 1e3


def joint_errors(joints: Tensor, true: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """Return mean errors in mm over hands that count, joints [..., 21, 3] in meters, valid [...] 1 or 0.

    `mpjpe_mm` about the middle knuckle, `mpjpe_scaled_mm` with the prediction's middle metacarpal made as long as the
    true one (IntagHand's), `pa_mpjpe_mm` after the best similarity. A batch in which no hand counts gives NaN.
    """
    mine, goal = about_knuckle(joints, joints), about_knuckle(true, true)
    size = (metacarpal(true) / metacarpal(joints).clamp_min(1e-6))[..., None, None]
    aligned = similarity_aligned(mine.cpu().double().numpy(), goal.cpu().double().numpy())
    return {
        "mpjpe_mm": mean_mm((mine - goal).norm(dim=-1).mean(-1), valid),
        "mpjpe_scaled_mm": mean_mm((size * mine - goal).norm(dim=-1).mean(-1), valid),
        "pa_mpjpe_mm": mean_mm((torch.as_tensor(aligned).to(goal) - goal).norm(dim=-1).mean(-1), valid),
    }


def about_knuckle(points: Tensor, joints: Tensor) -> Tensor:
    """Return points [..., N, 3] from the middle knuckle of joints [..., 21, 3]."""
    return points - joints[..., OPENPOSE_MIDDLE_MCP, None, :]


def metacarpal(joints: Tensor) -> Tensor:
    """Return the lengths [...] from wrist to middle knuckle of joints [..., 21, 3]."""
    return (joints[..., OPENPOSE_MIDDLE_MCP, :] - joints[..., OPENPOSE_WRIST, :]).norm(dim=-1)


def mean_mm(meters: Tensor, valid: Tensor) -> Tensor:
    """Return the mean in mm of the entries that count, NaN when none does."""
    return MM * torch.where(valid > 0, meters, torch.zeros_like(meters)).sum() / (valid > 0).sum()
