"""Marginalize the past of a sliding window into a Gaussian over the next frame's state and the shape.

Frames that leave the window are eliminated from the normal equations of all that they alone had a part in (Schur
complement: Sibley, Matthies and Sukhatme 2010, "Sliding window filter", section 3); what remains acts on the first
frame that stays. The linearization point stays where the frames left.
"""

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from hmpfit.fitting.normal_equations.blocks import ArrowheadSystem
from hmpfit.fitting.normal_equations.linearize import POSE, RIGID, SHAPE, linearize
from hmpfit.fitting.problem import Problem
from hmpfit.geometry import rotations
from hmpfit.interfaces.prior import PathPriorLike
from hmpfit.interfaces.term import Motion, take_frames

FRAME = RIGID + POSE
SIZE = FRAME + SHAPE
EVIDENCE = ("seen", "confidence", "world_seen", "world_confidence", "initial_confidence")
_FLOOR = 1e-9


@dataclass(frozen=True)
class MarginalPrior:
    """x'Hx + 2 g'x with x the difference of (rotation, translation, pose; shape) of a window's first frame from `at`.

    `H` [B, 61, 61], `g` [B, 61], float64; `at` is a motion of one frame. Zeros say nothing.
    """

    H: Tensor
    g: Tensor
    at: Motion

    @classmethod
    def nothing(cls, motion: Motion) -> "MarginalPrior":
        """Return the prior of hands without a past; `motion` is their window's."""
        hands = len(motion.transl)
        zero = torch.zeros(hands, SIZE, SIZE, dtype=torch.float64)
        return cls(zero, zero[..., 0].clone(), take_frames(motion, 0, 1))

    def rows(self, rows: Tensor) -> "MarginalPrior":
        """Return the prior of some hands."""
        at = Motion(self.at.global_R[rows], self.at.transl[rows], self.at.betas[rows], self.at.hand_R[rows])
        return MarginalPrior(self.H[rows], self.g[rows], at)

    def cost(self, motion: Motion) -> Tensor:
        """Return the cost of a window's motion, [B], up to a constant."""
        x = self._difference(motion)
        return ((x[:, None] @ self.H)[:, 0] * x + 2 * self.g * x).sum(-1)

    def added(
        self, blocks: ArrowheadSystem, motion: Motion, bent: "Bending | None", matrix: bool = True
    ) -> ArrowheadSystem:
        """Return the blocks at a motion with the prior's gradient, and with `matrix` its second derivative.

        `bent` says how the first frame's pose depends on the latents; None where the poses themselves are free.
        """
        H = self.H.to(blocks.frame)
        g = ((self.H @ self._difference(motion)[..., None])[..., 0] + self.g).to(blocks.frame)
        width, shape = blocks.frame.shape[-1], slice(FRAME, SIZE)
        g_frame = blocks.g_frame.clone()
        g_frame[:, 0] += g[:, :width]
        out = replace(blocks, g_frame=g_frame, g_betas=blocks.g_betas + g[:, shape])
        if matrix:
            frame, between = blocks.frame.clone(), blocks.frame_betas.clone()
            frame[:, 0] += H[:, :width, :width]
            between[:, 0] += H[:, :width, shape]
            out = replace(out, frame=frame, frame_betas=between, betas=blocks.betas + H[:, shape, shape])
        return out if bent is None else bent.added(out, H, g, matrix)

    def _difference(self, motion: Motion) -> Tensor:
        turn = rotations.log(motion.global_R[:, 0] @ self.at.global_R[:, 0].mT)
        bent = rotations.log(self.at.hand_R[:, 0].mT @ motion.hand_R[:, 0]).flatten(1)
        moved = motion.transl[:, 0] - self.at.transl[:, 0]
        return torch.cat((turn, moved, bent, motion.betas - self.at.betas), dim=-1).double()


