"""Score frames without a prediction as a neutral hand, instead of skipping them.

Skipping makes a method that gives up on hard frames look good. Both figures are reported, with the share of frames that
was estimated.
"""

import numpy as np
from numpy.typing import NDArray

from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model import HandModels
from hmpfit.records import MIRROR_X

Points = NDArray[np.floating]


def neutral_hand(models: HandModels, is_right: bool) -> tuple[Points, Points]:
    """Return joints [21, 3] and vertices [V, 3] of the flat mean hand of a side, wrist at the origin, meters."""
    import torch

    posed = ManoHand(models.side(is_right), torch.float64)(
        torch.zeros(3, dtype=torch.float64),
        torch.zeros(15, 3, dtype=torch.float64),
        torch.zeros(10, dtype=torch.float64),
        torch.zeros(3, dtype=torch.float64),
    )
    assert posed.vertices is not None
    flip = 1.0 if is_right else MIRROR_X
    joints, vertices = posed.joints.numpy() * flip, posed.vertices.numpy() * flip
    return joints - joints[0], vertices - joints[0]


def fill_missing_frames(points: Points, neutral: Points, wrists: Points) -> tuple[Points, float]:
    """Fill the frames of points [T, N, 3] that are not finite with the neutral hand, and return how many were there.

    The neutral hand stands where the last estimated wrist was (before the first: where it will be; with none at all: a
    meter before the camera), `wrists` [T, 3] being the estimate's. Also returned: the share of frames with an estimate.
    """
    known = np.isfinite(points).all((1, 2))
    frames = np.flatnonzero(known)
    if not len(frames):
        return neutral + np.array([0.0, 0.0, 1.0]) + np.zeros_like(points), 0.0
    last = np.maximum.accumulate(np.where(known, np.arange(len(points)), -1))
    last = np.where(last < 0, frames[0], last)
    filled = np.where(known[:, None, None], points, neutral + wrists[last][:, None])
    return filled, float(known.mean())
