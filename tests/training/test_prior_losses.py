"""The prior's losses and objective against values known beforehand."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from hmpfit.geometry import rotations
from hmpfit.priors.motion_field import losses
from hmpfit.priors.motion_field.network import MotionPrior
from hmpfit.priors.motion_field.sizes import SMALL, Sizes
from hmpfit.training.priors.objective import PAPER, PAPER_WITH_ADDITIONS, PriorLossWeights, step_loss
from hmpfit.training.priors.sample_windows import Clips, random_mask, sample_batch
from hmpfit.training.priors.start import start_from_data
from tests.made_motion import waving_fingers


@pytest.mark.parametrize("angle", [0.01, 0.5, 2.0, 3.0])
def test_geodesic_is_the_angle(angle: float) -> None:
    axis = torch.nn.functional.normalize(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), dim=0)
    base = rotations.exp(torch.tensor([0.3, 0.2, -0.4], dtype=torch.float64))
    rot6d = rotations.to_6d(base @ rotations.exp(angle * axis))
    assert losses.geodesic(rot6d * 3.0, base).item() == pytest.approx(angle, abs=1e-4)  # 6D need not be normalized


def test_geodesic_has_a_finite_gradient_at_zero() -> None:
    rot6d = torch.tensor([1.0, 0, 0, 0, 1, 0], requires_grad=True)
    losses.geodesic(rot6d, torch.eye(3)).backward()
    assert rot6d.grad is not None and torch.isfinite(rot6d.grad).all()


def test_kl_to_standard_matches_the_formula_and_vanishes_at_the_prior() -> None:
    mu, sigma = 0.7, 0.4
    expected = math.log(1 / sigma) + (sigma**2 + mu**2) / 2 - 0.5
    assert losses.kl_to_standard(torch.tensor(mu), torch.tensor(2 * math.log(sigma))).item() == pytest.approx(expected)
    assert losses.kl_to_standard(torch.zeros(3), torch.zeros(3)).abs().max() == 0


def test_kl_between_agrees_with_torch() -> None:
    a, b = torch.randn(2, 5), torch.randn(2, 5)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(a[0], (a[1] / 2).exp()), torch.distributions.Normal(b[0], (b[1] / 2).exp())
    )
    assert torch.allclose(losses.kl_between(a[0], a[1], b[0], b[1]), expected, atol=1e-5)


def test_teaching_widens_where_the_mean_is_wrong() -> None:
    wrong_by = torch.tensor(0.5)
    log_var = torch.tensor(0.0, requires_grad=True)
    loss = losses.kl_between(torch.tensor(0.0), torch.tensor(-6.0), wrong_by, log_var)
    best = math.log(0.5**2 + math.exp(-6.0))
    (slope,) = torch.autograd.grad(loss, log_var)
    assert slope > 0  # too wide at 0
    at_best = torch.tensor(best, requires_grad=True)
    (flat,) = torch.autograd.grad(losses.kl_between(torch.tensor(0.0), torch.tensor(-6.0), wrong_by, at_best), at_best)
    assert abs(flat.item()) < 1e-6


WAVING = waving_fingers(12, (0.3, 0.8), 0.5, 0.4)
SMALLEST = dataclasses.replace(SMALL, latent=96, width=24, layers=3, path_channels=20, path_waves=16, gap_width=8)


def test_the_start_is_already_a_codec() -> None:
    torch.manual_seed(0)
    prior, generator = MotionPrior(SMALLEST), np.random.default_rng(1)
    batch = sample_batch([Clips(WAVING)], 24, 128, generator)
    before = prior.decode(prior.encode(batch.hand_R, batch.valid)[0], prior.frame_times)
    start_from_data(prior, batch.hand_R)
    after = prior.decode(prior.encode(batch.hand_R, batch.valid)[0], prior.frame_times)
    error = [losses.geodesic(rot6d, batch.hand_R).mean().item() for rot6d in (before, after)]
    assert error[1] < 0.1 < error[0]


def test_a_few_steps_lower_the_objective_and_padding_does_not_count() -> None:
    torch.manual_seed(0)
    prior, numbers = MotionPrior(SMALLEST), np.random.default_rng(1)
    batch = sample_batch([Clips(WAVING)], 8, 128, numbers)
    start_from_data(prior, batch.hand_R)
    optimizer = torch.optim.Adam(prior.parameters(), lr=1e-3)
    totals = []
    for _ in range(30):
        total = step_loss(prior, batch, PriorLossWeights(), 1.0, torch.Generator().manual_seed(4))["total"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.9 * totals[0]
    short = sample_batch([Clips([clip[:60] for clip in WAVING])], 4, 128, numbers)
    assert (short.valid.sum(1) == 60).all() and not (short.shown & ~short.valid).any()
    corrupted = torch.where(short.valid[..., None, None, None], short.hand_R, rotations.exp(torch.ones(3)))
    parts = [
        step_loss(
            prior, dataclasses.replace(short, hand_R=hand_R), PriorLossWeights(), 1.0, torch.Generator().manual_seed(5)
        )
        for hand_R in (short.hand_R, corrupted)
    ]
    assert parts[0]["total"].item() == pytest.approx(parts[1]["total"].item(), rel=1e-5)


def test_the_wrists_orientation_is_learned_by_the_global_branch_only() -> None:
    torch.manual_seed(0)
    sizes = Sizes(latent=16, width=24, layers=2, channels=(4, 4, 4, 4), root_latent=8)
    prior, numbers = MotionPrior(sizes), np.random.default_rng(2)
    turning = [np.linspace([0, 0, 0], [0, 0, 1.5], len(clip)) for clip in WAVING]
    batch = sample_batch([Clips(WAVING, wrists=turning)], 4, 128, numbers)
    mixed = dataclasses.replace(batch, root_R=batch.root_R.clone())
    mixed.root_R[1:] = torch.nan  # windows without a wrist do not count
    for weights in (PriorLossWeights(), PriorLossWeights(orientation=0.0)):
        parts = step_loss(prior, mixed, weights, 1.0, torch.Generator().manual_seed(0))
        rest = sum(
            weight * parts[name]
            for name, weight in {
                "whole_rotation": 1.0, "whole_position": 10.0, "masked_rotation": 1.0, "masked_position": 10.0,
                "kl": weights.kl, "distillation": weights.distillation, "root_kl": weights.kl,
                "orientation": weights.orientation,
            }.items()
        )  # fmt: skip
        assert parts["total"].item() == pytest.approx(float(rest), rel=1e-5)
    assert prior.root_branch is not None
    optimizer = torch.optim.Adam(prior.parameters(), lr=3e-3)
    orientations = []
    for _ in range(25):
        parts = step_loss(prior, batch, PriorLossWeights(), 1.0, torch.Generator().manual_seed(1))
        optimizer.zero_grad()
        parts["total"].backward()
        optimizer.step()
        orientations.append(parts["orientation"].item())
    assert orientations[-1] < 0.6 * orientations[0]
    assert "orientation" not in step_loss(
        prior, sample_batch([Clips(WAVING)], 2, 128, numbers), PriorLossWeights(), 1.0, torch.Generator()
    )


def test_the_papers_loss_has_nothing_of_ours_unless_asked() -> None:
    torch.manual_seed(0)
    prior = MotionPrior(Sizes(latent=16, width=24, layers=2, channels=(4, 4, 4, 4)))
    batch = sample_batch([Clips(WAVING)], 4, 128, np.random.default_rng(2))
    parts = step_loss(prior, batch, PAPER, 1.0, torch.Generator().manual_seed(0))
    assert set(parts) == {"whole_rotation", "whole_position", "kl", "total"}
    expected = parts["whole_rotation"] + 10 * parts["whole_position"] + 1e-5 * parts["kl"]
    assert parts["total"].item() == pytest.approx(expected.item(), rel=1e-6)
    more = step_loss(prior, batch, PAPER_WITH_ADDITIONS, 1.0, torch.Generator().manual_seed(0))
    assert {"masked_rotation", "masked_position", "distillation"} <= set(more)


def test_masks_hide_and_show() -> None:
    generator = np.random.default_rng(0)
    masks = np.array([random_mask(128, generator) for _ in range(300)])
    assert masks.any(1).all() and 0.03 < masks.all(1).mean() < 0.25
    assert 0.3 < masks.mean() < 0.9


def test_wrists_keep_their_turn_when_time_is_warped() -> None:
    turning = [np.linspace([0, 0, 0], [0, 0, 2.0], len(clip)).astype(np.float32) for clip in WAVING]
    clips = Clips([clip.astype(np.float32) for clip in WAVING], wrists=turning, warp=0.1)
    batch = sample_batch([clips], 4, 128, np.random.default_rng(0))
    turns = rotations.log(batch.root_R)
    speed = (turns[:, 1:] - turns[:, :-1]).norm(dim=-1)
    assert ((speed > 0.9 * 2.0 / 150) & (speed < 1.12 * 2.0 / 150)).all()
    assert torch.isnan(sample_batch([Clips(WAVING, warp=0.1)], 2, 128, np.random.default_rng(0)).root_R).all()


def test_fingers_are_drawn_alike_with_and_without_wrists() -> None:
    wrists = [np.zeros((len(clip), 3), np.float32) for clip in WAVING]
    drawn = [
        sample_batch([Clips(WAVING, wrists=some, warp=0.2)], 4, 128, np.random.default_rng(3))
        for some in (wrists, None)
    ]
    assert torch.equal(drawn[0].hand_R, drawn[1].hand_R) and torch.equal(drawn[0].valid, drawn[1].valid)
