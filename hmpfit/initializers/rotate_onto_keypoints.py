"""Turn and place whole hands to meet their 2D keypoints, fingers held still: six numbers a frame, all frames at once.

Separate from inverse kinematics, which moves fingers and needs 3D landmarks: here a network has said how they are held,
and roughly how the hand is turned.
"""

import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.hands.kinematics import Kinematics, landmark_jacobian
from hmpfit.records import Floats

TURN_STD, STEPS = 0.6, 14  # of a network's turn, radians
RAY_STD, OUTLIER = 0.03, 4.0  # of a keypoint, in diagonals of the hand; Geman-McClure scale in these


def rotate_onto_keypoints(
    kin: Kinematics, turn: Tensor, pose: Tensor, betas: Tensor, places: Floats, rays: Floats, weights: Floats
) -> tuple[Tensor, Floats]:
    """Return turns [N, 3, 3] and places [N, 3] after both were corrected by rays (x / z, y / z) [N, 21, 2].

    turn [N, 3, 3], pose [N, 15, 3, 3], betas [10], places [N, 3], weights [N, 21]; float64. Damped Gauss-Newton with
    Geman-McClure weights; the given turn counts as an observation of `TURN_STD`. Frames without weights keep theirs.
    """
    where, seen, w = torch.as_tensor(places), torch.as_tensor(rays), torch.as_tensor(weights)
    known = w.sum(-1) > 0
    count = len(turn)
    std = (RAY_STD * torch.linalg.norm(seen.amax(1) - seen.amin(1), dim=-1)).clamp_min(1e-4)[:, None]
    first, best = turn, where.new_full((count,), torch.inf)
    kept_turn, kept_where = turn, where
    kept_normal, kept_slope = where.new_zeros(count, 6, 6), where.new_zeros(count, 6)
    damping = where.new_full((count,), 1e-3)
    faint = torch.diag(where.new_tensor([TURN_STD**-2] * 3 + [1e-6] * 3))
    for _ in range(STEPS):
        points, jacobian = landmark_jacobian(kin, turn, pose, betas, where)
        depth = points[..., 2:].clamp_min(1e-2)
        uv = points[..., :2] / depth
        moved = (jacobian[..., :2, :6] - uv[..., None] * jacobian[..., 2:, :6]) / depth[..., None]
        squared = ((uv - seen) / std[..., None]).square().sum(-1)
        away = rotations.log(turn @ first.transpose(-1, -2))
        cost = (w * OUTLIER**2 * squared / (OUTLIER**2 + squared)).sum(-1) + (away / TURN_STD).square().sum(-1)
        robust = w / (1 + squared / OUTLIER**2).square() / std.square()
        slope = torch.einsum("nkei,nke,nk->ni", moved, uv - seen, robust)
        slope[:, :3] += away / TURN_STD**2
        better = known & (cost < best)
        chosen = better[:, None]
        best = torch.where(better, cost, best)
        kept_turn = torch.where(chosen[..., None], turn, kept_turn)
        kept_where = torch.where(chosen, where, kept_where)
        kept_slope = torch.where(chosen, slope, kept_slope)
        normal = torch.einsum("nkei,nkej,nk->nij", moved, moved, robust) + faint
        kept_normal = torch.where(chosen[..., None], normal, kept_normal)
        damping = torch.where(better, damping * 0.3, damping * 10).clamp(1e-6, 1e6)
        scale = torch.diagonal(kept_normal, dim1=-2, dim2=-1).clamp_min(1e-9)
        step = -torch.linalg.solve(kept_normal + torch.diag_embed(damping[:, None] * scale), kept_slope)
        turn, where = rotations.exp(step[:, :3]) @ kept_turn, kept_where + step[:, 3:]
    return kept_turn, kept_where.numpy()
