"""Second-order model of a problem at a motion: the blocks of J'WJ and J'Wr, never a whole matrix.

Per frame a block over (rotation, translation[, pose]), chained to the next frame; bordered by the latents of the
frame's own and previous window and by the shape. What terms say is summed in `local_sums.py`; the chain to the unknowns
is the hand's analytic Jacobian and the decoder's (`latent_blocks.py`).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hmpfit.fitting.latent_blocks import LatentBlocks, latent_blocks
from hmpfit.fitting.local_sums import POSE, RIGID, SHAPE, At, LocalSums
from hmpfit.fitting.problem import Problem, retract
from hmpfit.fitting.term import Motion, cast
from hmpfit.hands.kinematics import landmark_jacobian

__all__ = ["POSE", "RIGID", "SHAPE", "Blocks", "linearize", "with_gradient"]


@dataclass(frozen=True)
class Blocks:
    """Blocks of the normal equations. F = 6, or 51 where finger poses are free; L = 0 where no latent is free.

    `frame` [B,T,F,F], `next` [B,T-1,F,F] (frame t rows, frame t+1 columns), `frame_betas` [B,T,F,10],
    `frame_latent` [B,T,2,F,L], `betas` [B,10,10], `latent` [B,W,L,L], `latent_previous` [B,W,L,L] (window w rows,
    window w-1 columns), `latent_betas` [B,W,L,10]; gradients `g_frame` [B,T,F], `g_betas` [B,10], `g_latent` [B,W,L].
    """

    frame: Tensor
    next: Tensor
    frame_betas: Tensor
    frame_latent: Tensor
    betas: Tensor
    latent: Tensor
    latent_previous: Tensor
    latent_betas: Tensor
    g_frame: Tensor
    g_betas: Tensor
    g_latent: Tensor


def linearize(problem: Problem, motion: Motion, work: Problem | None = None) -> Blocks:
    """Return the blocks of the Gauss-Newton model at `motion`, robust kernels taken as weights (IRLS).

    `motion` comes from `problem.motion`. `work` is the same problem in the dtype that derivatives and blocks shall have
    (default: the problem's own); residuals are always evaluated in the problem's.
    """
    work = work or problem
    low = cast(motion, work.kinematics.joints.dtype)
    low_points, d_points = landmark_jacobian(work.kinematics, low.global_R, low.hand_R, low.betas[:, None], low.transl)
    free_pose, free_latent = "hand_pose" in problem.free, "latent" in problem.free and work.field is not None
    if not (free_pose or free_latent):
        d_points = d_points[..., : RIGID + SHAPE]
    points = low_points if work is problem else problem.points(motion)
    at = At(problem, motion, points, low, low_points, work.evidence, d_points)
    sums = LocalSums(at, RIGID + POSE if free_pose else RIGID)
    for item in problem.terms:
        sums.add(at, item)
    latents = None
    if free_latent:
        assert work.field is not None and low.latent is not None and low.six is not None
        latents = latent_blocks(work.field, low.latent, low.six, sums)
    return _assemble(sums, latents)


def with_gradient(blocks: Blocks, problem: Problem, motion: Motion) -> Blocks:
    """Return the blocks with the gradient at another motion, J'Wr by reverse mode: far less work than `linearize`."""
    zero = {"global_orient": motion.transl, "transl": motion.transl, "betas": motion.betas, "latent": motion.latent}
    zero["hand_pose"] = motion.hand_R[..., 0]
    with torch.enable_grad():
        at = {
            name: torch.zeros_like(like).requires_grad_() for name in problem.free if (like := zero[name]) is not None
        }
        cost = problem.cost(problem.motion(retract(motion, at))).sum()
        found = dict(zip(at, torch.autograd.grad(cost, list(at.values()), allow_unused=True), strict=True))
    half = {name: 0.5 * g if (g := found.get(name)) is not None else torch.zeros_like(at[name]) for name in at}
    frame = [
        half.get("global_orient"),
        half.get("transl"),
        half["hand_pose"].flatten(2) if "hand_pose" in half else None,
    ]
    like = blocks.frame
    return replace(
        blocks,
        g_frame=torch.cat([part for part in frame if part is not None], dim=-1).to(like),
        g_betas=half["betas"].to(like),
        g_latent=half["latent"].to(like) if "latent" in half else blocks.g_latent,
    )


def _assemble(sums: LocalSums, latents: LatentBlocks | None) -> Blocks:
    shape = slice(RIGID, RIGID + SHAPE)
    columns = torch.arange(sums.local.shape[-1], device=sums.local.device)
    columns = torch.cat((columns[:RIGID], columns[RIGID + SHAPE :]))[: sums.size]
    frame = sums.local[..., columns, :][..., columns]
    g_frame = sums.g_local[..., columns]
    frame[:, :-1] += sums.first
    frame[:, 1:] += sums.second
    g_frame[:, :-1] += sums.g_first
    g_frame[:, 1:] += sums.g_second
    betas = sums.betas + sums.local[..., shape, shape].sum(1)
    g_betas = sums.g_betas + sums.g_local[..., shape].sum(1)
    frame_betas = sums.local[..., columns, :][..., shape]
    b, t = frame.shape[:2]
    new = frame.new_zeros
    if latents is None:
        latents = LatentBlocks(
            new(b, t, 2, sums.size, 0), new(b, 1, 0, 0), new(b, 1, 0, 0), new(b, 1, 0, SHAPE), new(b, 1, 0)
        )
    return Blocks(
        frame, sums.cross, frame_betas, latents.frame_latent, betas, latents.latent, latents.latent_previous,
        latents.latent_betas, g_frame, g_betas, latents.g_latent,
    )  # fmt: skip
