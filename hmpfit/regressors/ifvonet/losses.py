"""IFVONet's losses and scores (the paper's III-D): sums of absolute differences over both frames, mean over the batch.

Separate from the network. Units: meters, crop coordinates in 0..1, entries of rotation matrices; in these a sum gives
the five terms comparable sizes (the papers in docs/method.md).
"""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from hmpfit.geometry.alignment import similarity_aligned
from hmpfit.geometry.rotations import exp
from hmpfit.hands.mano import ManoHand
from hmpfit.regressors.backbone.frozen import Features
from hmpfit.regressors.ifvonet.head import HeadOutput
from hmpfit.regressors.ifvonet.network import IFVONet
from hmpfit.skeleton import OPENPOSE_WRIST

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class IfvonetLossWeights:
    """The paper's are all 1; it has no `heatmap`, the cross-entropy to a spot at the joint, summed over joints."""

    mesh: float = 1.0
    pose_2d: float = 1.0
    pose_3d: float = 1.0
    mano_pose: float = 1.0
    mano_shape: float = 1.0
    heatmap: float = 0.0
    presence: float = 0.0
    scales: float = 0.0


# Few samples and a small network: what is measured in the end (3D joints, 2D joints) leads, and heatmaps are taught.
SMALL = IfvonetLossWeights(mesh=0.25, pose_2d=10.0, pose_3d=20.0, mano_pose=1.0, mano_shape=0.2, heatmap=1.0)
FROZEN = IfvonetLossWeights(0.0, 10.0, 40.0, 1.0, 0.2, heatmap=0.3, presence=3.0, scales=0.2)  # no mesh: time
WEIGHTS = {"paper": IfvonetLossWeights(), "small": SMALL, "frozen": FROZEN}
_SPOT = 0.6  # standard deviation of a heatmap's target, in its pixels


def losses(network: torch.nn.Module, batch: Batch, hand: ManoHand) -> dict[str, Tensor]:
    """Return "total" and its six parts for a batch of `samples.sample_crop`; what is not annotated counts nothing."""
    assert isinstance(network, IFVONet)
    weights = WEIGHTS[network.switches.loss_weights]
    parts: dict[str, Tensor] = {}
    both = not network.frozen  # corrupted pairs add little in the frame before, and the head's time is halved
    for before, prediction in enumerate(network(seen_of(batch), both=both)):
        for name, value in frame_losses(prediction, batch, -1 - before, hand).items():
            parts[name] = parts[name] + value if name in parts else value
    total = sum(getattr(weights, field.name) * parts[field.name] for field in fields(weights) if field.name in parts)
    assert isinstance(total, Tensor)
    return {"total": total, **parts}


def frame_losses(prediction: HeadOutput, batch: Batch, frame: int, hand: ManoHand) -> dict[str, Tensor]:
    """Return the terms of one frame (an index into the clip), unweighted."""
    truth = _truth(batch, frame)
    rotations, betas = exp(torch.cat((truth["global_orient"][:, None], truth["hand_pose"]), dim=1)), truth["betas"]
    still = betas.new_zeros(3)
    judged = prediction.log_scales is not None
    posed = hand.from_rotations(prediction.rotations, prediction.betas, still, vertices=not judged)
    more = _judgements(prediction, posed.joints, batch, frame) if judged else {}
    if posed.vertices is not None:
        with torch.no_grad():
            wanted = hand.from_rotations(rotations.nan_to_num(), betas.nan_to_num(), still)
        assert wanted.vertices is not None
        known = torch.isfinite(rotations).flatten(1).all(1) & torch.isfinite(betas).all(1)
        more["mesh"] = _sum((posed.vertices - wanted.vertices).where(known[:, None, None], still.new_zeros(())))
    return {
        **more,
        "pose_2d": _sum(prediction.joints_2d - truth["joints_2d"]),
        "pose_3d": _sum(_from_wrist(posed.joints) - _from_wrist(truth["joints_3d"])),
        "mano_pose": _sum(prediction.rotations - rotations),
        "mano_shape": _sum(prediction.betas - betas),
        "heatmap": _to_spots(prediction.heatmaps, truth["joints_2d"]),
    }


@torch.no_grad()
def scores(network: torch.nn.Module, batch: Batch, hand: ManoHand) -> dict[str, Tensor]:
    """Return errors of the last frame, [B] each: joints from the wrist and aligned, vertices, mm; 2D joints, % of crop.

    Clips without 3D joints give NaN, left out by the mean of `run`.
    """
    assert isinstance(network, IFVONet)
    truth = _truth(batch, -1)
    (prediction,) = network(seen_of(batch))
    still = prediction.betas.new_zeros(3)
    posed = hand.from_rotations(prediction.rotations, prediction.betas, still)
    joints, wanted = _from_wrist(posed.joints), _from_wrist(truth["joints_3d"])
    aligned = torch.as_tensor(similarity_aligned(joints.cpu().double().numpy(), wanted.cpu().double().numpy()))
    rotations = exp(torch.cat((truth["global_orient"][:, None], truth["hand_pose"]), dim=1))
    mesh = hand.from_rotations(rotations, truth["betas"], still).vertices
    assert posed.vertices is not None and mesh is not None
    return {
        "j_pe_mm": 1000 * _distance(joints, wanted),
        "pa_mpjpe_mm": 1000 * _distance(aligned.to(wanted), wanted),
        "v_pe_mm": 1000 * _distance(posed.vertices - posed.joints[:, :1], mesh - _wrist_of(hand, truth)),
        "joints_2d_percent": 100 * _distance(prediction.joints_2d, truth["joints_2d"]),
    }


