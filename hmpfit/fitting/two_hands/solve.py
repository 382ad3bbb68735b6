"""One stage of the fit for two hands that know of each other: solve, place, bend them out of each other, lay apart.

Separate from the stages, which know records, and from the solvers, which know one hand at a time, so that any solver
will do.
"""

import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from hmpfit.fitting.problem import Problem, WeightedTerm
from hmpfit.fitting.solvers.history import Solved
from hmpfit.fitting.term import Motion
from hmpfit.fitting.two_hands.contacts import Pairs
from hmpfit.fitting.two_hands.near_in_depth import NearInDepth
from hmpfit.fitting.two_hands.resolve_penetration import Placing

COUPLED = ("penetration", "shape_consistency")
ADAM_STEPS = 10  # of a first-order solver, where Gauss-Newton takes one


@dataclass(frozen=True)
class Apart:
    """A stage's `apart` table: how hands come out of each other."""

    looks: int = 4  # at the meshes, while hands are moved
    skin_m: float = 0.0015  # left between their surfaces
    firmness: float = 10.0  # of the penetration term while hands are moved
    bends: int = 0  # looks at the meshes while hands turn and bend: costs a third of a fit and more
    bend_steps: int = 4  # of the solver after each of them
    near_weight: float = 0.0  # of the squared depth between hands whose pictures meet, metres
    near_scale_m: float = 0.1  # Geman-McClure's: hands much farther apart than this are left there


def solve_together(
    solve: Any, problem: Problem, motion: Motion, stage: dict[str, Any], on_step: Any, pairs: Pairs | None
) -> Solved:
    """Solve a stage. Two hands are drawn to one shape; where they end up in each other, they turn, bend and are moved.

    Which relative place to believe: across the picture the keypoints', in depth as near each other as the evidence
    allows where the pictures meet (`near_in_depth`, where `near_weight` is set). There the meshes must not cross: the
    solver goes on with the term `penetration`, which turns wrists and bends fingers (`bends` times); what is left is
    moved apart (`laying_apart`). One hand alone, and a stage without the coupled terms, are solved without any of it.
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
    motion = solved.motion
    for pair in pairs.each():
        motion = _out_of_each_other(solve, shaped, motion, item, stage, pair)
    share = (time.perf_counter() - began) / len(solved.reports)
    return Solved(motion, tuple(replace(one, seconds=one.seconds + share) for one in solved.reports))


def _out_of_each_other(
    solve: Any, problem: Problem, motion: Motion, item: WeightedTerm, stage: dict[str, Any], pairs: Pairs
) -> Motion:
    how = Apart(**stage["apart"])
    near = NearInDepth(pairs, how.near_weight, how.near_scale_m)
    if not near.met(problem, motion):
        return motion
    with torch.no_grad():
        placing = Placing.of(problem, motion, pairs, near.pull(problem, motion))
    for _ in range(how.bends):
        with torch.no_grad():
            placed = placing.moved(placing.near_each_other())
            evidence, _ = pairs.planes(problem.evidence, placed, problem.points(placed))
            held = near.held(replace(problem, evidence=evidence), placed)
        few = {**stage, "steps": how.bend_steps, "adam_steps": ADAM_STEPS * how.bend_steps}
        motion = solve(held, placed, few, None).motion
        placing = replace(placing, motion=motion, near=near.pull(problem, motion))  # as stiff as before, nearly
    with torch.no_grad():
        move = placing.apart(pairs, problem.points(motion), item, how.looks, how.skin_m, how.firmness)
        return placing.moved(move)


def without(problem: Problem, *names: str) -> Problem:
    """Return the problem without some of its terms."""
    return replace(problem, terms=tuple(item for item in problem.terms if item.term.name not in names))


def alone(problem: Problem) -> Problem:
    """Return the problem without the terms between hands: what each hand's own evidence says."""
    return without(problem, *COUPLED)
