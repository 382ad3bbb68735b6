"""Bone lengths from joints that tremble, as a ruler would give them, and the length of a hand from these.

Separate from `hands.bone_lengths`, which reads a model's shape from a detector's landmarks: this measures truth.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hmpfit.hands.open_hand.proportions import FINGER_SHARES
from hmpfit.skeleton import BONES, openpose

Points = NDArray[np.floating]

_MAD_TO_STD = 1.4826  # of a normal distribution
_STRAIGHT = [BONES.index((openpose(a), openpose(b))) for a, b in pairwise(
    ("wrist", "middle1", "middle2", "middle3", "middle_tip")
)]  # fmt: skip


def rigid_lengths(joints: Points) -> Points:
    """Return the lengths [20] of a hand's bones, in the unit of joints [T, 21, 3]; NaN for a bone that is never known.

    The length of a noisy vector is too long: noise of deviation s along each axis adds s^2 / length to it (both axes
    across the bone add half of that each). s is read from how the length itself varies, which noise along the bone
    makes; medians over the frames in place of means.
    """
    parents, children = (list(side) for side in zip(*BONES))
    found = np.linalg.norm(joints[:, children] - joints[:, parents], axis=-1)
    out = np.full(len(BONES), np.nan)
    for bone, values in enumerate(found.T):
        known = values[np.isfinite(values)]
        if len(known):
            median = float(np.median(known))
            std = _MAD_TO_STD * float(np.median(np.abs(known - median)))
            out[bone] = median - std**2 / median if median > 0 else 0.0
    return out


def bone_length_ratio(joints: Points, truth: Points) -> float:
    """Return how many times longer the bones of joints [T, 21, 3] are than those of a truth [T, 21, 3].

    The median over the bones that both have of the ratio of `rigid_lengths`; NaN where there is none. Unlike the scale
    of an alignment, which a wrong pose makes smaller (towards the mean of what it aligns), it knows nothing of pose.
    """
    ratios = rigid_lengths(joints) / rigid_lengths(truth)
    known = ratios[np.isfinite(ratios) & (ratios > 0)]
    return float(np.exp(np.median(np.log(known)))) if len(known) else float("nan")


def ruler_length(joints: Points) -> float:
    """Return the length of a hand from the wrist along the middle finger to its tip, in the unit of joints [T, 21, 3].

    The sum of four `rigid_lengths`; one of them that is not known is as long as the average adult's beside the palm's
    length. NaN where the palm's is not known.
    """
    found = rigid_lengths(joints)[_STRAIGHT]
    usual = found[0] * np.array([1.0, *FINGER_SHARES["middle"]])
    return float(np.where(np.isfinite(found), found, usual).sum())
