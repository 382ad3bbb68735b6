"""HandDGCL's losses, equations 7 to 13 of Han et al. 2023, on meshes of normalized size; hands are right, left.

Two readings of the paper: both hands are expressed about the left middle knuckle (IntagHand's frame), and the sign of
L_cross in equation 11, which as printed would drive features and poses apart, is turned.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hmpfit.regressors.handdgcl.contrast import Contrast, cross_contrast, embed, pose_direction, self_contrast
from hmpfit.regressors.handdgcl.network import METACARPAL_M, Meshes, MeshJoints, project_weakly
from hmpfit.regressors.handdgcl.switches import HandDgclSwitches
from hmpfit.regressors.two_hands.hand_pair import mirror_left
from hmpfit.regressors.two_hands.points import point_loss
from hmpfit.skeleton import BONES, OPENPOSE_MIDDLE_MCP, OPENPOSE_WRIST

MM = 1e3
REFERENCE_PX = 256  # the picture in whose pixels L_2d is weighted


@dataclass(frozen=True)
class HandDgclLabels:
    """Labels of pictures; `valid` marks the labeled hands, values elsewhere are finite."""

    joints: Tensor  # [B, 2, 21, 3] meters, camera axes
    vertices: Tensor | None  # [B, 2, V, 3] of the network's own mesh
    xy: Tensor  # [B, 2, 21, 2] in pictures, 0..1
    valid: Tensor  # [B, 2] 1 or 0
    meshed: Tensor  # [B, 2] 1 where the vertices are known too
    orient_R: Tensor | None = None  # [B, 2, 3, 3] in right-hand form, known where `meshed`


def normalized_labels(labels: HandDgclLabels) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return joints and vertices about the left middle knuckle at unit size, and which hands count, [B, 2].

    The size is that of the mean middle metacarpal of the known hands. Where the left hand is unknown the right one is
    about its own knuckle, and nothing is known of where it is from the left.
    """
    root, wrist = labels.joints[:, :, OPENPOSE_MIDDLE_MCP], labels.joints[:, :, OPENPOSE_WRIST]
    known = labels.valid.sum(1).clamp_min(1)
    metacarpal = ((root - wrist).norm(dim=-1) * labels.valid).sum(1) / known
    scale = torch.where(labels.valid.sum(1) > 0, METACARPAL_M / metacarpal.clamp_min(1e-6), torch.ones_like(metacarpal))
    left = labels.valid[:, 1, None] > 0
    origin = torch.where(left, root[:, 1], root[:, 0])[:, None, None]
    joints = (labels.joints - origin) * scale[:, None, None, None]
    vertices = None if labels.vertices is None else (labels.vertices - origin) * scale[:, None, None, None]
    return joints, vertices, labels.valid


def mesh_losses(meshes: Meshes, regress: MeshJoints, labels: HandDgclLabels) -> dict[str, Tensor]:
    """Return L_joints, L_vertices, L_2d, L_length, L_transition and our own: mean absolute errors over known hands."""
    joints, vertices, valid = normalized_labels(labels)
    predicted = regress(meshes.vertices)
    lengths, true_lengths = _bones(predicted) * MM, _bones(joints) * MM
    turned = predicted if meshes.camera_R is None else predicted @ meshes.camera_R.mT
    xy = project_weakly(turned, meshes.camera, REFERENCE_PX)
    losses = {
        "joints": _mean(predicted - joints, valid),
        "joints_2d": _mean(xy - labels.xy * REFERENCE_PX, valid),
        "length": _mean((lengths - true_lengths)[..., None], valid),
    }
    if meshes.points is not None:
        losses["points_2d"] = point_loss(meshes.points, labels.xy, valid)
    if meshes.turn_R is not None and labels.orient_R is not None:
        flip = mirror_left(joints)
        true_R = flip * labels.orient_R * flip.mT
        losses["turn"] = _mean(meshes.turn_R - true_R, labels.meshed)
        losses["bend"] = _mean(_rooted(predicted) @ meshes.turn_R - _rooted(joints) @ true_R, labels.meshed)
    if vertices is not None:
        losses["vertices"] = _mean(meshes.vertices - vertices, labels.meshed)
        apart, truly = (mesh[:, 1] - mesh[:, 0] for mesh in (meshes.vertices, vertices))
        losses["transition"] = _mean((apart - truly)[:, None], labels.meshed.prod(1, keepdim=True))
    return losses


def contrast_losses(hands: list[Contrast], labels: HandDgclLabels) -> dict[str, Tensor]:
    """Return L_contrast = L_cross - L_self and L_consistent, means over the hands; hands' order right, left."""
    parts: dict[str, list[Tensor]] = {"contrast": [], "consistent": []}
    joints, _, valid = normalized_labels(labels)
    for side, hand in enumerate(hands):
        known = valid[:, side] > 0
        if not bool(known.any()):
            continue
        features, disturbed = embed(hand.decoded[known]), embed(hand.disturbed[known])
        value = -self_contrast(features, disturbed, hand.queue, hand.temperature)
        if hand.similarity:
            poses = pose_direction(joints[known, side])
            value = value + cross_contrast(features, poses, hand.queue, hand.queued_poses)
        parts["contrast"].append(value)
        if hand.read_joints is not None:
            rooted = joints[known, side] - joints[known, side, OPENPOSE_MIDDLE_MCP, None]
            parts["consistent"].append((hand.read_joints[known] - rooted).abs().mean())
    return {name: torch.stack(values).mean() for name, values in parts.items() if values}


def handdgcl_loss(parts: dict[str, Tensor], switches: HandDgclSwitches) -> dict[str, Tensor]:
    """Return the losses with their weighted sum as "total" (equation 7)."""
    return {**parts, "total": torch.stack([getattr(switches, name) * value for name, value in parts.items()]).sum()}


def _rooted(joints: Tensor) -> Tensor:
    return joints - joints[..., OPENPOSE_MIDDLE_MCP, None, :]


def _bones(joints: Tensor) -> Tensor:
    parents, children = (list(side) for side in zip(*BONES))
    return (joints[..., children, :] - joints[..., parents, :]).square().sum(-1).add(1e-12).sqrt()


def _mean(error: Tensor, valid: Tensor) -> Tensor:
    """Return the mean absolute entry of errors [B, H, N, C] over the hands that count, [B, H]."""
    return (error.abs().mean((-1, -2)) * valid).sum() / valid.sum().clamp_min(1)
