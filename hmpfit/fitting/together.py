"""One stage of the fit for hands that know of each other: solve, look where they are now, solve on.

Separate from the stages, which know records, and from the solvers, which know one hand at a time: between two looks the
hands' problems are independent, so any solver will do.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hmpfit.fitting.contacts import Pairs
from hmpfit.fitting.problem import Problem
from hmpfit.fitting.solvers.outcome import Solved
from hmpfit.fitting.term import Motion

COUPLED = ("penetration", "shape_consistency")
Solver = Callable[..., Solved]


def solve_together(
    solve: Solver, problem: Problem, motion: Motion, stage: dict[str, Any], on_step: Any, pairs: Pairs | None
) -> Solved:
    """Solve a stage; where two hands touch, in up to `looks` pieces of `look_steps` steps, the last without that limit.

    Hands that are apart, one hand alone, and a stage without the coupled terms are solved in one piece.
    """
    names = {item.term.name for item in problem.terms}
    if pairs is None or not names & set(COUPLED):
        return solve(alone(problem), motion, stage, on_step)
    began = time.perf_counter()
    left, looks, parts = int(stage["steps"]), int(stage.get("looks", 0)), []
    touches = "penetration" in names
    for look in range(looks + 1):
        motion = problem.motion(motion)
        evidence, touching = pairs.couple(problem.evidence, motion, problem.points(motion))
        if not touches:
            evidence = replace(evidence, contact_joint=None)
        if look and not (touching and touches):
            break
        piece = left if look == looks or not touching else min(left, int(stage["look_steps"]))
        solved = solve(replace(problem, evidence=evidence), motion, {**stage, "steps": piece}, on_step)
        motion, left = solved.motion, left - solved.report.steps
        parts.append(solved)
        if left <= 0 or solved.report.outcome == "not_finite":
            break
    first, last = parts[0].report, parts[-1].report
    report = replace(
        last,
        steps=sum(part.report.steps for part in parts),
        cost_start=first.cost_start,
        terms_start=first.terms_start,
        seconds=time.perf_counter() - began,
        history=tuple(cost for part in parts for cost in part.report.history),
    )
    return replace(parts[-1], report=report)


def alone(problem: Problem) -> Problem:
    """Return the problem without the terms between hands: what each hand's own evidence says."""
    return replace(problem, terms=tuple(item for item in problem.terms if item.term.name not in COUPLED))
