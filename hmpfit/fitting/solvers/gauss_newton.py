"""Damped Gauss-Newton on the block structure of the fit: the default solver."""

import logging
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hmpfit.fitting.linearize import RIGID, linearize
from hmpfit.fitting.problem import Problem, retract
from hmpfit.fitting.solvers.arrow import FREE_POSE_SEGMENT, Segments, Step, cut_frames, factor
from hmpfit.fitting.solvers.outcome import Solved, keep_better, report
from hmpfit.fitting.term import Motion

log = logging.getLogger("hmpfit")
RIGID_SEGMENT = 96


def solve(
    problem: Problem, start: Motion, stage: dict[str, Any], on_step: Callable[[int, int], None] | None = None
) -> Solved:
    """Minimise by Levenberg-Marquardt: damping per problem, steps that do not lower the cost are not taken.

    Reads `steps` (at most), `tolerance` (relative fall of the cost that counts as none) and `damping` (first value)
    from the stage. Damping follows Nielsen 1999, "Damping parameter in Marquardt's method", section 2. A non-finite
    cost ends the stage with the best motion so far.
    """
    began = time.perf_counter()
    steps, tolerance = int(stage["steps"]), float(stage["tolerance"])
    motion = problem.motion(start)
    segments = segments_of(problem, motion)
    first_terms = problem.term_costs(motion)
    cost = torch.stack(list(first_terms.values())).sum(0)
    first_cost, history = cost, [cost]
    damping = torch.full_like(cost, float(stage["damping"]))
    growth = torch.full_like(cost, 2.0)
    running = torch.isfinite(cost)
    outcome = "out_of_steps" if bool(running.all()) else "not_finite"
    taken = 0
    blocks = None
    while taken < steps and bool(running.any()):
        if blocks is None:
            blocks = linearize(problem, motion)
        try:
            move = factor(blocks, segments, damping).solve()
        except torch.linalg.LinAlgError:
            damping, growth = damping * growth.clamp_min(10), growth * 2
            if float(damping.max()) > 1e12:
                outcome = "not_finite"
                break
            continue
        taken += 1
        candidate = problem.motion(retract(motion, _delta(problem, move, running)))
        new_cost = problem.cost(candidate)
        expected = _expected_fall(blocks, move, damping)
        fall = cost - new_cost
        better = running & torch.isfinite(new_cost) & (fall > 0)
        gain = fall / expected.clamp_min(1e-300)
        shrink = (1 - (2 * gain - 1) ** 3).clamp(0.1, 2)
        damping = torch.where(better, damping * shrink, damping * growth).clamp(1e-9, 1e12)
        growth = torch.where(better, torch.full_like(growth, 2.0), growth * 2)
        small = torch.where(better, fall, expected) <= tolerance * cost
        stuck = ~better & (damping > 1e8)
        running = running & ~(small & (better | (expected <= tolerance * cost))) & ~stuck
        if bool(better.any()):
            motion = keep_better(candidate, motion, better)
            cost = torch.where(better, new_cost, cost)
            blocks = None
        history.append(cost)
        if on_step is not None:
            on_step(taken, steps)
        if not bool(running.any()):
            outcome = "converged"
    return report(problem, motion, stage, "gauss_newton", outcome, taken, first_cost, first_terms, history, began)


def segments_of(problem: Problem, motion: Motion) -> Segments:
    """Cut the clip where the linear algebra wants it: at the windows, or evenly where no latent is free."""
    if "latent" in problem.free and problem.field is not None:
        return problem.field.layout.segments
    return cut_frames(motion.transl.shape[1], FREE_POSE_SEGMENT if "hand_pose" in problem.free else RIGID_SEGMENT)


def _delta(problem: Problem, move: Step, running: Tensor) -> dict[str, Tensor]:
    """Name the parts of a step; variables that are not free, and problems that have ended, do not move."""
    parts = {
        "global_orient": move.frame[..., :3],
        "transl": move.frame[..., 3:RIGID],
        "betas": move.betas,
        "latent": move.latent,
        "hand_pose": move.frame[..., RIGID:].unflatten(-1, (-1, 3)),
    }
    return {
        name: torch.where(running.reshape(-1, *[1] * (parts[name].ndim - 1)), parts[name], 0.0) for name in problem.free
    }


def _expected_fall(blocks: Any, move: Step, damping: Tensor) -> Tensor:
    """Return the fall of the quadratic model, x'(damping diag(H) x - g), where the cost is the sum of squares."""

    def part(x: Tensor, g: Tensor, matrix: Tensor) -> Tensor:
        diagonal = torch.diagonal(matrix, dim1=-2, dim2=-1)
        scale = damping.reshape(-1, *[1] * (x.ndim - 1))
        return (x * (scale * diagonal * x - g)).flatten(1).sum(1)

    fall = part(move.frame, blocks.g_frame, blocks.frame) + part(move.betas, blocks.g_betas, blocks.betas)
    if move.latent.shape[-1]:
        fall = fall + part(move.latent, blocks.g_latent, blocks.latent)
    return fall
