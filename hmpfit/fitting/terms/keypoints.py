"""Terms that compare landmark points with what the detector saw: L_2D of the poster and our L_3D."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hmpfit.geometry.cameras import project
from hmpfit.interfaces.term import Evidence, Motion, NoOptions, Residual, Term


@dataclass(frozen=True)
class Keypoint2dOptions:
    """Options of `keypoints_2d`."""

    unit: Literal["px", "box_percent"] = "px"
    confidence_power: float = 1.0
    least_confidence: float = 0.0


@dataclass(frozen=True)
class Keypoint3dOptions:
    """Options of `keypoints_3d`."""

    depth_std: float = 1.0
    confidence_power: float = 1.0
    least_confidence: float = 0.0


def reprojection_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: Keypoint2dOptions) -> Residual:
    """Return projected minus detected landmarks, [B, T, 21, 2] (L_2D).

    Option `unit`: "px" as on the poster, or "box_percent" of the diagonal of the hand's box, which means the same at
    any image size and distance. Option `confidence_power`: 1 as on the poster, 2 as in the paper's released runs.
    Option `least_confidence`: what a seen landmark counts at least, however little its views agree (0).
    """
    values = project(points, evidence.K[:, :, None], evidence.distortion) - evidence.xy_px
    if options.unit == "box_percent":
        values = values * (100.0 / evidence.box_px[..., None, None])
    return Residual(values, _weight(evidence.confidence, evidence.seen, options))


def center_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: NoOptions) -> Residual:
    """Return projected minus detected center of the seen landmarks, [B, T, 1, 2] percent of the box's diagonal (ours).

    Where single landmarks are not to be believed, behind a thing or in blur, their middle still tells the hand's place.
    """
    known = (evidence.seen > 0).to(points.dtype)
    share = known / known.sum(-1, keepdim=True).clamp_min(1.0)
    apart = project(points, evidence.K[:, :, None], evidence.distortion) - evidence.xy_px
    values = (share[..., None] * apart).sum(-2, keepdim=True) * (100.0 / evidence.box_px[..., None, None])
    return Residual(values, known.amax(-1, keepdim=True))


def landmarks_3d_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: Keypoint3dOptions) -> Residual:
    """Return hand-centered landmark points minus the detector's world landmarks, [B, T, 21, 3] meters (L_3D, ours).

    Both sides are centered on the mean of the points that were seen, so that this term does not depend on the hand's
    place. Option `depth_std`: how much farther depths stray than the other two coordinates (1); their residual is
    divided by it.
    """
    share = evidence.world_seen / evidence.world_seen.sum(-1, keepdim=True).clamp_min(1.0)
    centered = points - (share[..., None] * points).sum(-2, keepdim=True)
    target = evidence.world_m - (share[..., None] * evidence.world_m).sum(-2, keepdim=True)
    across = centered.new_tensor([1.0, 1.0, 1.0 / options.depth_std])
    return Residual((centered - target) * across, _weight(evidence.world_confidence, evidence.world_seen, options))


def _weight(confidence: Tensor, seen: Tensor, options: Keypoint2dOptions | Keypoint3dOptions) -> Tensor:
    least = options.least_confidence * seen
    return torch.maximum(confidence**options.confidence_power, least)


REPROJECTION = Term("keypoints_2d", "point", reprojection_residuals, Keypoint2dOptions)
LANDMARKS_3D = Term("keypoints_3d", "points", landmarks_3d_residuals, Keypoint3dOptions)
CENTER = Term("center_2d", "points", center_residuals)
