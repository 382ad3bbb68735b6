"""The anatomical term: preferred joint angles and limits, the same as those of the inverse kinematics.

Pixels leave a finger's depth open and the detector's depth is weak, so that without these rules a fit that follows
pixels bends joints that cannot bend.
"""

from functools import cache

import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.hands.anatomy import Anatomy, anatomy
from hmpfit.interfaces.term import Evidence, Motion, NoOptions, Residual, Term


def anatomy_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: NoOptions) -> Residual:
    """Return the 94 standardized departures from `hands.anatomy`, [B, T, 1, 94]: pull to rest, coupling, limits (ours).

    Counts where the initializer saw the hand: it settles what evidence leaves open, and is no evidence by itself.
    """
    rules = _rules(motion.hand_R.dtype, motion.hand_R.device)
    angles = rotations.log(motion.hand_R).flatten(-2)
    return Residual(rules.residuals(angles)[..., None, :], evidence.initial_confidence[..., None])


def anatomy_slopes(motion: Motion, evidence: Evidence, options: NoOptions) -> Tensor:
    """Return the derivatives of `anatomy_residuals`, [B, T, 94, 51]: by reverse mode they cost half of a fit."""
    rules = _rules(motion.hand_R.dtype, motion.hand_R.device)
    angles = rotations.log(motion.hand_R)
    by_angle = rules.slopes(angles.flatten(-2)).unflatten(-1, (15, 3))  # [B, T, 94, 15, 3]
    by_turn = by_angle.transpose(-3, -2) @ rotations.inverse_right_jacobian(angles)
    out = by_turn.transpose(-3, -2).flatten(-2)
    return torch.cat((out.new_zeros(*out.shape[:-1], 6), out), dim=-1)


@cache
def _rules(dtype: torch.dtype, device: torch.device) -> Anatomy:
    return anatomy(dtype=dtype).to(device)


ANATOMY = Term("anatomy", "frame", anatomy_residuals, slopes=anatomy_slopes)
