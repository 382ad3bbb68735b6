"""Solve one stage for two interacting hands: both with one shape, then moved out of each other.

Separate from the stages, which know records, and from the solvers, which know one hand at a time, so that any solver
will do.
"""

import time
from dataclasses import replace
from typing import Any

import torch

from hmpfit.fitting.problem import Problem, mean_by_first
from hmpfit.fitting.solvers.history import Solved
from hmpfit.fitting.two_hands.hand_pairs import HandPairs
from hmpfit.fitting.two_hands.resolve_penetration import TranslationSolver
from hmpfit.interfaces.term import Motion
from hmpfit.recipes.schema import PenetrationSettings, Stage

_PENETRATION = "penetration"


def solve_two_hands(
    solve: Any, problem: Problem, motion: Motion, stage: Stage, on_step: Any, pairs: HandPairs | None
) -> Solved:
    """Solve a stage; both hands of a pair share their shape and are moved apart where their meshes overlap.

    They start from the middle of their shapes; shapes that are not free stay as they are. A single hand is solved as if
    neither was asked.
    """
    alone = without_penetration(problem)
    if pairs is None:
        return solve(alone, motion, stage, on_step)
    if stage.share_shape and "betas" in problem.free:
        first = pairs.first_rows()
        alone, motion = replace(alone, shape_rows=first), replace(motion, betas=mean_by_first(motion.betas, first))
    solved = solve(alone, motion, stage, on_step)
    if len(alone.terms) == len(problem.terms) or solved.report.outcome == "not_finite":
        return solved
    began = time.perf_counter()
    options = stage.resolve_penetration
    with torch.no_grad():
        motion = solved.motion
        for pair in pairs.each():
            motion = _move_apart(problem, motion, options, pair)
    share = (time.perf_counter() - began) / len(solved.reports)
    return Solved(motion, tuple(replace(one, seconds=one.seconds + share) for one in solved.reports))


def _move_apart(problem: Problem, motion: Motion, options: PenetrationSettings, pairs: HandPairs) -> Motion:
    close = pairs.close_frames(motion, problem.points(motion))
    if not close:
        return motion
    (term,) = (item for item in problem.terms if item.term.name == _PENETRATION)
    solver = TranslationSolver.of(problem, motion, pairs)
    move = solver.separate(
        close, pairs.hands, term, options.iterations, options.clearance_m, options.weight_factor
    )  # fmt: skip
    return solver.moved(move)


def without_penetration(problem: Problem) -> Problem:
    """Return the problem without the term between hands."""
    return replace(problem, terms=tuple(item for item in problem.terms if item.term.name != _PENETRATION))
