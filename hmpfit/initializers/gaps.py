"""Frames that no initializer saw: rotations by SLERP, translation linearly, nearest neighbor at the ends.

This alone is the paper's "+ SLERP" row. Every filled frame says so in `status`.
"""

from dataclasses import replace

import numpy as np
import torch

from hmpfit.errors import NoHandError
from hmpfit.geometry import rotations
from hmpfit.records import DETECTED, EXTRAPOLATED, INTERPOLATED, Bools, Floats, HandMotion


def fill_gaps(motion: HandMotion, seen: Bools, times_s: Floats) -> HandMotion:
    """Fill the frames of each hand that are not `seen` [H, T], by their real times [T] in seconds.

    Raises NoHandError when a hand was seen in no frame.
    """
    if not seen.any(axis=1).all():
        raise NoHandError("A hand has no frame in which it was seen; there is nothing to fill its gaps from.")
    left, right, fraction = _neighbors(seen, np.asarray(times_s, dtype=np.float64))
    rows = np.arange(len(seen))[:, None]

    def turned(angles: Floats) -> Floats:
        shape = (*fraction.shape, *[1] * (angles.ndim - 3))
        a, b = (rotations.exp(torch.as_tensor(angles[rows, side], dtype=torch.float64)) for side in (left, right))
        share = torch.as_tensor(fraction.reshape(shape)).expand(angles.shape[:-1])
        filled = rotations.log(rotations.slerp(a, b, share)).numpy()
        return np.where(seen.reshape(*seen.shape, *[1] * (angles.ndim - 2)), angles, filled)

    weight = fraction[..., None]
    moved = motion.transl[rows, left] * (1 - weight) + motion.transl[rows, right] * weight
    status = np.where(seen, DETECTED, np.where(left == right, EXTRAPOLATED, INTERPOLATED)).astype(np.uint8)
    return replace(
        motion,
        global_orient=turned(motion.global_orient),
        hand_pose=turned(motion.hand_pose),
        transl=np.where(seen[..., None], motion.transl, moved),
        status=status,
    )


def _neighbors(seen: Bools, times_s: Floats) -> tuple[np.ndarray, np.ndarray, Floats]:
    """Return the seen frames before and after each frame, [H, T], equal at the ends, and the place between, 0..1."""
    hands, frames = seen.shape
    index = np.broadcast_to(np.arange(frames), (hands, frames))
    left = np.maximum.accumulate(np.where(seen, index, -1), axis=1)
    right = np.minimum.accumulate(np.where(seen, index, frames)[:, ::-1], axis=1)[:, ::-1]
    left, right = np.where(left < 0, right, left), np.where(right == frames, left, right)
    span = times_s[right] - times_s[left]
    fraction = np.where(span > 0, (times_s[index] - times_s[left]) / np.where(span > 0, span, 1.0), 0.0)
    return left, right, fraction