@dataclass(frozen=True)
class Bending:
    """How the pose of a window's first frame depends on the window's code and latents: [B, 45, C] and [B, 45, L]."""

    by_code: Tensor
    by_latent: Tensor

    @classmethod
    def of(cls, problem: Problem, motion: Motion) -> "Bending | None":
        """Return it at a motion, in the dtype of the problem's field; None where no latent is free."""
        field = problem.field
        if "latent" not in problem.free or field is None or motion.latent is None or motion.rot6d is None:
            return None
        rot6d, latent = motion.rot6d[:, :1].to(field.dtype), motion.latent[:, 0].to(field.dtype)
        prepared = field.prior.prepare(latent.new_zeros(1))
        if field.prior.has_path:
            code = cast(PathPriorLike, field.prior).decode_path_jacobian(latent, prepared)[1]
        else:
            code = field.prior.decode_jacobian(latent, prepared)[1]
        by_code = (field.blend_jacobian(rot6d)[:, 0] @ code[:, 0].to(rot6d).unflatten(1, (15, 6))).flatten(1, 2)
        return cls(by_code, by_code @ prepared.path[0].to(rot6d) if field.prior.has_path else by_code)

    def added(self, blocks: ArrowheadSystem, H: Tensor, g: Tensor, matrix: bool) -> ArrowheadSystem:
        """Add a prior on the pose to the blocks of the latents."""
        pose, rigid, shape = slice(RIGID, FRAME), slice(0, RIGID), slice(FRAME, SIZE)
        by_code, by_latent = self.by_code.to(blocks.frame), self.by_latent.to(blocks.frame)
        g_latent = blocks.g_latent.clone()
        g_latent[:, 0] += (g[:, None, pose] @ by_latent)[:, 0]
        if not matrix:
            return replace(blocks, g_latent=g_latent)
        code, latent, betas = blocks.frame_code.clone(), blocks.latent.clone(), blocks.latent_betas.clone()
        code[:, 0, 0] += H[:, rigid, pose] @ by_code
        latent[:, 0] += by_latent.mT @ H[:, pose, pose] @ by_latent
        betas[:, 0] += by_latent.mT @ H[:, pose, shape]
        return replace(blocks, g_latent=g_latent, frame_code=code, latent=latent, latent_betas=betas)


def marginalize(problem: Problem, motion: Motion, before: MarginalPrior, leaving: int) -> MarginalPrior:
    """Return the prior that the first `leaving` frames of a window and their own prior leave on the next frame.

    `problem` and `motion` [B, T] are the window's, T > leaving. Terms of the shape alone stay with the window.
    """
    last = leaving + 1
    evidence = take_frames(problem.evidence, 0, last)
    changes = {}
    for name in EVIDENCE:  # what the frame that stays sees, the next window counts itself
        values = getattr(evidence, name).clone()
        values[:, leaving] = 0
        changes[name] = values
    terms = tuple(item for item in problem.terms if item.term.depends_on != "betas")
    part = replace(problem, evidence=replace(evidence, **changes), terms=terms, low_dtype=None)
    at = take_frames(motion, 0, last)
    blocks = before.added(linearize(part, at), at, None)
    kept, g = _eliminated(blocks, leaving)
    return MarginalPrior(kept, g, take_frames(motion, leaving, last))


def _eliminated(blocks: ArrowheadSystem, leaving: int) -> tuple[Tensor, Tensor]:
    """Take the frames 0..leaving out of the blocks one after the other."""
    H, g = _joint(blocks, 0, blocks.betas, blocks.g_betas)
    for frame in range(leaving):
        own, g_own = H[:, :FRAME, :FRAME], g[:, :FRAME]
        to_betas = H[:, :FRAME, FRAME:]
        across = torch.cat((blocks.before[:, frame + 1].double(), to_betas), dim=-1)
        diagonal = torch.diagonal(own, dim1=-2, dim2=-1)
        lower, _ = torch.linalg.cholesky_ex(own + torch.diag_embed(1e-9 * diagonal + _FLOOR))
        solved = torch.linalg.solve_triangular(lower, torch.cat((across, g_own[..., None]), -1), upper=False)
        columns, right = solved[..., :-1], solved[..., -1:]
        H, g = _joint(blocks, frame + 1, H[:, FRAME:, FRAME:], g[:, FRAME:])
        H = H - columns.mT @ columns
        g = g - (columns.mT @ right)[..., 0]
    return 0.5 * (H + H.mT), g


def _joint(blocks: ArrowheadSystem, frame: int, betas: Tensor, g_betas: Tensor) -> tuple[Tensor, Tensor]:
    """Return the matrix and gradient of one frame and the shape."""
    own, between = blocks.frame[:, frame].double(), blocks.frame_betas[:, frame].double()
    rows = torch.cat((own, between), -1), torch.cat((between.mT, betas.double()), -1)
    return torch.cat(rows, -2), torch.cat((blocks.g_frame[:, frame].double(), g_betas.double()), -1)
