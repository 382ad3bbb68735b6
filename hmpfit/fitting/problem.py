"""The objective, stated once: free variables, weighted terms, evidence. Solvers read it, nothing else defines it."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from hmpfit.errors import InputError, UnknownNameError
from hmpfit.fitting.clip_part import ClipPart
from hmpfit.fitting.kernels import Kernel, make_kernel
from hmpfit.fitting.pose_field import PoseField
from hmpfit.geometry import rotations
from hmpfit.hands.kinematics import Kinematics, landmark_points
from hmpfit.interfaces.term import Evidence, Motion, Residual, Term, cast, take_evidence
from hmpfit.recipes.schema import KernelSettings, Stage
from hmpfit.registry import load, names

FREE = ("global_orient", "transl", "betas", "latent", "hand_pose")


@dataclass(frozen=True)
class WeightedTerm:
    """A term with the recipe's weight, kernel and options."""

    term: Term
    weight: float
    kernel: Kernel
    options: Any  # the record that the term declares


@dataclass(frozen=True)
class Problem:
    """One stage for B hands at once; each hand is a problem of its own with its own cost.

    Where `shape_rows` says so, hands share one shape, that of the first of them, and are one problem: the cost of each
    is the mean of theirs.
    """

    kinematics: Kinematics
    evidence: Evidence
    terms: tuple[WeightedTerm, ...]
    free: tuple[str, ...]
    field: PoseField | None = None
    reduction: str = "sum"
    low_dtype: torch.dtype | None = None  # of derivatives and matrices, where it is not the unknowns' own
    low_field: PoseField | None = None
    shape_rows: Tensor | None = None  # [B] the first row of those that share a shape, its own for a hand alone
    part: ClipPart | None = None  # of a clip in two parts: which one this is; costs are those of the whole clip

    def motion(self, motion: Motion) -> Motion:
        """Fill in what follows from the unknowns: the finger poses decoded from the latents, and shared shapes."""
        if self.shape_rows is not None:
            motion = replace(motion, betas=motion.betas[self.shape_rows])
        if self.field is None or motion.latent is None or "latent" not in self.free:
            return motion
        rot6d = self.field.decode(motion.latent)
        return replace(motion, rot6d=rot6d, hand_R=self.field.blend(rot6d))

    def points(self, motion: Motion) -> Tensor:
        """Return the landmark points [B, T, 21, 3] of a motion."""
        return landmark_points(self.kinematics, motion.global_R, motion.hand_R, motion.betas[:, None], motion.transl)

    @cached_property
    def low(self) -> "Problem":
        """The same problem in the dtype of derivatives and matrices."""
        if self.low_dtype is None or self.low_dtype == self.kinematics.joints.dtype:
            return self
        evidence, kinematics = cast(self.evidence, self.low_dtype), self.kinematics.to(self.low_dtype)
        return replace(self, kinematics=kinematics, evidence=evidence, field=self.low_field, low_dtype=None)

    def rows(self, rows: Tensor) -> "Problem":
        """Return some problems of the batch."""
        shared = None if self.shape_rows is None else torch.searchsorted(rows, self.shape_rows[rows])
        evidence = take_evidence(self.evidence, rows)
        return replace(self, kinematics=self.kinematics.rows(rows), evidence=evidence, shape_rows=shared)

    def mean_of_sharing(self, values: Tensor) -> Tensor:
        """Return values [B, ...] with the mean over the hands that share a shape in the place of each."""
        return values if self.shape_rows is None else mean_by_first(values, self.shape_rows)

    def scale(self, item: WeightedTerm, residual: Residual) -> float | Tensor:
        """Return what multiplies a term's summed cost: its weight, over the count of numbers where means are meant.

        Padding does not count: where clips of a batch are padded the answer is [B, 1, 1]. The residual may be that of
        some frames only: the clip's count.
        """
        if self.reduction == "sum":
            return item.weight
        half = 0.5 if item.term.depends_on == "step" else 1.0
        each, exists = residual.values[0, :1].numel(), self.evidence.exists
        if item.term.depends_on in ("betas", "latent"):
            return item.weight * half / max(each * residual.values.shape[1], 1)
        if exists is None:
            return item.weight * half / max(each * (len(self.evidence.times_s) - (item.term.depends_on == "step")), 1)
        steps = self.evidence.steps_exist() if item.term.depends_on == "step" else exists
        assert isinstance(steps, Tensor)
        return item.weight * half / (each * steps.sum(1)).clamp_min(1)[:, None, None]

    def term_costs(self, motion: Motion) -> dict[str, Tensor]:
        """Return each term's weighted cost per problem, [B]."""
        own = self._own_costs(motion)
        if self.part is not None:
            (own,) = self.part.total(own)
        return dict(zip((item.term.name for item in self.terms), own, strict=True))

    def cost(self, motion: Motion, filled: bool = False) -> Tensor:
        """Return the cost per problem, [B]; `filled` says that the motion comes from `motion` as it is."""
        own = self.own_cost(motion, filled)
        return own if self.part is None else self.part.total(own)[0]

    def own_cost(self, motion: Motion, filled: bool = False) -> Tensor:
        """Return the cost per problem without what the other part of the clip costs, [B]."""
        return self.mean_of_sharing(self._own_costs(motion, filled).sum(0))

    def confidence(self, item: WeightedTerm, residual: Residual, evidence: Evidence) -> Tensor:
        """Return the confidence of a term's residuals, 0 where the other part of the clip counts them.

        `evidence` is that of the residual's frames.
        """
        depends_on, counted = item.term.depends_on, evidence.counted
        if counted is None or depends_on == "step":
            return residual.confidence
        if depends_on in ("betas", "latent"):  # the shape and the first window are those of both parts
            first = torch.arange(residual.confidence.shape[1], device=counted.device) == 0
            return torch.where(first[:, None], 0.0, residual.confidence)
        return residual.confidence * counted[..., None]

    def _own_costs(self, motion: Motion, filled: bool = False) -> Tensor:
        motion = motion if filled else self.motion(motion)
        points = self.points(motion)
        return torch.stack([self._cost(item, motion, points) for item in self.terms])

    def _cost(self, item: WeightedTerm, motion: Motion, points: Tensor) -> Tensor:
        residual = item.term.residuals(motion, points, self.evidence, item.options)
        rho = item.kernel.rho((residual.values**2).sum(-1))
        return (self.scale(item, residual) * self.confidence(item, residual, self.evidence) * rho).sum((1, 2))


