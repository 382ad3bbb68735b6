"""One stage of the fit for hands that know of each other: solve, and where the hands are in each other, lay them apart.

Separate from the stages, which know records, and from the solvers, which know one hand at a time, so that any solver
will do.
"""

import time
from dataclasses import replace
from typing import Any

import torch

from hmpfit.fitting.contacts import Pairs
from hmpfit.fitting.laying_apart import lay_apart
from hmpfit.fitting.problem import Problem
from hmpfit.fitting.solvers.outcome import Solved
from hmpfit.fitting.term import Motion

COUPLED = ("penetration", "shape_consistency")


def solve_together(
    solve: Any, problem: Problem, motion: Motion, stage: dict[str, Any], on_step: Any, pairs: Pairs | None
) -> Solved:
    """Solve a stage. Two hands are drawn to one shape; and where they end up in each other, they are laid apart.

    One hand alone, and a stage without the coupled terms, are solved as if there were none. The stage's `apart` table
    says how hands are laid apart (`laying_apart.py`).
    """
    coupled = {item.term.name for item in problem.terms} & set(COUPLED)
    if pairs is None or not coupled:
        return solve(alone(problem), motion, stage, on_step)
    motion = problem.motion(motion)
    shaped = replace(problem, evidence=pairs.of_one_shape(problem.evidence, motion))
    solved = solve(without(shaped, "penetration"), motion, stage, on_step)
    if "penetration" not in coupled or solved.report.outcome == "not_finite":
        return solved
    began = time.perf_counter()
    (item,) = (one for one in problem.terms if one.term.name == "penetration")
    with torch.no_grad():
        motion = lay_apart(shaped, solved.motion, item, stage["apart"], pairs)
    share = (time.perf_counter() - began) / len(solved.reports)
    return Solved(motion, tuple(replace(one, seconds=one.seconds + share) for one in solved.reports))


def without(problem: Problem, *names: str) -> Problem:
    """Return the problem without some of its terms."""
    return replace(problem, terms=tuple(item for item in problem.terms if item.term.name not in names))


def alone(problem: Problem) -> Problem:
    """Return the problem without the terms between hands: what each hand's own evidence says."""
    return without(problem, *COUPLED)
