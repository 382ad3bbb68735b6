"""STC's losses, equations 5 to 10 of Zhao et al. 2023; what the paper leaves open is said where it is decided.

Lengths in meters: the only unit in which the shape terms weigh against 100 L_joint (docs/papers.md). Each loss is
a mean over the batch; hands are right, left.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.regressors.stc.network import HandParameters
from hmpfit.regressors.stc.switches import StcSwitches
from hmpfit.regressors.two_hands.hand_pair import mirror_left
from hmpfit.regressors.two_hands.points import point_loss
from hmpfit.skeleton import OPENPOSE_MIDDLE_MCP

Depth = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Predicted:
    """A network's parameters and the hands that they pose; positions may have any origin."""

    parameters: HandParameters
    joints: Tensor  # [B, T, 2, 21, 3]
    vertices: Tensor | None  # [B, T', 2, V, 3] of every `switches.inter_every`-th frame


@dataclass(frozen=True)
class StcLabels:
    """Labels in the camera's axes; `valid` marks the labeled hands, values elsewhere are finite."""

    joints: Tensor  # [B, T, 2, 21, 3]
    valid: Tensor  # [B, T, 2] 1 or 0
    betas: Tensor  # [B, 2, 10] of the network's own hand model
    betas_valid: Tensor  # [B, 2] 1 or 0
    xy: Tensor | None = None  # [B, T, 2, 21, 2] in the picture, 0..1
    orient_R: Tensor | None = None  # [B, T, 2, 3, 3] in right-hand form
    posed_valid: Tensor | None = None  # [B, T, 2] 1 where the orientation is known too


def joint_loss(predicted: Tensor, labels: StcLabels) -> Tensor:
    """Return L_joint (equation 7): Frobenius distance of the 21 joints about the middle knuckle, mean over frames."""
    error = rooted(predicted) - rooted(labels.joints)
    return (_norm(error.flatten(-2)) * labels.valid).sum(2).mean(1).mean()


def turn_loss(orient_R: Tensor, labels: StcLabels) -> Tensor:
    """Return the Frobenius distance of the orientations [B, T, 2, 3, 3], mean over frames (ours)."""
    assert labels.orient_R is not None and labels.posed_valid is not None
    return (_norm((orient_R - labels.orient_R).flatten(-2)) * labels.posed_valid).sum(2).mean(1).mean()


def bend_loss(predicted: Predicted, labels: StcLabels) -> Tensor:
    """Return L_joint with each hand in its own axes, which the orientation's error does not enter (ours)."""
    assert labels.orient_R is not None and labels.posed_valid is not None
    flip = mirror_left(predicted.joints)
    mine = (rooted(predicted.joints) * flip) @ predicted.parameters.orient_R
    true = (rooted(labels.joints) * flip) @ labels.orient_R
    return (_norm((mine - true).flatten(-2)) * labels.posed_valid).sum(2).mean(1).mean()


def smooth_loss(predicted: Tensor) -> Tensor:
    """Return L_smooth (equation 5): how far the 21 joints [B, T, 2, 21, 3] go from frame to frame."""
    steps = rooted(predicted).diff(dim=1)
    return _norm(steps.flatten(-2)).sum((1, 2)).mean()


def mano_loss(betas: Tensor, labels: StcLabels, shape_consistency: float) -> Tensor:
    """Return L_mano (equation 8) of shapes [B, T, 2, 10].

    The second term is between the two predictions: as printed it mixes a label with a prediction, and the text wants
    both hands of a person alike.
    """
    apart = _norm(betas - labels.betas[:, None]) * labels.valid * labels.betas_valid[:, None]
    alike = (betas[:, :, 0] - betas[:, :, 1]).square()
    return apart.sum((1, 2)).mean() + shape_consistency * alike.sum((1, 2)).mean()


