"""Damped Gauss-Newton on the block structure of the fit: the default solver."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hmpfit.fitting.normal_equations.arrowhead import LinearSolution, factor, segment_frames
from hmpfit.fitting.normal_equations.elimination import Segmentation
from hmpfit.fitting.normal_equations.linearize import RIGID, ArrowheadSystem, linearize, with_gradient
from hmpfit.fitting.problem import Problem, retract
from hmpfit.fitting.solvers.history import Solved, SolveHistory, keep_better, put_rows, take_rows
from hmpfit.interfaces.term import Motion
from hmpfit.recipes.schema import Stage

RIGID_SEGMENT = 96
FREE_POSE_SEGMENT = 8
FULL_STEPS, REUSED = 3, 4
LONGER, SHORTER, LENGTHS = 2.0, 0.25, 3  # lengths tried along a step: powers of these
# Of the fall that the model expects of a full step, from which on a longer one is tried: by the parabola through the
# cost before, its slope and the cost after, twice the length is better from 4/3 on.
WORTH_LONGER = 1.3
LOOK_EVERY = 4  # steps on a GPU between checks of which problems have ended: each check makes the host wait


@dataclass(frozen=True)
class _Search:
    """The problems still running: `rows` of the batch, where they are, and their damping."""

    rows: Tensor  # [b] long
    problem: Problem
    motion: Motion
    cost: Tensor  # [b]
    damping: Tensor  # [b]
    growth: Tensor  # [b]
    running: Tensor  # [b] bool


def solve(problem: Problem, start: Motion, stage: Stage, on_step: Callable[[int, int], None] | None = None) -> Solved:
    """Minimize by Levenberg-Marquardt: damping per problem, steps that do not lower the cost are not taken.

    Read `steps` (at most), `tolerance` (relative fall of the cost that counts as none) and `damping` (first value)
    from the stage. Damping follows Nielsen 1999, "Damping parameter in Marquardt's method", section 2. A problem that
    has ended no longer moves and leaves the batch; on a GPU, which has to be waited for, when half of them have. A
    non-finite cost ends a problem with the best motion so far.
    """
    began = time.perf_counter()
    steps, tolerance = stage.steps, stage.tolerance
    motion = problem.motion(start)
    history = SolveHistory(problem, motion)
    cost, best = history.first_cost, motion
    on_host = cost.device.type == "cpu"
    rows, damping = torch.arange(len(cost), device=cost.device), torch.full_like(cost, stage.damping)
    search = _Search(rows, problem, motion, cost, damping, torch.full_like(cost, 2.0), torch.isfinite(cost))
    blocks: ArrowheadSystem | None = None
    moved, exact = True, False  # whether the last step was taken, and whether the blocks are those of this motion
    while history.taken < steps:
        if on_host or history.taken % LOOK_EVERY == 0:
            left = int(search.running.sum())
            if left == 0:
                break
            if left < len(search.rows) if on_host else 2 * left <= len(search.rows):
                best = put_rows(best, search.rows, search.motion)
                search, blocks = _narrowed(search, blocks)
        due = history.taken < FULL_STEPS or history.taken % REUSED == 0 or not moved
        if blocks is None or (due and not exact):
            blocks = None  # first of all: they are most of what a fit holds in memory
            blocks, exact = linearize(search.problem, search.motion, search.problem.low), True
        elif moved:
            blocks = with_gradient(blocks, search.problem, search.motion)
        search, better = _step(search, blocks, tolerance, on_host)
        moved = not on_host or bool(better.any())
        exact = exact and not moved
        history.note(search.rows, search.cost, search.running)
        if on_step is not None:
            on_step(history.taken, steps)
    best = put_rows(best, search.rows, search.motion)
    return history.close(best, stage, "gauss_newton", time.perf_counter() - began)


def _step(search: _Search, blocks: ArrowheadSystem, tolerance: float, on_host: bool = False) -> tuple[_Search, Tensor]:
    """Try one step of every running problem; also return which took it. `on_host`: asking for a number is cheap."""
    problem, motion, cost, damping = search.problem, search.motion, search.cost, search.damping
    move, ok = _solved(blocks, segmentation_of(problem, motion), damping, problem)
    running = search.running & ok
    delta = step_by_variable(problem, move, running, cost.dtype)
    candidate = problem.motion(retract(motion, delta))
    new_cost = problem.cost(candidate, filled=True)
    expected = problem.mean_of_sharing(_expected_fall(blocks, move, damping))
    if problem.part is not None:
        (expected,) = problem.part.total(expected)
    gain = (cost - new_cost) / expected.clamp_min(1e-300)
    full, long = (candidate, new_cost), gain > WORTH_LONGER
    candidate, new_cost = _search_along(problem, motion, delta, cost, full, long, running, on_host)
    fall = cost - new_cost
    better = running & torch.isfinite(new_cost) & (fall > 0)
    shrink = (1 - (2 * gain - 1) ** 3).clamp(0.1, 2)
    raised = (damping * torch.where(ok, search.growth, search.growth.clamp_min(10))).clamp(1e-9, 1e12)
    small = ok & (torch.where(better, fall, expected) <= tolerance * cost)
    ended = (small & (better | (expected <= tolerance * cost))) | (~better & (raised > 1e8))
    return _Search(
        search.rows,
        problem,
        keep_better(candidate, motion, better),
        torch.where(better, new_cost, cost),
        torch.where(better, (damping * shrink).clamp(1e-9, 1e12), raised),
        torch.where(better, 2.0, search.growth * 2),
        search.running & ~ended,
    ), better


def _search_along(
    problem: Problem, start: Motion, delta: dict[str, Tensor], cost: Tensor, full: tuple[Motion, Tensor],
    long: Tensor, running: Tensor, on_host: bool,
) -> tuple[Motion, Tensor]:  # fmt: skip
    """Return the best motion along a step and its cost: 2, 4 and 8 times as far, or less where the full step is bad.

    Reweighted least squares takes a robust kernel's curvature for larger than it is, so that full steps may be too
    short: `long` [B] says for which problems they seem to be. A problem stops at its first length that is no better.
    """
    best, best_cost = full
    good = torch.isfinite(best_cost) & (best_cost < cost)
    factor = torch.where(good, LONGER, SHORTER).to(cost)
    limit, going = torch.where(good, best_cost, cost), running & (long | ~good)
    for power in range(1, LENGTHS + 1):
        if on_host and not bool(going.any()):
            break
        length = factor**power
        scaled = {name: part * length.reshape(-1, *[1] * (part.ndim - 1)) for name, part in delta.items()}
        candidate = problem.motion(retract(start, scaled))
        candidate_cost = problem.cost(candidate, filled=True)
        taken = going & torch.isfinite(candidate_cost) & (candidate_cost < limit)
        best, best_cost = keep_better(candidate, best, taken), torch.where(taken, candidate_cost, best_cost)
        limit, going = torch.where(taken, candidate_cost, limit), going & (taken == good)
    return best, best_cost


def _solved(
    blocks: ArrowheadSystem, cut: Segmentation, damping: Tensor, problem: Problem
) -> tuple[LinearSolution, Tensor]:
    """Return the damped step and whether it could be solved for, [B]; the factor is not kept."""
    solved = factor(blocks, cut, damping, problem.shape_rows, problem.part)
    return solved.solve(), solved.ok


def _narrowed(search: _Search, blocks: ArrowheadSystem | None) -> tuple[_Search, ArrowheadSystem | None]:
    """Keep the running problems only."""
    kept = torch.nonzero(search.running).flatten()
    return _Search(
        search.rows[kept], search.problem.rows(kept), take_rows(search.motion, kept), search.cost[kept],
        search.damping[kept], search.growth[kept], search.running[kept],
    ), None if blocks is None else blocks.rows(kept)  # fmt: skip


def segmentation_of(problem: Problem, motion: Motion) -> Segmentation:
    """Cut the clip into segments for elimination: at the windows, or evenly where no latent is free."""
    if "latent" in problem.free and problem.field is not None:
        layout = problem.field.layout
        reach = (stop - end for (_, end), (_, stop) in zip(layout.segments, layout.windows))
        return Segmentation(layout.segments, max(reach))
    frames, every = motion.transl.shape[1], FREE_POSE_SEGMENT if "hand_pose" in problem.free else RIGID_SEGMENT
    if problem.part is None or not problem.part.is_last:
        return segment_frames(frames, every)
    rest = segment_frames(frames - 1, every).segments
    return Segmentation(((0, 1), *((a + 1, z + 1) for a, z in rest)))  # the first frame is that of both parts


def step_by_variable(problem: Problem, move: LinearSolution, moving: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the step of each free variable; problems of the batch that are not `moving` [B] stay where they are."""
    parts = {
        "global_orient": move.frame[..., :3],
        "transl": move.frame[..., 3:RIGID],
        "betas": move.betas,
        "latent": move.latent,
        "hand_pose": move.frame[..., RIGID:].unflatten(-1, (-1, 3)),
    }
    return {
        name: torch.where(moving.reshape(-1, *[1] * (parts[name].ndim - 1)), parts[name], 0.0).to(dtype)
        for name in problem.free
    }


def _expected_fall(blocks: ArrowheadSystem, move: LinearSolution, damping: Tensor) -> Tensor:
    """Return the fall of the quadratic model, x'(damping diag(H) x - g), where the cost is the sum of squares."""

    def part(x: Tensor, g: Tensor, matrix: Tensor) -> Tensor:
        diagonal = torch.diagonal(matrix, dim1=-2, dim2=-1)
        scale = damping.to(x).reshape(-1, *[1] * (x.ndim - 1))
        return (x * (scale * diagonal * x - g)).flatten(1).sum(1).to(damping)

    fall = part(move.frame, blocks.g_frame, blocks.frame) + part(move.betas, blocks.g_betas, blocks.betas)
    if move.latent.shape[-1]:
        fall = fall + part(move.latent, blocks.g_latent, blocks.latent)
    return fall
