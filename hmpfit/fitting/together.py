"""One stage of the fit for hands that know of each other: solve, and where the hands are in each other, lay them apart.

Separate from the stages, which know records, and from the solvers, which know one hand at a time: between two looks at
where the other hand is, the hands' problems are independent, so any solver will do.
"""

import time
from dataclasses import replace
from typing import Any

import torch

from hmpfit.fitting.contacts import Pairs
from hmpfit.fitting.problem import Problem, read_terms
from hmpfit.fitting.solvers import gauss_newton
from hmpfit.fitting.solvers.outcome import Solved
from hmpfit.fitting.term import Motion

COUPLED = ("penetration", "shape_consistency")
_OF_WINDOWS = ("latent", "overlap")  # terms that do not change while fingers stay as they are
_RIGID = ("global_orient", "transl", "betas")


def solve_together(
    solve: Any, problem: Problem, motion: Motion, stage: dict[str, Any], on_step: Any, pairs: Pairs | None
) -> Solved:
    """Solve a stage. Two hands are drawn to one shape; and where they end up in each other, they are laid apart.

    One hand alone, and a stage without the coupled terms, are solved as if there were none. Laying apart reads the
    stage's `apart` table: as often as `looks`, it finds where the hands are in each other and takes up to `steps`
    Gauss-Newton steps of the rigid motion under the same terms plus `penetration`, orientation and shape held near what
    they are by `hold_orient` and `hold_betas`.
    """
    coupled = {item.term.name for item in problem.terms} & set(COUPLED)
    if pairs is None or not coupled:
        return solve(alone(problem), motion, stage, on_step)
    motion = problem.motion(motion)
    shaped = replace(problem, evidence=pairs.of_one_shape(problem.evidence, motion))
    solved = solve(without(shaped, "penetration"), motion, stage, on_step)
    if "penetration" not in coupled or solved.report.outcome == "not_finite":
        return solved
    with torch.no_grad():
        return _apart(shaped, solved, stage, pairs)


def _apart(problem: Problem, solved: Solved, stage: dict[str, Any], pairs: Pairs) -> Solved:
    began = time.perf_counter()
    how, motion, reports = stage["apart"], solved.motion, solved.reports
    held = None
    for _ in range(int(how["looks"])):
        evidence, touching = pairs.planes(problem.evidence, motion, problem.points(motion))
        if not touching:
            break
        if held is None:
            held = _held(problem, motion, how, stage)
        known = replace(
            evidence, initial_R=solved.motion.global_R, initial_betas=solved.motion.betas,
            initial_confidence=torch.ones_like(evidence.initial_confidence),
        )  # fmt: skip
        rigid = replace(motion, latent=None, six=None)
        piece = gauss_newton.solve(replace(held, evidence=known), rigid, {**stage, "steps": how["steps"]})
        moved = piece.motion
        motion = replace(motion, global_R=moved.global_R, transl=moved.transl, betas=moved.betas)
        reports = tuple(replace(one, steps=one.steps + more.steps) for one, more in zip(reports, piece.reports))
    share = (time.perf_counter() - began) / len(reports)
    return Solved(motion, tuple(replace(one, seconds=one.seconds + share) for one in reports))


def _held(problem: Problem, motion: Motion, how: dict[str, Any], stage: dict[str, Any]) -> Problem:
    """Return the problem of the rigid motion alone, orientation and shape held."""
    weights = {"orient_to_initial": how["hold_orient"], "betas_to_initial": how["hold_betas"]}
    own = [
        item
        for item in problem.terms
        if item.term.reads not in _OF_WINDOWS and item.term.name not in (*weights, "shape_consistency")
    ]
    terms = (*own, *read_terms({**stage, "weights": weights, "kernels": {}, "options": {}}, _RIGID))
    return replace(problem, terms=terms, free=_RIGID)


def without(problem: Problem, *names: str) -> Problem:
    """Return the problem without some of its terms."""
    return replace(problem, terms=tuple(item for item in problem.terms if item.term.name not in names))


def alone(problem: Problem) -> Problem:
    """Return the problem without the terms between hands: what each hand's own evidence says."""
    return without(problem, *COUPLED)
