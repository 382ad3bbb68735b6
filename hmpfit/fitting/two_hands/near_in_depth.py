"""Hands whose pictures meet are probably near each other in depth as well, which one camera hardly measures.

Separate from the contact of meshes: this looks at landmarks alone, draws hands towards each other instead of apart, and
gives in to clear evidence (a robust kernel).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hmpfit.fitting.kernels import Kernel, make_kernel
from hmpfit.fitting.problem import Problem, WeightedTerm
from hmpfit.fitting.term import Evidence, Motion, Residual, Term
from hmpfit.fitting.two_hands.contacts import Pairs
from hmpfit.fitting.two_hands.resolve_penetration import Pull

BESIDE_M = 0.03  # between landmarks across the line of sight, within which their depths are compared
THICK_M = 0.02  # between the landmarks of hands that lie on each other: half of either's thickness
ENOUGH = 3.0  # landmarks, weighed by their nearness, that make a full say


@dataclass(frozen=True)
class NearInDepth:
    """How strongly: the weight of squared metres of a frame, and the distance from which hands may be apart."""

    pairs: Pairs
    weight: float
    scale_m: float

    def pull(self, problem: Problem, motion: Motion) -> Pull:
        """Return what draws the two hands together: a residual for each frame in which their pictures meet."""
        meet = self._meet(problem, motion)
        frames = meet.share.nonzero()[:, 0].cpu().numpy()
        ways = np.tile([0.0, 0.0, -1.0, 0.0, 0.0, 1.0], (len(frames), 1))
        size, share = ((part.double().cpu().numpy())[frames] for part in (meet.missing, meet.share))
        return Pull(frames.astype(np.float64), ways, size, share, self.weight, self._kernel, one_sided=False)

    def held(self, problem: Problem, motion: Motion) -> Problem:
        """Return the problem with a term that holds each hand half way to the other, as they lie in a motion."""
        meet = self._meet(problem, motion)
        points = problem.points(motion)
        landmark, depth = points.new_zeros(points.shape[:3]), points.new_zeros(points.shape[:2])
        share = torch.zeros_like(depth)
        for row, own, at, side in zip(self.pairs.rows[0], meet.landmarks, meet.depths, (-0.5, 0.5)):
            landmark[row], depth[row], share[row] = own, at + side * meet.missing, meet.share
        evidence = replace(problem.evidence, near_landmark=landmark, near_depth=depth, near_share=share)
        return replace(
            problem, evidence=evidence, terms=(*problem.terms, WeightedTerm(NEAR, self.weight, self._kernel, {}))
        )

    @property
    def _kernel(self) -> Kernel:
        return make_kernel("geman_mcclure", self.scale_m)

    def met(self, problem: Problem, motion: Motion) -> bool:
        """Tell whether the pictures of the hands meet anywhere."""
        return self._meet(problem, motion).met

    def _meet(self, problem: Problem, motion: Motion) -> "Meet":
        points = problem.points(motion)
        here, there = (points[row] * self.pairs.flips[row].to(points) for row in self.pairs.rows[0])
        return where_pictures_meet(here, there)


@dataclass(frozen=True)
class Meet:
    """Where the pictures of two hands meet, T frames."""

    landmarks: tuple[Tensor, Tensor]  # [T, 21] each: shares of the landmarks that lie there, sum 1 (or 0)
    depths: tuple[Tensor, Tensor]  # [T] each: their mean depth, metres
    missing: Tensor  # [T] metres by which the first hand is too far behind the other to touch it, negative: before it
    share: Tensor  # [T] 0..1, 0 in frames without such landmarks, and where the hands are near
    met: bool  # whether there are such landmarks in any frame


def where_pictures_meet(here: Tensor, there: Tensor) -> Meet:
    """Compare two hands' landmarks [T, 21, 3]: those that lie beside each other across the line of sight."""
    depth = 0.5 * (here[..., 2].mean(-1) + there[..., 2].mean(-1))[:, None, None]
    sides = [points[..., :2] / points[..., 2:].clamp_min(1e-3) * depth for points in (here, there)]
    beside = (1 - torch.cdist(sides[0], sides[1]) / BESIDE_M).clamp_min(0)
    total = beside.sum((1, 2))
    landmarks = tuple(beside.sum(axis) / total.clamp_min(1e-9)[:, None] for axis in (2, 1))
    depths = tuple((own * points[..., 2]).sum(1) for own, points in zip(landmarks, (here, there)))
    gap = depths[0] - depths[1]
    missing = gap - gap.clamp(-THICK_M, THICK_M)
    share = torch.where(missing != 0, (total / ENOUGH).clamp_max(1.0), 0.0)
    return Meet((landmarks[0], landmarks[1]), (depths[0], depths[1]), missing, share, bool((total > 0).any()))


def near_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: dict[str, Any]) -> Residual:
    """Return how far the landmarks where pictures meet are from half way to touching, twice, [B, T, 1, 1] metres."""
    assert evidence.near_landmark is not None and evidence.near_depth is not None and evidence.near_share is not None
    depth = (evidence.near_landmark * points[..., 2]).sum(-1)
    return Residual(2 * (depth - evidence.near_depth)[..., None, None], 0.5 * evidence.near_share[..., None])


NEAR = Term("near_in_depth", "points", near_residuals)
