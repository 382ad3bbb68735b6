"""Solvers that only need the gradient: Adam with the paper's schedule, and L-BFGS.

Both move the same unknowns by the same retraction as Gauss-Newton, from the same start, on the same cost.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from hmpfit.fitting.problem import Problem, retract
from hmpfit.fitting.solvers.history import Solved, SolveHistory, keep_better
from hmpfit.interfaces.term import Motion
from hmpfit.recipes.schema import Stage

OnStep = Callable[[int, int], None] | None


def solve_adam(problem: Problem, start: Motion, stage: Stage, on_step: OnStep = None) -> Solved:
    """Minimize by Adam as in the paper's released runs: rate x 0.7 every 200 steps, gradient norm clipped at 5.

    Read `adam_steps` and `learning_rate` from the stage. The gradient is clipped per problem, and the best motion
    of the run is kept. Source: docs/method.md section 2.
    """
    began = time.perf_counter()
    start = problem.motion(start)
    delta = _zeros(problem, start)
    optimizer = torch.optim.Adam(list(delta.values()), lr=stage.learning_rate)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=200, gamma=0.7)
    history = SolveHistory(problem, start)
    best, best_cost = start, history.first_cost
    steps, outcome = stage.adam_steps, "out_of_steps"
    while True:
        optimizer.zero_grad()
        moved = problem.motion(retract(start, delta))
        cost = problem.cost(moved)
        if not bool(torch.isfinite(cost).all()):
            outcome = "not_finite"
            break
        now = cost.detach()
        best = keep_better(_detached(moved), best, now < best_cost)
        best_cost = torch.minimum(best_cost, now)
        history.note_cost(best_cost)
        if history.taken == steps:
            break
        cost.sum().backward()
        _clip(list(delta.values()), 5.0)
        optimizer.step()
        schedule.step()
        history.taken += 1
        if on_step is not None:
            on_step(history.taken, steps)
    return history.close(problem.motion(best), stage, "adam", time.perf_counter() - began, outcome)


def solve_lbfgs(problem: Problem, start: Motion, stage: Stage, on_step: OnStep = None) -> Solved:
    """Minimize by L-BFGS with strong Wolfe line search, at most `adam_steps` iterations."""
    began = time.perf_counter()
    start = problem.motion(start)
    delta = _zeros(problem, start)
    steps = stage.adam_steps
    optimizer = torch.optim.LBFGS(
        list(delta.values()),
        max_iter=steps,
        history_size=20,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )
    history = SolveHistory(problem, start)
    first_cost, evaluations = history.first_cost, 0

    def closure() -> Tensor:
        nonlocal evaluations
        optimizer.zero_grad()
        cost = problem.cost(retract(start, delta))
        cost.sum().backward()
        history.note_cost(cost.detach())
        evaluations += 1
        if on_step is not None:
            on_step(min(evaluations, steps), steps)
        return cost.sum()

    optimizer.step(closure)
    with torch.no_grad():
        moved = problem.motion(retract(start, delta))
        end = problem.cost(moved)
        finite = torch.isfinite(end)
        best = _detached(keep_better(moved, start, finite & (end <= first_cost)))
    history.taken = int(optimizer.state[next(iter(delta.values()))]["n_iter"])
    outcome = "not_finite" if not bool(finite.all()) else "converged" if history.taken < steps else "out_of_steps"
    return history.close(best, stage, "lbfgs", time.perf_counter() - began, outcome)


def _zeros(problem: Problem, start: Motion) -> dict[str, Tensor]:
    sizes = {
        "global_orient": start.transl,
        "transl": start.transl,
        "betas": start.betas,
        "latent": start.latent,
        "hand_pose": start.hand_R[..., 0],
    }
    chosen = {name: sizes[name] for name in problem.free}
    return {name: torch.zeros_like(like).requires_grad_() for name, like in chosen.items() if like is not None}


def _clip(parameters: list[Tensor], most: float) -> None:
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.stack([grad.flatten(1).pow(2).sum(1) for grad in grads]).sum(0).sqrt()
    factor = (most / norm.clamp_min(1e-12)).clamp_max(1.0)
    for grad in grads:
        grad *= factor.reshape(-1, *[1] * (grad.ndim - 1))


def _detached(motion: Motion) -> Motion:
    parts = {name: value.detach() for name, value in vars(motion).items() if value is not None}
    return replace(motion, **parts)
