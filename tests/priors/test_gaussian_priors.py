"""The Gaussian priors `gmm` and `pca`: known Gaussians are found, windows are explained, the fit takes them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hmpfit.cards import read_card
from hmpfit.errors import InputError, UnknownNameError
from hmpfit.fitting.solvers.gauss_newton import solve
from hmpfit.geometry import rotations
from hmpfit.priors.gmm.files import save_gaussians
from hmpfit.priors.gmm.mixture import GaussianMixture
from hmpfit.priors.motion_field.loading import WEIGHTS, load_default
from hmpfit.priors.motion_field.network import round_hand
from hmpfit.priors.opening import load_gmm, load_pca, open_prior
from tests.made_problem import make, take_prior

FRAMES, SIZE = 24, 6


def two_kinds(dtype: torch.dtype = torch.float64) -> GaussianMixture:
    """Two kinds of windows, far apart in the first coefficient."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(FRAMES * 45, SIZE, generator=generator, dtype=torch.float64)).Q.T
    factors = torch.linalg.cholesky(torch.stack([torch.eye(SIZE) * 0.2 + 0.1, torch.eye(SIZE) * 0.4]).double())
    centres = torch.zeros(2, SIZE, dtype=torch.float64)
    centres[:, 0] = torch.tensor([-3.0, 3.0])
    mean = torch.full((FRAMES, 45), 0.1, dtype=torch.float64)
    noise, shares = torch.tensor(0.02, dtype=torch.float64), torch.tensor([0.25, 0.75], dtype=torch.float64)
    hand = (part.double() for part in round_hand())
    return GaussianMixture(mean, axes.unflatten(1, (FRAMES, 45)), centres, factors, shares, noise, *hand).to(dtype)


def drawn(prior: GaussianMixture, count: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, prior.latent_dim, generator=generator, dtype=torch.float64).to(prior.mean)
    return z, rotations.from_6d(prior.decode(z, prior.frame_times))


def test_draws_of_a_standard_normal_follow_the_mixture() -> None:
    prior = two_kinds()
    _, hand_R = drawn(prior, 1500)
    coefficients = (rotations.log(hand_R).flatten(1) - prior.mean.flatten()) @ prior.axes.flatten(1).T
    second = coefficients[:, 0] > 0
    assert second.double().mean().item() == pytest.approx(0.75, abs=0.04)
    spread = torch.cov(coefficients[~second].T)
    assert torch.allclose(spread, prior.factors[0] @ prior.factors[0].T, atol=0.08)


def test_a_window_is_explained_by_its_own_latent() -> None:
    prior = two_kinds()
    z, hand_R = drawn(prior, 20)
    known = torch.ones(20, FRAMES, dtype=torch.bool)
    found = prior.start(hand_R, known)
    assert (found - z)[:, :-1].abs().max() < 0.05
    assert torch.equal(prior._component(found), prior._component(z))
    known[:, 8:16] = False
    corrupted = torch.where(known[..., None, None, None], hand_R, torch.nan)
    filled = rotations.from_6d(prior.decode(prior.start(corrupted, known), prior.frame_times))
    assert rotations.angle_between(filled, hand_R).mean() < 0.03
    mean, log_var = prior.encode(hand_R, known)
    assert mean[:, :-1].abs().max() == 0 and log_var.abs().max() == 0  # the term is the mixture's own likelihood


def test_the_jacobian_is_exact_and_the_naming_number_moves_nothing() -> None:
    prior = two_kinds()
    z, _ = drawn(prior, 2)
    prepared = prior.prepare(torch.tensor([0.0, 0.113, 0.5], dtype=torch.float64))
    rot6d, jacobian = prior.decode_jacobian(z, prepared)
    by_hand = torch.stack(
        [torch.func.jacrev(lambda one: prior.decode_prepared(one[None], prepared)[0].flatten(1))(row) for row in z]
    )
    assert (jacobian - by_hand).abs().max() < 1e-9 < by_hand.abs().max()
    assert (rot6d - prior.decode_prepared(z, prepared)).abs().max() < 1e-12
    assert jacobian[..., -1].abs().max() == 0