def seen_of(batch: Batch) -> Tensor | Features:
    """Return what the network is shown of a batch: features where there are some, else the pictures."""
    if "maps" not in batch:
        return batch["image"]
    return Features(batch["maps"].float(), batch["pooled"].float(), batch["numbers"])


def true_errors(prediction: HeadOutput, joints: Tensor, batch: Batch, frame: int) -> Tensor:
    """Return how far the network's and the detector's joints are off [B, 4, 21], in the order of `SCALES`; NaN unknown.

    `joints` [B, 21, 3] are the network's. Without features nothing is known of the detector.
    """
    wanted_2d, wanted_3d = batch["joints_2d"][:, 0, frame], batch["joints_3d"][:, 0, frame]
    marks_3d, focal = batch["landmarks_3d"][:, 0, frame], batch["focal"][:, None, None]
    between = focal * (marks_3d[..., :2] / marks_3d[..., 2:] - wanted_3d[..., :2] / wanted_3d[..., 2:])
    numbers = batch["numbers"][:, frame]
    found_2d = numbers[:, :63].unflatten(-1, (21, 3))[..., :2]
    found_3d = numbers[:, 63:126].unflatten(-1, (21, 3)) / 10
    pairs = (
        (prediction.joints_2d, wanted_2d), (found_2d, wanted_2d + between),
        (_centred(joints), _centred(wanted_3d)), (_centred(found_3d), _centred(marks_3d)),
    )  # fmt: skip
    return torch.stack([torch.linalg.norm(a - b, dim=-1) for a, b in pairs], dim=1)


def _judgements(prediction: HeadOutput, joints: Tensor, batch: Batch, frame: int) -> dict[str, Tensor]:
    """Return the losses of presence and of the expected errors (negative log likelihood of Laplace's density)."""
    assert prediction.presence is not None and prediction.log_scales is not None
    is_hand = batch["is_hand"][:, frame].to(prediction.presence)
    presence = F.binary_cross_entropy_with_logits(prediction.presence, is_hand)
    errors = true_errors(prediction, joints, batch, frame).detach()
    known = torch.isfinite(errors)
    likelihood = prediction.log_scales + errors.nan_to_num() * torch.exp(-prediction.log_scales)
    return {"presence": presence, "scales": (likelihood * known).sum() / len(errors)}


def _centred(points: Tensor) -> Tensor:
    return points - points.mean(-2, keepdim=True)


def _truth(batch: Batch, frame: int) -> Batch:
    one = {name: batch[name][:, 0, frame] for name in ("joints_2d", "joints_3d", "global_orient", "hand_pose")}
    return {**one, "betas": batch["betas"][:, 0]}


def _wrist_of(hand: ManoHand, truth: Batch) -> Tensor:
    return (hand.rest_joints[0] + torch.einsum("ck,bk->bc", hand.joint_dirs[0], truth["betas"]))[:, None]


def _from_wrist(joints: Tensor) -> Tensor:
    return joints - joints[:, OPENPOSE_WRIST : OPENPOSE_WRIST + 1]


def _sum(difference: Tensor) -> Tensor:
    """Return the sum over a sample's numbers, mean over the batch, of what is finite."""
    known = torch.isfinite(difference)
    return torch.where(known, difference, torch.zeros_like(difference)).abs().sum() / len(difference)


def _to_spots(heatmaps: Tensor, joints_2d: Tensor) -> Tensor:
    """Return the cross-entropy of heatmaps to spots at the joints [B, 21, 2], joints outside the crop left out."""
    side = heatmaps.shape[-1]
    cells = (torch.arange(side, device=heatmaps.device) + 0.5) / side
    along = torch.exp(-0.5 * ((cells - joints_2d[..., None]) * (side / _SPOT)) ** 2)  # [B, 21, xy, side]
    spots = along[..., 1, :, None] * along[..., 0, None, :]
    inside = (torch.isfinite(joints_2d) & (joints_2d > 0) & (joints_2d < 1)).all(-1)[..., None, None]
    spots = torch.where(inside, spots / spots.sum((-1, -2), keepdim=True).clamp_min(1e-9), torch.zeros_like(spots))
    return -(spots * heatmaps.clamp_min(1e-9).log()).sum() / len(heatmaps)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return torch.linalg.norm(a - b, dim=-1).mean(-1)
