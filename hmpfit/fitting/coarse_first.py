"""Solve a stage of the fit, and before it a coarser problem where the recipe says so.

A fit of many numbers has several minima. With terms that hold more firmly (the motion prior, say) there are fewer, and
going on from there a lower one is reached: graduated optimization.
"""

from dataclasses import replace
from typing import Any

from hmpfit.fitting.problem import Problem
from hmpfit.fitting.solvers.history import Solved
from hmpfit.fitting.two_hands.hand_pairs import HandPairs
from hmpfit.fitting.two_hands.solve import solve_two_hands, without_penetration
from hmpfit.interfaces.term import Motion
from hmpfit.recipes.schema import Stage


def solve_coarse_first(
    solve: Any, problem: Problem, motion: Motion, stage: Stage, on_step: Any, pairs: HandPairs | None
) -> Solved:
    """Solve a stage with terms times their factors in `stage.coarse`, then as it stands; reports count both.

    Where none of these terms is in the problem it is solved once. Arguments as `solve_two_hands` takes them.
    """
    factors = {item.term.name: stage.coarse.get(item.term.name, 1.0) for item in problem.terms}
    if set(factors.values()) <= {1.0}:
        return solve_two_hands(solve, problem, motion, stage, on_step, pairs)
    terms = without_penetration(problem).terms
    coarse = replace(problem, terms=tuple(replace(one, weight=one.weight * factors[one.term.name]) for one in terms))
    first = solve_two_hands(solve, coarse, motion, replace(stage, tolerance=stage.coarse_tolerance), on_step, pairs)
    if first.report.outcome == "not_finite":
        return first
    then = solve_two_hands(solve, problem, first.motion, stage, on_step, pairs)
    both = (
        replace(after, steps=after.steps + before.steps, seconds=after.seconds + before.seconds)
        for before, after in zip(first.reports, then.reports)
    )
    return replace(then, reports=tuple(both))