def test_likelihood_is_the_latents_norm_and_one_gaussian_keeps_the_moments() -> None:
    prior = two_kinds()
    z, _ = drawn(prior, 50)
    same = prior._component(z) == 1
    differences = prior.log_likelihood(z[same]) + 0.5 * (z[same, :-1] ** 2).sum(-1)
    assert differences.std() < 1e-9
    one = prior.as_one()
    assert one.centres[0, 0].item() == pytest.approx(-3 * 0.25 + 3 * 0.75)
    variance = (one.factors[0] @ one.factors[0].T)[0, 0].item()
    inside = 0.25 * 0.3 + 0.75 * 0.4  # factors are roots of 0.2 + 0.1 and 0.4
    assert variance == pytest.approx(inside + 0.25 * 0.75 * 36, rel=1e-6)


def test_learning_finds_two_kinds_and_refuses_too_little() -> None:
    pytest.importorskip("sklearn")
    from hmpfit.priors.gmm import learning

    prior = two_kinds()
    _, hand_R = drawn(prior, 1100)
    jitter = torch.randn(hand_R.shape[:-1], generator=torch.Generator().manual_seed(3)).double()
    hand_R = hand_R @ rotations.exp(0.03 * jitter)
    learned = learning.learn_gaussians(hand_R.float(), "gmm", *round_hand(), components=8)
    assert learned.shares.sum().item() == pytest.approx(1, abs=1e-5)
    first = (learned.centres @ learned.axes.flatten(1) + learned.mean.flatten()) - prior.mean.flatten().float()
    sides = first @ prior.axes[0].flatten().float()
    assert learned.shares[sides < 0].sum().item() == pytest.approx(0.25, abs=0.05)
    with pytest.raises(InputError, match="needs 128 whole windows of 24 frames, and 40 were found"):
        learning.learn_gaussians(hand_R[:40].float(), "pca", *round_hand())


def test_files_come_back_and_wrong_ones_are_refused(tmp_path: Path) -> None:
    prior = two_kinds(torch.float32)
    save_gaussians(prior, tmp_path / "mine.safetensors")
    again = open_prior(tmp_path / "mine.safetensors")
    z, hand_R = drawn(prior, 3)
    assert (again.decode(z, prior.frame_times) - rotations.to_6d(hand_R)).abs().max() < 1e-2  # half precision
    assert again.name == "mine" and len(again.fingerprint) == 16
    prior.shares = prior.shares[:1]
    save_gaussians(prior, tmp_path / "wrong.safetensors")
    with pytest.raises(InputError, match=r"wrong\.safetensors' lacks arrays or holds wrong ones"):
        open_prior(tmp_path / "wrong.safetensors")
    with pytest.raises(UnknownNameError, match="known: default, gmm"):
        open_prior("nonsense")


def test_the_shipped_ones_are_small_and_know_their_card() -> None:
    assert (WEIGHTS / "gmm.safetensors").stat().st_size < 2 * 1024**2
    card = read_card(WEIGHTS / "gmm.safetensors")
    assert {"name", "licence", "data", "sha256", "sizes"} <= set(card)
    gmm, pca = load_gmm(), load_pca()
    assert gmm.latent_dim == pca.latent_dim == 65 and gmm.window_frames == load_default().window_frames
    assert len(pca.shares) == 1 < len(gmm.shares)
    assert np.isclose(gmm.skeleton, load_default().skeleton, atol=1e-3).all()


@pytest.mark.parametrize("name", ["gmm", "pca", "default"])
def test_the_fit_takes_them(name: str) -> None:
    """Finger pose follows from the evidence, through the latent of any prior."""
    problem, start = take_prior(make(hands=1, frames=40), open_prior(name).double())
    solved = solve(problem, start, replace(make(hands=1, frames=2).stage, steps=6), None)
    assert solved.report.cost_end < 0.9 * solved.report.cost_start
    assert torch.isfinite(solved.motion.hand_R).all()
