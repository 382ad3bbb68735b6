"""Terms that compare landmark points with what the detector saw: L_2D of the poster and our L_3D."""

from typing import Any

import torch
from torch import Tensor

from hmpfit.errors import UnknownNameError
from hmpfit.fitting.term import Evidence, Motion, Residual, Term
from hmpfit.geometry.cameras import project

UNITS = ("px", "box_percent")
WEIGHING = ("confidence_power", "least_confidence")


def reprojection_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: dict[str, Any]) -> Residual:
    """Return projected minus detected landmarks, [B, T, 21, 2] (L_2D).

    Option `unit`: "px" as on the poster, or "box_percent" of the diagonal of the hand's box, which means the same at
    any image size and distance. Option `confidence_power`: 1 as on the poster, 2 as in the paper's released runs.
    Option `least_confidence`: what a seen landmark counts at least, however little its views agree (0).
    """
    unit = options.get("unit", "px")
    if unit not in UNITS:
        raise UnknownNameError("unit of keypoints_2d", unit, UNITS)
    values = project(points, evidence.K[:, :, None], evidence.distortion) - evidence.xy_px
    if unit == "box_percent":
        values = values * (100.0 / evidence.box_px[..., None, None])
    return Residual(values, _weight(evidence.confidence, evidence.seen, options))


def landmarks_3d_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: dict[str, Any]) -> Residual:
    """Return hand-centered landmark points minus the detector's world landmarks, [B, T, 21, 3] meters (L_3D, ours).

    Both sides are centered on the mean of the points that were seen, so that this term knows nothing of the hand's
    place. Option `depth_std`: how much farther depths stray than the other two coordinates (1); their residual is
    divided by it.
    """
    share = evidence.world_seen / evidence.world_seen.sum(-1, keepdim=True).clamp_min(1.0)
    centered = points - (share[..., None] * points).sum(-2, keepdim=True)
    target = evidence.world_m - (share[..., None] * evidence.world_m).sum(-2, keepdim=True)
    across = centered.new_tensor([1.0, 1.0, 1.0 / float(options.get("depth_std", 1.0))])
    return Residual((centered - target) * across, _weight(evidence.world_confidence, evidence.world_seen, options))


def _weight(confidence: Tensor, seen: Tensor, options: dict[str, Any]) -> Tensor:
    least = float(options.get("least_confidence", 0.0)) * seen
    return torch.maximum(confidence ** options.get("confidence_power", 1), least)


REPROJECTION = Term("keypoints_2d", "point", reprojection_residuals, options=("unit", *WEIGHING))
LANDMARKS_3D = Term("keypoints_3d", "points", landmarks_3d_residuals, options=("depth_std", *WEIGHING))
