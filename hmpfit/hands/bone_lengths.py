"""Hand shape from measured bones: the betas, one scale where asked, or a skeleton stretched to the measurement.

Separate from the pose solver because lengths do not depend on pose, so that shape can be settled first.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from hmpfit.geometry.light_roma import roma
from hmpfit.hands.kinematics import POINT_JOINT, Kinematics
from hmpfit.skeleton import BONES, FINGERS, OPENPOSE_WRIST, chain, openpose


@dataclass(frozen=True)
class Shape:
    """A shape, the factor `scale` by which the measured lengths exceed the model's, and how much was known."""

    betas: Tensor  # [10]
    scale: float


def lengths(points: Tensor) -> Tensor:
    """Return the 20 bone lengths [..., 20] of points [..., 21, 3] in OpenPose order."""
    parents, children = (torch.tensor(side, device=points.device) for side in zip(*BONES))
    return (points[..., children, :] - points[..., parents, :]).norm(dim=-1)


def robust_lengths(points: Tensor, weights: Tensor) -> Tensor:
    """Return the median bone lengths [20] over frames, points [N, 21, 3]; NaN for a bone that no frame shows.

    `weights` [N, 21]: a bone counts in a frame where both of its ends have weight above zero.
    """
    parents, children = (torch.tensor(side, device=points.device) for side in zip(*BONES))
    known = (weights[:, children] > 0) & (weights[:, parents] > 0)
    measured = torch.where(known, lengths(points), torch.full_like(known, torch.nan, dtype=points.dtype))
    return measured.nanmedian(dim=0).values


def length_ratio(kin: Kinematics, betas: Tensor, points: Tensor, weights: Tensor) -> float:
    """Return by how much the bones of a hand of shape betas [10] are longer than those of points [N, 21, 3].

    The median over the 20 bones of `robust_lengths`; 1 where no bone is known. A detector's hand-centered landmarks
    know nothing of a hand's size: multiplied by this they are evidence of direction and proportion alone.
    """
    measured = robust_lengths(points, weights)
    known = torch.isfinite(measured) & (measured > 0)
    if not bool(known.any()):
        return 1.0
    return float((log_lengths(kin, betas)[0][known] - measured[known].log()).median().exp())


def fit_shape(kin: Kinematics, measured: Tensor, relative_std: float, free_scale: bool, steps: int = 8) -> Shape:
    """Fit betas, under their unit normal prior, to measured bone lengths [20] in meters (NaN = unknown).

    `relative_std` is how far a measured length strays, as a share of itself: the larger, the closer the shape stays to
    the mean hand. With `free_scale` one factor on all lengths is fitted besides, with no pull to 1.
    """
    known = torch.isfinite(measured)
    betas = kin.points.new_zeros(10)
    log_scale = kin.points.new_zeros(1)
    if not bool(known.any()):
        return Shape(betas, 1.0)
    target = measured[known].log()

    for _ in range(steps):
        logs, by_betas = (part[known] for part in log_lengths(kin, betas))
        residual = (logs + log_scale - target) / relative_std
        rows = torch.cat((by_betas, torch.ones_like(residual)[:, None]), dim=1) / relative_std
        if not free_scale:
            rows[:, 10] = 0
        prior = torch.cat((torch.ones_like(betas), betas.new_tensor([1e-9 if free_scale else 1.0])))
        gradient = rows.T @ residual + torch.cat((betas, torch.zeros_like(log_scale)))
        step = torch.linalg.solve(rows.T @ rows + torch.diag(prior), gradient)
        betas, log_scale = betas - step[:10], log_scale - step[10:]
    return Shape(betas, float(log_scale.exp()))


def log_lengths(kin: Kinematics, betas: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logarithms of the bone lengths [20] of the shape betas [10], and their derivatives [20, 10].

    Written out because torch's forward mode would load its compiler for this alone: a second of every run.
    """
    parents, children = (torch.tensor(side, device=betas.device) for side in zip(*BONES))
    places = kin.rest(betas)[1]
    bones, dirs = places[children] - places[parents], kin.points_dirs[children] - kin.points_dirs[parents]
    squared = (bones**2).sum(-1)
    return 0.5 * squared.log(), (bones[:, None] @ dirs)[:, 0] / squared[:, None]


def with_measured_bones(kin: Kinematics, betas: Tensor, points: Tensor, weights: Tensor) -> Kinematics:
    """Return the hand of shape betas with the palm and the bone lengths of a recording at the hand's scale.

    points [N, 21, 3], weights [21] (below 0.5: as the model has it). Finger bones keep their direction at rest; wrist,
    knuckles and thumb base move to their mean places after turning the recorded palm onto the model's. The result has
    no shape of its own left: its `*_dirs` are zero.
    """
    joints, places = (x.clone() for x in kin.rest(betas))
    bases = [openpose(f"{finger}1") for finger in FINGERS]
    palm = [OPENPOSE_WRIST, *bases]
    turn, shift = roma.rigid_points_registration(
        points[:, palm], places[palm].expand(len(points), -1, -1), weights=weights[palm].expand(len(points), -1)
    )
    recorded = (points[:, palm] @ turn.mT + shift[:, None]).median(dim=0).values
    measured = robust_lengths(points, weights.expand(len(points), -1))
    reliable = weights >= 0.5
    for row, place in zip(palm, recorded):
        if bool(reliable[row]):
            moved = place - places[row]
            along = [row] if row == OPENPOSE_WRIST else list(range(row, row + 4))
            places[along] += moved
            joints[sorted({POINT_JOINT[point] for point in along})] += moved
    for finger in FINGERS:
        rows = [openpose(f"{finger}{part}") for part in (1, 2, 3)] + [openpose(f"{finger}_tip")]
        for k, bone in enumerate(BONES.index(pair) for pair in pairwise(rows)):
            if bool(reliable[rows[k]] & reliable[rows[k + 1]] & torch.isfinite(measured[bone])):
                arm = places[rows[k + 1]] - places[rows[k]]
                grown = arm * (measured[bone] / arm.norm() - 1)
                places[rows[k + 1 :]] += grown
                joints[list(chain(finger)[k + 1 :])] += grown
    return Kinematics(
        joints, torch.zeros_like(kin.joints_dirs), places, torch.zeros_like(kin.points_dirs), kin.point_joint
    )
