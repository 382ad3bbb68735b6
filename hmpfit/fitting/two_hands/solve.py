"""Solve one stage for two interacting hands: each hand by itself, drawn to one shape, then moved out of the other.

Separate from the stages, which know records, and from the solvers, which know one hand at a time, so that any solver
will do.
"""

import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from hmpfit.fitting.problem import Problem
from hmpfit.fitting.solvers.history import Solved
from hmpfit.fitting.term import Motion
from hmpfit.fitting.two_hands.hand_pairs import HandPairs
from hmpfit.fitting.two_hands.resolve_penetration import TranslationSolver

COUPLED = ("penetration", "shape_consistency")


@dataclass(frozen=True)
class PenetrationOptions:
    """A stage's `resolve_penetration` table: how hands that overlap are moved apart."""

    iterations: int = 2  # searches of the meshes for overlap, a solve after each
    clearance_m: float = 0.0015  # left between the surfaces
    weight_factor: float = 10.0  # multiplies the weight of the term `penetration` while hands are moved


def solve_two_hands(
    solve: Any, problem: Problem, motion: Motion, stage: dict[str, Any], on_step: Any, pairs: HandPairs | None
) -> Solved:
    """Solve a stage; both hands of a pair are drawn to their mean shape and moved apart where their meshes overlap.

    A single hand, and a stage without the coupled terms, are solved as if there were no such terms.
    """
    coupled = {item.term.name for item in problem.terms} & set(COUPLED)
    if pairs is None or not coupled:
        return solve(without_coupling(problem), motion, stage, on_step)
    motion = problem.motion(motion)
    shaped = replace(problem, evidence=pairs.with_mean_shape(problem.evidence, motion))
    solved = solve(without_terms(shaped, "penetration"), motion, stage, on_step)
    if "penetration" not in coupled or solved.report.outcome == "not_finite":
        return solved
    began = time.perf_counter()
    options = PenetrationOptions(**stage.get("resolve_penetration", {}))
    with torch.no_grad():
        motion = solved.motion
        for pair in pairs.each():
            motion = _move_apart(shaped, motion, options, pair)
    share = (time.perf_counter() - began) / len(solved.reports)
    return Solved(motion, tuple(replace(one, seconds=one.seconds + share) for one in solved.reports))


def _move_apart(problem: Problem, motion: Motion, options: PenetrationOptions, pairs: HandPairs) -> Motion:
    close = pairs.close_frames(motion, problem.points(motion))
    if not close:
        return motion
    (term,) = (item for item in problem.terms if item.term.name == "penetration")
    solver = TranslationSolver.of(problem, motion, pairs)
    move = solver.separate(
        close, pairs.hands, term, options.iterations, options.clearance_m, options.weight_factor
    )  # fmt: skip
    return solver.moved(move)


def without_terms(problem: Problem, *names: str) -> Problem:
    """Return the problem without the terms called `names`."""
    return replace(problem, terms=tuple(item for item in problem.terms if item.term.name not in names))


def without_coupling(problem: Problem) -> Problem:
    """Return the problem without the terms between hands: what each hand's own evidence says."""
    return without_terms(problem, *COUPLED)