def mean_by_first(values: Tensor, first: Tensor) -> Tensor:
    """Return values [B, ...] with the mean over the rows of one `first` row [B] in the place of each."""
    sums = torch.zeros_like(values).index_add(0, first, values)
    counts = torch.bincount(first, minlength=len(first)).to(values)
    return (sums / counts.clamp_min(1).reshape(-1, *[1] * (values.ndim - 1)))[first]


def read_terms(stage: Stage, free: tuple[str, ...]) -> tuple[WeightedTerm, ...]:
    """Turn a recipe's stage (`weights`, `kernels`, `options` by term name) into weighted terms.

    A weight of 0 leaves the term out. Raises UnknownNameError for a term, option or kernel that does not exist, and
    InputError for a negative weight: no term drops out in silence.
    """
    known = names("terms")
    for table in ("weights", "kernels", "options", "coarse"):
        for name in getattr(stage, table):
            if name not in known:
                raise UnknownNameError(f"term under '{table}' of stage '{stage.name}'", name, known)
    terms = []
    for name, weight in stage.weights.items():
        if weight < 0:
            raise InputError(f"The weight of term '{name}' in stage '{stage.name}' is {weight}; it must be >= 0.")
        term: Term = load("terms", name)
        options = stage.options.get(name, term.options())
        if not isinstance(options, term.options):
            raise InputError(f"The options of term '{name}' in stage '{stage.name}' are no {term.options.__name__}.")
        if weight > 0 and (term.depends_on not in ("latent", "overlap") or "latent" in free):
            given = stage.kernels.get(name, KernelSettings())
            kernel = make_kernel(given.name, given.scale)
            terms.append(WeightedTerm(term, float(weight), kernel, options))
    return tuple(terms)


def retract(motion: Motion, delta: dict[str, Tensor]) -> Motion:
    """Move the unknowns: rotations by R <- exp(d) R (global) and R <- R exp(d) (fingers), the rest by addition."""
    changes: dict[str, Tensor] = {}
    if "global_orient" in delta:
        changes["global_R"] = rotations.exp(delta["global_orient"]) @ motion.global_R
    if "hand_pose" in delta:
        changes["hand_R"] = motion.hand_R @ rotations.exp(delta["hand_pose"])
    for name in ("transl", "betas", "latent"):
        if name in delta:
            changes[name] = getattr(motion, name) + delta[name]
    return replace(motion, **changes)
