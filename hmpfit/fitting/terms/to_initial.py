"""Terms that keep the fit near the first guess: L_o, L_tr and L_beta of the poster.

Frames without an initial estimate have confidence 0, never an invented estimate.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.interfaces.term import Evidence, Motion, NoOptions, Residual, Term


def initial_orient_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: NoOptions) -> Residual:
    """Return the rotation vectors from the initial to the fitted global rotation, [B, T, 1, 3] radians (L_o)."""
    values = rotations.log(evidence.initial_R.transpose(-1, -2) @ motion.global_R)
    return Residual(values[..., None, :], evidence.initial_confidence[..., None])


def initial_transl_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: NoOptions) -> Residual:
    """Return fitted minus initial translation, [B, T, 1, 3] meters (L_tr)."""
    return Residual((motion.transl - evidence.initial_transl)[..., None, :], evidence.initial_confidence[..., None])


def initial_pose_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: NoOptions) -> Residual:
    """Return the rotation vectors from the initial to the fitted finger joints, [B, T, 15, 3] radians (ours)."""
    values = rotations.log(evidence.initial_hand_R.transpose(-1, -2) @ motion.hand_R)
    return Residual(values, evidence.initial_confidence[..., None].expand(values.shape[:-1]))


@dataclass(frozen=True)
class BetasOptions:
    """Options of `betas_to_initial`."""

    per_frame: bool = False
    size: float = 1.0


def betas_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: BetasOptions) -> Residual:
    """Return fitted minus initial shape, [B, 1, 1, 10] (L_beta; the poster names it without writing it).

    Option `per_frame`: counts once for every frame that the initializer saw, because the detector errs in the same way
    in all of them: a longer clip does not make the shape surer. Option `size`: how many times the first number counts,
    which is the hand's size in most models, and which pixels tell from distance in close views alone.
    """
    values = (motion.betas - evidence.initial_betas)[:, None, None]
    first = torch.arange(values.shape[-1], device=values.device) == 0
    values = torch.where(first, options.size**0.5 * values, values)
    frames = evidence.frames_known if options.per_frame else torch.ones_like(evidence.frames_known)
    return Residual(values, frames[:, None, None].to(values))


ORIENT = Term("orient_to_initial", "frame", initial_orient_residuals)
TRANSL = Term("transl_to_initial", "frame", initial_transl_residuals)
POSE = Term("pose_to_initial", "frame", initial_pose_residuals)
BETAS = Term("betas_to_initial", "betas", betas_residuals, BetasOptions)