def regularization_loss(parameters: HandParameters, beta: float, orient: bool = True) -> Tensor:
    """Return L_reg (equation 9): squared angles of theta (fingers about the mean pose), `beta` times squared shapes.

    `orient` counts the orientation's three angles too, as printed; ITH-3D counts the 45 of the fingers.
    """
    per_window = parameters.fingers.square().sum((1, 2, 3, 4)) + beta * parameters.betas.square().sum((1, 2, 3))
    if orient:
        angles = rotations.log(parameters.orient_R) if parameters.orient is None else parameters.orient
        per_window = per_window + angles.square().sum((1, 2, 3))
    return per_window.mean()


def placed(predicted: Tensor, roots: Tensor, goal: Tensor) -> Tensor:
    """Move each hand's points [B, T, 2, N, 3] from their middle knuckles `roots` [B, T, 2, 1, 3] to the true `goal`.

    That is the paper's use of the true relative translation: it never predicts where one hand is from the other.
    """
    return predicted - roots + goal


def penetration_loss(vertices: Tensor, valid: Tensor, depth: Depth) -> Tensor:
    """Return L_inter (equation 6) of placed vertices [B, T, 2, V, 3], summed over frames in which both are `valid`.

    `depth(right [N, V, 3], left [N, V, 3])` gives each frame's sum [N] of alpha tanh(d / alpha) over both hands'
    vertices that lie inside the other hand. (Printed, the distance is to the hand itself, which would be zero.)
    """
    both = valid.prod(-1).flatten() > 0
    if not bool(both.any()):
        return vertices.sum() * 0
    flat = vertices.flatten(0, 1)[both]
    return depth(flat[:, 0], flat[:, 1]).sum() / len(vertices)


def stc_loss(
    predicted: Predicted, labels: StcLabels, switches: StcSwitches, depth: Depth | None = None
) -> dict[str, Tensor]:
    """Return every loss by name and their weighted sum as "total" (equation 10); a weight of zero leaves its loss out.

    `depth` is needed where `switches.inter` is not zero and the prediction has vertices.
    """
    parts: dict[str, tuple[float, Tensor]] = {"joint": (switches.joint, joint_loss(predicted.joints, labels))}
    parameters = predicted.parameters
    if switches.turn:
        parts["turn"] = (switches.turn, turn_loss(parameters.orient_R, labels))
    if switches.bend:
        parts["bend"] = (switches.bend, bend_loss(predicted, labels))
    if switches.points_2d and parameters.points is not None:
        assert labels.xy is not None
        parts["points_2d"] = (switches.points_2d, point_loss(parameters.points, labels.xy, labels.valid))
    if switches.smooth:
        parts["smooth"] = (switches.smooth, smooth_loss(predicted.joints))
    if switches.mano:
        parts["mano"] = (switches.mano, mano_loss(parameters.betas, labels, switches.shape_consistency))
    if switches.reg:
        parts["reg"] = (switches.reg, regularization_loss(parameters, switches.beta, switches.reg_orient))
    if switches.inter and depth is not None and predicted.vertices is not None:
        judged = slice(None, None, switches.inter_every)
        roots, goal = (joints[:, judged, :, OPENPOSE_MIDDLE_MCP, None] for joints in (predicted.joints, labels.joints))
        share = labels.joints.shape[1] / predicted.vertices.shape[1]  # the sum over all frames is estimated
        inter = penetration_loss(placed(predicted.vertices, roots, goal), labels.valid[:, judged], depth)
        parts["inter"] = (switches.inter, share * inter)
    total = torch.stack([weight * value for weight, value in parts.values()]).sum()
    return {**{name: value for name, (_, value) in parts.items()}, "total": total}


def rooted(joints: Tensor) -> Tensor:
    """Return joints [..., 21, 3] about the middle knuckle, the root of the paper's measure (its reference 55)."""
    return joints - joints[..., OPENPOSE_MIDDLE_MCP, None, :]


def _norm(vector: Tensor) -> Tensor:
    """Return Euclidean lengths over the last axis, with a gradient at zero."""
    return (vector.square().sum(-1) + 1e-12).sqrt()
