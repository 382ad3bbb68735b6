"""Every solver on the same problem: a known minimum, agreement, honest failure."""

import math
from dataclasses import replace

import pytest
import torch

from hmpfit import registry
from hmpfit.fitting.coarse_first import solve_coarse_first
from hmpfit.fitting.problem import Problem
from hmpfit.fitting.solvers import gauss_newton
from hmpfit.fitting.two_hands.solve import without_penetration
from hmpfit.hands.kinematics import landmark_points
from tests.made_problem import make, take

STAGE = {"steps": 40, "tolerance": 1e-6, "damping": 1e-3, "adam_steps": 150, "learning_rate": 0.02}
SOLVERS = registry.names("solvers")


def points_of(problem, motion):
    return landmark_points(problem.kinematics, motion.global_R, motion.hand_R, motion.betas[:, None], motion.transl)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_solver_never_ends_above_its_start(name):
    made = make(frames=30)
    problem = made.problem()
    solved = registry.load("solvers", name)(problem, made.start, replace(made.stage, **STAGE | {"adam_steps": 20}))
    assert solved.report.cost_end < solved.report.cost_start
    assert solved.report.cost_end == pytest.approx(float(problem.cost(solved.motion).sum()))
    assert set(solved.report.terms_end) == {item.term.name for item in problem.terms}


def test_exact_evidence_without_smoothness_gives_the_truth_back():
    made = make(frames=30, noise=0.0)
    far = make(frames=30, noise=1.0)
    start = replace(made.truth, global_R=far.start.global_R, transl=far.start.transl, latent=far.start.latent)
    weights = {"keypoints_2d": 1.0, "keypoints_3d": 1e4}
    ones = torch.ones_like(made.evidence.confidence)
    confident = replace(made.evidence, seen=ones, confidence=ones, world_seen=ones, world_confidence=ones)
    problem = replace(made.problem(stage=replace(made.stage, weights=weights, kernels={})), evidence=confident)
    solved = registry.load("solvers", "gauss_newton")(
        problem, start, replace(made.stage, **STAGE | {"tolerance": 1e-12})
    )
    assert (points_of(problem, solved.motion) - points_of(problem, made.truth)).norm(dim=-1).max() < 1e-5


def test_gauss_newton_is_at_least_as_low_as_adam():
    made = make(hands=1, frames=60)
    problem = made.problem()
    ours = registry.load("solvers", "gauss_newton")(problem, made.start, replace(made.stage, **STAGE)).report
    adam = registry.load("solvers", "adam")(problem, made.start, replace(made.stage, **STAGE)).report
    assert ours.outcome == "converged" and ours.cost_end <= 1.01 * adam.cost_end


def test_lengths_beyond_a_full_step_are_tried_only_where_the_model_says_that_they_help(monkeypatch):
    made = make(hands=1, frames=60)
    asked, plain, found = [], Problem.cost, []
    monkeypatch.setattr(Problem, "cost", lambda *given, **named: asked.append(1) or plain(*given, **named))
    for least in (-math.inf, gauss_newton.WORTH_LONGER):
        asked.clear()
        monkeypatch.setattr(gauss_newton, "WORTH_LONGER", least)
        report = gauss_newton.solve(made.problem(), made.start, replace(made.stage, **STAGE)).report
        found.append((len(asked), report.cost_end))
    (costs, always), (fewer, ours) = found
    assert fewer < 0.8 * costs and ours <= 1.001 * always


@pytest.mark.parametrize("name", SOLVERS)
def test_a_shape_that_is_not_free_stays_and_the_rest_is_solved_for(name):
    made = make(hands=1, frames=30)
    free = made.problem()
    held = replace(free, free=tuple(one for one in free.free if one != "betas"))
    solved = registry.load("solvers", name)(held, made.start, replace(made.stage, **STAGE))
    assert torch.equal(solved.motion.betas, made.start.betas)
    assert solved.report.cost_end < 0.9 * solved.report.cost_start
    if name == "gauss_newton":
        adam = registry.load("solvers", "adam")(held, made.start, replace(made.stage, **STAGE)).report
        assert solved.report.cost_end <= 1.01 * adam.cost_end


def test_hands_in_a_batch_end_where_they_end_alone():
    made = make(hands=2, frames=30)
    solve = registry.load("solvers", "gauss_newton")
    both = solve(made.problem(), made.start, replace(made.stage, **STAGE))
    for hand in range(2):
        one = take(made, hand)
        alone = solve(one.problem(), one.start, replace(made.stage, **STAGE))
        points = points_of(made.problem(), both.motion)[hand], points_of(one.problem(), alone.motion)[0]
        assert (points[0] - points[1]).norm(dim=-1).max() < 1e-5


@pytest.mark.parametrize("name", SOLVERS)
def test_a_cost_that_is_not_finite_stops_the_stage_and_says_so(name):
    made = make(hands=1, frames=20)
    broken = replace(made.evidence, xy_px=made.evidence.xy_px * torch.nan)
    problem = replace(made.problem(), evidence=broken)
    solved = registry.load("solvers", name)(problem, made.start, replace(made.stage, **STAGE))
    assert solved.report.outcome == "not_finite"
    torch.testing.assert_close(solved.motion.transl, made.start.transl)


def test_the_same_problem_gives_the_same_numbers():
    made = make(frames=30)
    solve = registry.load("solvers", "gauss_newton")
    first, second = (solve(made.problem(), made.start, replace(made.stage, **STAGE)).motion for _ in range(2))
    assert torch.equal(first.latent, second.latent) and torch.equal(first.global_R, second.global_R)


def test_a_coarse_solve_comes_first_where_its_terms_hold():
    made = make(frames=30)
    problem = without_penetration(made.problem())
    weights = {item.term.name: item.weight for item in problem.terms}
    solve, seen = registry.load("solvers", "gauss_newton"), []

    def watched(problem, motion, stage, on_step):
        solved = solve(problem, motion, stage, on_step)
        seen.append(({item.term.name: item.weight for item in problem.terms}, stage.tolerance, solved))
        return solved

    stage = replace(made.stage, **STAGE, coarse={"prior": 4.0}, coarse_tolerance=0.01)
    both = solve_coarse_first(watched, problem, made.start, stage, None, None)
    (coarse, tolerance, first), (fine, last_tolerance, then) = seen
    assert coarse == {**weights, "prior": 4 * weights["prior"]} and fine == weights
    assert (tolerance, last_tolerance) == (0.01, STAGE["tolerance"])
    assert both.motion is then.motion
    for total, before, after in zip(both.reports, first.reports, then.reports):
        assert total.steps == before.steps + after.steps and total.cost_end == after.cost_end

    seen.clear()
    solve_coarse_first(watched, problem, made.start, replace(stage, coarse={"pose_smooth": 4.0}), None, None)
    assert len(seen) == 1
