"""IFVONet's losses and scores (the paper's III-D): sums of absolute differences over both frames, mean over the batch.

Separate from the network. Units: meters, crop coordinates in 0..1, entries of rotation matrices; in these a sum gives
the five terms comparable sizes (specs/regressors.md section 1.2).
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from hmpfit.geometry.alignment import similarity_aligned
from hmpfit.geometry.rotations import exp
from hmpfit.hands.mano import ManoHand
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


# Few samples and a small network: what is measured in the end (3D joints, 2D joints) leads, and heatmaps are taught.
SMALL = IfvonetLossWeights(mesh=0.25, pose_2d=10.0, pose_3d=20.0, mano_pose=1.0, mano_shape=0.2, heatmap=1.0)
_SPOT = 0.6  # standard deviation of a heatmap's target, in its pixels


def losses(network: torch.nn.Module, batch: Batch, hand: ManoHand) -> dict[str, Tensor]:
    """Return "total" and its six parts for a batch of `samples.draw`; what is not annotated counts nothing."""
    assert isinstance(network, IFVONet)
    weights = IfvonetLossWeights() if network.switches.tiny_start else SMALL
    parts: dict[str, Tensor] = {}
    for before, prediction in enumerate(network(batch["image"], both=True)):
        for name, value in frame_losses(prediction, batch, -1 - before, hand).items():
            parts[name] = parts[name] + value if name in parts else value
    total = sum(getattr(weights, field.name) * parts[field.name] for field in fields(weights))
    assert isinstance(total, Tensor)
    return {"total": total, **parts}


def frame_losses(prediction: HeadOutput, batch: Batch, frame: int, hand: ManoHand) -> dict[str, Tensor]:
    """Return the terms of one frame (an index into the clip), unweighted."""
    truth = _truth(batch, frame)
    rotations, betas = exp(torch.cat((truth["global_orient"][:, None], truth["hand_pose"]), dim=1)), truth["betas"]
    still = betas.new_zeros(3)
    with torch.no_grad():
        wanted = hand.from_rotations(rotations.nan_to_num(), betas.nan_to_num(), still)
    posed = hand.from_rotations(prediction.rotations, prediction.betas, still)
    known = torch.isfinite(rotations).flatten(1).all(1) & torch.isfinite(betas).all(1)
    assert posed.vertices is not None and wanted.vertices is not None
    return {
        "mesh": _sum((posed.vertices - wanted.vertices).where(known[:, None, None], still.new_zeros(()))),
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
    (prediction,) = network(batch["image"])
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
