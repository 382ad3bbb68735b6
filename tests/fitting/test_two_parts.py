"""A clip's fit in two parts of time: the whole clip's steps, whichever way the parts are computed."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from hmpfit.errors import HmpfitError
from hmpfit.fitting.solvers import two_parts
from hmpfit.fitting.solvers.gauss_newton import solve
from hmpfit.fitting.solvers.two_parts import solve_in_two_parts
from tests.made_problem import Made, make

FREE = {
    "latent": ("global_orient", "transl", "betas", "latent"),
    "pose": ("global_orient", "transl", "betas", "hand_pose"),
    "rigid": ("global_orient", "transl", "betas"),
}


@pytest.fixture(params=["processes", "turns"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(two_parts, "can_copy", lambda: request.param == "processes")
    return str(request.param)


@pytest.fixture(scope="module")
def made() -> Made:
    return make(hands=2, frames=200)


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.mark.parametrize("free", FREE)
def test_parts_take_the_steps_of_the_whole_clip(way: str, made: Made, free: str) -> None:
    problem = made.problem(*FREE[free])
    stage = replace(made.stage, steps=6)
    asked: list[bool] = []

    def part(problem, *rest):
        asked.append(problem.part is not None)
        return solve(problem, *rest)

    whole, parts = solve(problem, made.start, stage), solve_in_two_parts(part, problem, made.start, stage)
    assert asked and all(asked)
    for one, other in zip(whole.reports, parts.reports, strict=True):
        assert other.history == pytest.approx(one.history, rel=1e-9)
        assert other.terms_end == pytest.approx(one.terms_end, rel=1e-6)
    for name, values in vars(whole.motion).items():
        if values is not None:
            assert torch.allclose(getattr(parts.motion, name), values, atol=1e-7), name
    assert float(problem.cost(parts.motion).sum()) == pytest.approx(parts.report.cost_end)


def test_hands_that_share_a_shape_keep_one(way: str, made: Made) -> None:
    start = replace(made.start, betas=made.start.betas[:1].expand(2, -1).contiguous())
    problem = replace(made.problem(), shape_rows=torch.tensor([0, 0]))
    stage = replace(made.stage, steps=4)
    whole, parts = solve(problem, start, stage), solve_in_two_parts(solve, problem, start, stage)
    assert torch.allclose(parts.motion.transl, whole.motion.transl, atol=1e-7)
    assert torch.equal(parts.motion.betas[0], parts.motion.betas[1])


def test_copies_and_turns_give_the_same_bits(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for copies in (True, False):
        monkeypatch.setattr(two_parts, "can_copy", lambda copies=copies: copies)
        found.append(solve_in_two_parts(solve, made.problem(), made.start, replace(made.stage, steps=3)))
    for name, values in vars(found[0].motion).items():
        assert values is None or torch.equal(values, getattr(found[1].motion, name)), name
    assert found[0].report.history == found[1].report.history


def test_a_clip_that_is_too_short_is_solved_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(hands=1, frames=100)
    stage = replace(made.stage, steps=2)
    monkeypatch.setattr(two_parts, "can_copy", lambda: pytest.fail("cut"))
    found = solve_in_two_parts(solve, made.problem(), made.start, stage)
    assert torch.equal(found.motion.transl, solve(made.problem(), made.start, stage).motion.transl)


@pytest.mark.parametrize("failing", ["first", "last"])
def test_what_fails_in_a_part_is_raised(way: str, made: Made, failing: str) -> None:
    def fails(problem, start, stage, on_step):
        assert problem.part is not None
        if problem.part.is_last == (failing == "last"):
            raise HmpfitError(f"The {failing} part failed.")
        return solve(problem, start, stage, on_step)

    with pytest.raises(HmpfitError, match=f"The {failing} part failed."):
        solve_in_two_parts(fails, made.problem(), made.start, replace(made.stage, steps=2))


def test_only_the_first_part_tells_of_steps(way: str, made: Made) -> None:
    told: list[tuple[int, int]] = []
    stage = replace(made.stage, steps=3, tolerance=0.0)
    solve_in_two_parts(solve, made.problem(*FREE["rigid"]), made.start, stage, lambda *step: told.append(step))
    assert told == [(1, 3), (2, 3), (3, 3)]
