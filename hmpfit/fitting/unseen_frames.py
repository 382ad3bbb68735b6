"""Frames that show little or nothing of a hand, between others: a Gaussian process through the fitted frames around.

Separate from the stages because it follows them. What the fit does with frames that have no evidence is the prior's
and the smoothness terms': straight paths of the wrist, and fingers that move as hands generally do. On withheld
stretches the motion of this hand just before and after predicts more (`benchmarks/withheld_stretches.py`). Wrist and
fingers are treated apart: a thing may cover two fingers and nothing else.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.geometry.near_in_time import gaps
from hmpfit.interfaces.term import Evidence, Motion
from hmpfit.recipes.schema import UnseenFrameSettings
from hmpfit.records import Floats, Ids
from hmpfit.skeleton import FINGERS, MANO_JOINTS, OPENPOSE_21

_FULL = 0.5  # a landmark of less weight is covered
_LEAST_SHARE = 0.2  # what a pose counts of which no landmark was seen: the fit infers it from the rest of the hand


@dataclass(frozen=True)
class _Part:
    """What moves together: the landmarks that show it, and what it is: joints of the hand's pose, or the wrist's."""

    landmarks: tuple[int, ...]
    kind: Literal["place", "turn", "joints"]
    joints: tuple[int, ...] = ()


def _parts() -> list[_Part]:
    palm = tuple(row for row, name in enumerate(OPENPOSE_21) if name == "wrist" or name.endswith("1"))
    parts = [_Part(palm, "place"), _Part(palm, "turn")]
    for finger in FINGERS:
        shown = tuple(row for row, name in enumerate(OPENPOSE_21) if name.startswith(finger))
        joints = tuple(row for row, name in enumerate(MANO_JOINTS[1:]) if name.startswith(finger))
        parts.append(_Part(shown, "joints", joints))
    return parts


def bridge_unseen(motion: Motion, evidence: Evidence, options: UnseenFrameSettings) -> Motion:
    """Replace wrist and fingers in weak frames that lie between others.

    Rotations are interpolated in the tangent space at the last frame before. Frames before the first and after the
    last one that is not weak stay as they are.
    """
    times_s = evidence.times_s.cpu().numpy()
    weight, trusted = evidence.seen.cpu().numpy(), (evidence.confidence > 0).cpu().numpy()
    if not trusted.any():
        trusted = weight > 0  # no confidence was measured
    covered_noise = {"place": options.place_noise, "turn": options.turn_noise, "joints": options.weak_noise}
    out = replace(motion, global_R=motion.global_R.clone(), transl=motion.transl.clone(), hand_R=motion.hand_R.clone())
    for hand in range(len(weight)):
        sighted, blurred = weight[hand].any(-1), trusted[hand].sum(-1) < options.least_trusted
        for part in _parts():
            place = part.kind == "place"
            # A covered landmark informs about a hand's place, less about its turn, and not about its finger.
            seen = weight[hand] > (_FULL if part.kind == "joints" else 0)
            known = weight[hand] if part.kind == "turn" else seen
            share, few = known[:, part.landmarks].mean(-1), seen.sum(-1) < options.least_seen
            covered = few | (share < 0.5)
            weak = covered if place else covered | blurred
            noise = np.where(blurred, options.noise if place else options.blur_noise, options.noise)
            shown = np.maximum(np.minimum(share, known.mean(-1)), _LEAST_SHARE)
            hidden = covered_noise[part.kind] * (1 / shown**2 - 1) + options.noise
            noise = np.where(covered, hidden, noise)
            for start, stop in gaps(~weak):
                since, until = times_s[start] - options.span_s, times_s[stop - 1] + options.span_s
                near = np.flatnonzero(sighted & (times_s > since) & (times_s < until))
                near = np.union1d(near, (start - 1, stop))
                shares = process_weights(times_s[near], times_s[start:stop], noise[near], options.length_s)
                _replace(out, motion, hand, part, slice(start, stop), near, torch.as_tensor(shares).to(motion.transl))
    return out


def _replace(out: Motion, motion: Motion, hand: int, part: _Part, gap: slice, near: Ids, shares: Tensor) -> None:
    """Write a part's mean of the fitted frames `near`, by shares [n, m], into the frames of a gap."""
    if part.kind == "place":
        out.transl[hand, gap] = shares @ motion.transl[hand, near]
        return
    if part.kind == "turn":
        out.global_R[hand, gap] = _mix(shares, motion.global_R[hand, gap.start - 1], motion.global_R[hand, near])
        return
    joints = list(part.joints)
    given = motion.hand_R[hand][:, joints]
    out.hand_R[hand][gap][:, joints] = _mix(shares, given[gap.start - 1], given[near])


def _mix(shares: Tensor, base: Tensor, R: Tensor) -> Tensor:
    """Mix rotations R [m, ..., 3, 3] by shares [n, m] in the tangent space at `base`."""
    tangent = rotations.log(base.transpose(-1, -2) @ R)
    return base @ rotations.exp(torch.tensordot(shares, tangent, dims=1))


def process_weights(given_s: Floats, asked_s: Floats, noise: Floats, length_s: float) -> Floats:
    """Return the shares [n, m], of sum 1, that values at m given times have in the process's mean at n other times.

    Ordinary kriging: Rasmussen and Williams, Gaussian Processes for Machine Learning, equations 2.25, 2.41 and 4.17.
    """
    gain = np.linalg.inv(_matern(given_s, given_s, length_s) + np.diag(noise))
    ones = np.ones(len(given_s))
    mean = ones @ gain / (ones @ gain @ ones)
    smooth = _matern(asked_s, given_s, length_s) @ gain
    return np.asarray(smooth + (1 - smooth.sum(1, keepdims=True)) * mean)


def _matern(a: Floats, b: Floats, length_s: float) -> Floats:
    distance = np.sqrt(3.0) * np.abs(a[:, None] - b[None]) / length_s
    return np.asarray((1 + distance) * np.exp(-distance))
