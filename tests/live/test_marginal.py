"""What a window leaves behind says exactly what the whole system would, and reaches the latents by the chain rule."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hmpfit import registry
from hmpfit.fitting.normal_equations.linearize import linearize
from hmpfit.fitting.problem import Problem
from hmpfit.geometry import rotations
from hmpfit.interfaces.term import Motion, take_frames
from hmpfit.live.hands_in_window import HandsInWindow
from hmpfit.live.marginal import FRAME, SIZE, Bending, MarginalPrior, marginalize
from hmpfit.live.window_problem import WindowProblem
from hmpfit.recipes import load_recipe
from tests.live.made_stream import CAMERA, MODELS, made_motion, seen_frames

FRAMES, LEAVING = 9, 4


def _window(prior: object = None) -> tuple[WindowProblem, HandsInWindow]:
    hands = HandsInWindow(MODELS, CAMERA)
    hands.add(seen_frames(made_motion(FRAMES, (True, False))))
    return WindowProblem(load_recipe("default"), prior), hands  # type: ignore[arg-type]


def _dense(problem: Problem, motion: Motion) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the whole matrix [B, T F + 10, same] and gradient of a window whose poses are free."""
    blocks = linearize(problem, motion)
    b, frames = motion.transl.shape[:2]
    H, g = torch.zeros(b, frames * FRAME + 10, frames * FRAME + 10, dtype=torch.float64), None
    for n in range(frames):
        at = slice(n * FRAME, (n + 1) * FRAME)
        H[:, at, at] = blocks.frame[:, n]
        H[:, at, -10:], H[:, -10:, at] = blocks.frame_betas[:, n], blocks.frame_betas[:, n].mT
        if n:
            before = slice((n - 1) * FRAME, n * FRAME)
            H[:, before, at], H[:, at, before] = blocks.before[:, n], blocks.before[:, n].mT
    H[:, -10:, -10:] = blocks.betas
    g = torch.cat((blocks.g_frame.flatten(1), blocks.g_betas), -1)
    return H, g


@torch.no_grad()
def test_the_past_is_the_schur_complement_of_the_whole() -> None:
    made, hands = _window()
    assert hands.state is not None
    evidence = made.evidence(hands)
    problem = made.past(hands, evidence)
    past = marginalize(problem, hands.state, MarginalPrior.nothing(hands.state), LEAVING)
    later = Problem(problem.kinematics, take_frames(evidence, LEAVING, FRAMES), problem.terms, problem.free)
    H, g = _dense(later, take_frames(hands.state, LEAVING, FRAMES))
    index = torch.cat((torch.arange(FRAME), torch.arange(H.shape[1] - 10, H.shape[1])))
    H[:, index[:, None], index[None]] += past.H
    g[:, index] += past.g
    whole, g_whole = _dense(problem, hands.state)
    gone = LEAVING * FRAME
    through = whole[:, gone:, :gone] @ torch.linalg.inv(whole[:, :gone, :gone])
    expected = whole[:, gone:, gone:] - through @ whole[:, :gone, gone:]
    expected_g = g_whole[:, gone:] - (through @ g_whole[:, :gone, None])[..., 0]
    scale = torch.diagonal(expected, dim1=-2, dim2=-1).sqrt()
    apart = (H - expected) / (scale[:, :, None] * scale[:, None])
    assert apart.abs().max() < 1e-6
    assert ((g - expected_g) / scale).abs().max() < 1e-6 * (g_whole.abs().max() + 1)


@torch.no_grad()
@pytest.mark.parametrize("name", ["default", None])
def test_gradient_of_the_past_is_that_of_its_cost(name: str | None) -> None:
    made, hands = _window(None if name is None else registry.load("priors", name)())
    assert hands.state is not None
    generator = np.random.default_rng(0)
    evidence = made.evidence(hands)
    problem, motion = made.present(hands, evidence)
    roots = torch.as_tensor(generator.normal(size=(2, SIZE, SIZE)))
    past = MarginalPrior(
        roots @ roots.mT / SIZE, torch.as_tensor(generator.normal(size=(2, SIZE))), take_frames(motion, 0, 1)
    )
    nothing = linearize(problem, motion)
    added = past.added(nothing, motion, Bending.of(problem, motion))
    step = 1e-6
    if motion.latent is not None:
        way = torch.as_tensor(generator.normal(size=motion.latent.shape))
        moved = [problem.motion(replace(motion, latent=motion.latent + sign * way)) for sign in (step, -step)]
        said = 2 * ((added.g_latent - nothing.g_latent) * way).flatten(1).sum(1)
    else:
        way = torch.as_tensor(generator.normal(size=motion.hand_R.shape[:-1]))
        moved = [replace(motion, hand_R=motion.hand_R @ rotations.exp(sign * way)) for sign in (step, -step)]
        said = 2 * ((added.g_frame - nothing.g_frame)[..., 6:] * way.flatten(2)).flatten(1).sum(1)
    slope = (past.cost(moved[0]) - past.cost(moved[1])) / (2 * step)
    torch.testing.assert_close(said.double(), slope, rtol=2e-3, atol=1e-3)
