"""The size of a hand: from the wrist's crease to the middle fingertip, as a ruler measures it, and hands of that size.

Separate from `bone_lengths`, which reads shape from landmarks: size is what one camera cannot see, so that it comes
from outside (`--hand-size`, `--shape-from`) or stays the average adult's.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from hmpfit.hands.bone_lengths import log_lengths
from hmpfit.hands.kinematics import Kinematics
from hmpfit.hands.model import HandModels
from hmpfit.hands.rigid_motion import rest_wrists
from hmpfit.records import Floats, HandMotion
from hmpfit.skeleton import BONES, openpose

# Relative standard deviations. Among adults, men and women together: hand length of ANSUR II (Gordon et al. 2014). Of a
# hand that was measured: a ruler's 2 mm and the proportions behind the one length.
ADULT_STD, MEASURED_STD = 0.06, 0.02
_STRAIGHT = [openpose(name) for name in ("wrist", "middle1", "middle2", "middle3", "middle_tip")]
_STEPS = 8


def size_mm(kin: Kinematics, betas: Tensor) -> float:
    """Return the size of the shape betas [10]: the bones from the wrist to the middle fingertip, laid straight."""
    return float(1e3 * _straight(log_lengths(kin, betas)[0].exp()).sum())


def betas_of_size(kin: Kinematics, wanted_mm: float, betas: Tensor) -> Tensor:
    """Return the shape [10] of the wanted size that is nearest to betas [10], in standard deviations."""
    for _ in range(_STEPS):
        logs, by_betas = log_lengths(kin, betas)
        lengths = logs.exp()
        total = _straight(lengths).sum()
        slope = _straight(lengths[:, None] * by_betas).sum(0) / total
        betas = betas + slope * (np.log(wanted_mm / 1e3) - total.log()) / slope.square().sum()
    return betas


def with_betas(motion: HandMotion, betas: Floats, models: HandModels) -> HandMotion:
    """Return a motion whose hands have the shapes betas [H, 10], at depths that keep their size in the picture."""
    ratios = np.array(
        [
            size_mm(kin, torch.as_tensor(new)) / size_mm(kin, torch.as_tensor(old))
            for kin, old, new in zip(_kinematics(motion, models), motion.betas, betas)
        ]
    )
    wrists = ratios[:, None, None] * (motion.transl + rest_wrists(motion, models)[:, None])
    changed = replace(motion, betas=betas)
    return replace(changed, transl=wrists - rest_wrists(changed, models)[:, None])


def hands_of_size(motion: HandMotion, wanted_mm: float, models: HandModels) -> HandMotion:
    """Return a motion whose hands have a size in mm."""
    kinds = _kinematics(motion, models)
    betas = [
        betas_of_size(kin, wanted_mm, torch.as_tensor(shape, dtype=torch.float64)).numpy()
        for kin, shape in zip(kinds, motion.betas)
    ]
    return with_betas(motion, np.array(betas).reshape(motion.betas.shape), models)


def sizes_mm(motion: HandMotion, models: HandModels) -> list[float]:
    """Return the size of each hand."""
    return [size_mm(kin, torch.as_tensor(b)) for kin, b in zip(_kinematics(motion, models), motion.betas)]


def _kinematics(motion: HandMotion, models: HandModels) -> list[Kinematics]:
    return [Kinematics.of(models.side(bool(side)), landmark_offsets=False) for side in motion.is_right]


def _straight(values: Tensor) -> Tensor:
    rows = [BONES.index((a, b)) for a, b in pairwise(_STRAIGHT)]
    return values[rows]
