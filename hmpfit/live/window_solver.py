"""Solve a window and its past by a few damped Gauss-Newton steps, as many as fit between two updates.

The offline solver (`fitting.solvers.gauss_newton`) goes on until nothing falls any more; here every window starts from
the last one's answer, so that one linearization and some steps with a new gradient are enough.
"""

from dataclasses import dataclass

import torch

from hmpfit.fitting.normal_equations.arrowhead import factor, segment_frames
from hmpfit.fitting.normal_equations.linearize import linearize, with_gradient
from hmpfit.fitting.problem import Problem, retract
from hmpfit.fitting.solvers.gauss_newton import step_by_variable
from hmpfit.fitting.solvers.history import keep_better
from hmpfit.interfaces.term import Motion
from hmpfit.live.marginal import Bending, MarginalPrior

_SEGMENT = 8  # frames: what is quickest where poses are free


@dataclass(frozen=True)
class WindowSteps:
    """How a window is solved: steps, how many of them with a matrix of their own, and the first damping."""

    steps: int = 3
    linearizations: int = 1
    damping: float = 1e-3


def solve_window(problem: Problem, start: Motion, past: MarginalPrior, options: WindowSteps = WindowSteps()) -> Motion:
    """Lower the cost of a window's motion [B, T], its past included; a step that does not is not taken.

    `start` comes from `problem.motion`.
    """
    motion, cost = start, problem.cost(start, filled=True) + past.cost(start)
    damping = torch.full_like(cost, options.damping)
    frames = motion.transl.shape[1]
    cut = segment_frames(frames, _SEGMENT if "hand_pose" in problem.free else frames)
    blocks, bent = None, None
    for step in range(options.steps):
        if blocks is None or step < options.linearizations:
            bent = Bending.of(problem, motion)
            blocks = past.added(linearize(problem, motion, problem.low), motion, bent)
        else:
            blocks = past.added(with_gradient(blocks, problem, motion), motion, bent, matrix=False)
        factored = factor(blocks, cut, damping)
        move = factored.solve()
        delta = step_by_variable(problem, move, factored.ok, cost.dtype)
        candidate = problem.motion(retract(motion, delta))
        new_cost = problem.cost(candidate, filled=True) + past.cost(candidate)
        better = factored.ok & torch.isfinite(new_cost) & (new_cost < cost)
        motion = keep_better(candidate, motion, better)
        cost = torch.where(better, new_cost, cost)
        damping = torch.where(better, damping / 3, damping * 10)
    return motion
