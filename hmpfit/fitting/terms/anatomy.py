"""The term of what joints like to do: the same rules that the inverse kinematics obeys, held by the fit as well.

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


@cache
def _rules(dtype: torch.dtype, device: torch.device) -> Anatomy:
    return anatomy(dtype=dtype).to(device)


ANATOMY = Term("anatomy", "frame", anatomy_residuals)
