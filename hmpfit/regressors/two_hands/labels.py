"""Labels of a training batch of two hands, in the form that losses and scores take.

Separate from `training.samples`, which knows one or two hands of any source. Hands are right, left; what is not
annotated is zero here, and the masks say so.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.regressors.two_hands.hand_pair import HandPair, mirror_left_angles
from hmpfit.skeleton import OPENPOSE_MIDDLE_MCP


@dataclass(frozen=True)
class PairLabels:
    """Positions in meters, axes of the crop's camera; parameters in right-hand form."""

    joints: Tensor  # [B, F, 2, 21, 3]
    xy: Tensor  # [B, F, 2, 21, 2] in the crop, 0..1
    valid: Tensor  # [B, F, 2] 1 where all joints are known
    orient_R: Tensor  # [B, F, 2, 3, 3]
    hand_pose: Tensor  # [B, F, 2, 15, 3] absolute
    betas: Tensor  # [B, 2, 10]
    betas_valid: Tensor  # [B, 2]
    posed_valid: Tensor  # [B, F, 2] 1 where the parameters are known too
    vertices: Tensor | None = None  # [B, F, 2, V, 3]


def pair_labels(batch: dict[str, Tensor]) -> PairLabels:
    """Return the labels of a batch of `training.samples.sample_crop` with two hands a sample."""
    joints, xy, orient, pose = (
        batch[name].transpose(1, 2) for name in ("joints_3d", "joints_2d", "global_orient", "hand_pose")
    )
    betas = batch["betas"]
    flip = mirror_left_angles(joints)
    valid = (torch.isfinite(joints).all(-1) & torch.isfinite(xy).all(-1)).all(-1)
    betas_valid = torch.isfinite(betas).all(-1)
    known = torch.isfinite(orient).all(-1) & torch.isfinite(pose).flatten(-2).all(-1) & betas_valid[:, None]
    return PairLabels(
        joints=joints.nan_to_num(),
        xy=xy.nan_to_num(),
        valid=valid.to(joints.dtype),
        orient_R=rotations.exp((orient * flip).nan_to_num()),
        hand_pose=(pose * flip[:, None]).nan_to_num(),
        betas=betas.nan_to_num(),
        betas_valid=betas_valid.to(joints.dtype),
        posed_valid=(valid & known).to(joints.dtype),
    )


@torch.no_grad()
def with_vertices(labels: PairLabels, pair: HandPair) -> PairLabels:
    """Add the meshes that the parameters pose, laid on the labels' middle knuckles."""
    posed = pair.pose(labels.orient_R, labels.hand_pose, labels.betas[:, None].expand(*labels.valid.shape, -1))
    assert posed.vertices is not None
    shift = (labels.joints - posed.joints)[..., OPENPOSE_MIDDLE_MCP, None, :]
    return replace(labels, vertices=posed.vertices + shift)
