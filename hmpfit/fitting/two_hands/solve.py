"""Solve one stage for two interacting hands: each hand by itself, drawn to one shape, then moved out of the other.

Separate from the stages, which know records, and from the solvers, which know one hand at a time, so that any solver
will do.
"""

import time
from dataclasses import replace
from typing import Any

import torch

from hmpfit.fitting.problem import Problem
from hmpfit.fitting.solvers.history import Solved
from hmpfit.fitting.two_hands.hand_pairs import HandPairs
from hmpfit.fitting.two_hands.resolve_penetration import TranslationSolver
from hmpfit.interfaces.term import Motion
from hmpfit.recipes.schema import PenetrationSettings, Stage

COUPLED = ("penetration", "shape_consistency")


def solve_two_hands(
    solve: Any, problem: Problem, motion: Motion, stage: Stage, on_step: Any, pairs: HandPairs | None
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
    options = stage.resolve_penetration
    with torch.no_grad():
        motion = solved.motion
        for pair in pairs.each():
            motion = _move_apart(shaped, motion, options, pair)
    share = (time.perf_counter() - began) / len(solved.reports)
    return Solved(motion, tuple(replace(one, seconds=one.seconds + share) for one in solved.reports))


def _move_apart(problem: Problem, motion: Motion, options: PenetrationSettings, pairs: HandPairs) -> Motion:
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
    """Return the problem without the terms between hands."""
    return without_terms(problem, *COUPLED)
