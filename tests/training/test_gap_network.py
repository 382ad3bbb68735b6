"""In-betweening along a prior's path: which runs are gaps, what the network may see, and that it learns."""

import dataclasses

import numpy as np
import pytest
import torch

from hmpfit.geometry import rotations
from hmpfit.priors.motion_field.gap_network import WAVES, GapNetwork, Gaps, average_course, sines
from hmpfit.priors.motion_field.network import MotionPrior
from hmpfit.priors.motion_field.sizes import SMALL
from hmpfit.training.priors.masked_gaps import gap_loss, sample_gaps
from hmpfit.training.priors.objective import PriorLossWeights, training_loss
from hmpfit.training.priors.sample_windows import Batch, Clips, sample_batch
from hmpfit.training.priors.start import refit_codec, start_from_data, whole_windows
from tests.made_motion import waving_fingers

CHANNELS = 4


def network() -> GapNetwork:
    torch.manual_seed(0)
    made = GapNetwork(CHANNELS, 16)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return made


def test_gaps_are_runs_between_known_frames() -> None:
    known = torch.tensor([[0, 1, 0, 0, 1, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1, 1, 1, 1]], dtype=torch.bool)
    gaps = Gaps.between(known)
    assert gaps.row.tolist() == [0, 0] and gaps.before.tolist() == [1, 5] and gaps.after.tolist() == [4, 7]
    assert torch.allclose(gaps.into()[0], torch.tensor([0, 0, 1 / 3, 2 / 3, 1, 1, 1, 1, 1]))


def test_waves_vanish_outside_and_are_orthogonal_inside() -> None:
    length = 30
    into = torch.arange(-3, length + 5).clamp(0, length + 1) / (length + 1)
    waves = sines(into.double())
    assert waves[:4].abs().max() == 0 == waves[-4:].abs().max()
    assert torch.allclose(waves.T @ waves, torch.eye(WAVES).double() * (length + 1) / 2, atol=1e-6)


def test_only_known_frames_are_seen_and_size_is_free() -> None:
    made, generator = network(), torch.Generator().manual_seed(1)
    path = torch.randn(2, 128, CHANNELS, generator=generator).cumsum(1)
    known = torch.ones(2, 128, dtype=torch.bool)
    known[0, 40:60], known[0, 70:75], known[1, 90:] = False, False, False
    gaps = Gaps.between(known)
    assert gaps.row.tolist() == [0, 0]
    course, log_var = made(path, gaps)
    corrupted = torch.where(known[..., None], path, 99.0)
    again, _ = made(corrupted, gaps)
    assert course.shape == log_var.shape == (2, WAVES, CHANNELS) and torch.equal(course, again)
    assert course[1, 5:].abs().max() == 0 < course[1, :5].abs().max()  # five frames hold five waves
    posture = torch.zeros(2)  # without posture, the same motion elsewhere has the same course
    here, there = (made(moved, gaps, posture)[0] for moved in (path, path + 3.0))
    assert torch.allclose(here, there, atol=1e-4)


def test_the_average_of_readings_fills_motion_backwards_as_forwards() -> None:
    made, generator = network().double(), torch.Generator().manual_seed(1)
    path = torch.randn(2, 128, CHANNELS, generator=generator, dtype=torch.float64).cumsum(1)
    known = torch.ones(2, 128, dtype=torch.bool)
    known[0, 40:60], known[1, 71:100] = False, False

    def filled(path: torch.Tensor, known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gaps = Gaps.between(known)
        course, log_var = average_course(made, path, gaps)
        return sines(gaps.into().double()) @ course, log_var

    (forwards, log_var), (backwards, _) = filled(path, known), filled(path.flip(1), known.flip(1))
    assert forwards.abs().max() > 0.1 and torch.allclose(forwards, backwards.flip(1), atol=1e-5)
    gaps = Gaps.between(known)
    alone = sines(gaps.into().double()) @ made(path, gaps)[0]
    assert (alone - forwards).abs().max() > 0.01  # one reading alone depends on the direction
    means = [made(path, gaps, posture)[1].exp() for posture in (None, torch.zeros(2).double())]
    assert (log_var.exp().mean() > 0.5 * torch.stack(means).mean()).item()


def test_drawn_gaps_are_true_frames_between_known_ones() -> None:
    valid = torch.ones(3, 128, dtype=torch.bool)
    valid[1, 50:60], valid[2, 100:] = False, False
    gaps = sample_gaps(valid, 500, torch.Generator().manual_seed(0))
    here = torch.arange(128)
    within = (here >= gaps.before[:, None]) & (here <= gaps.after[:, None])
    assert len(gaps.row) > 200 and (valid[gaps.row] | ~within).all()
    assert gaps.known.gather(1, gaps.before[:, None]).all() and gaps.known.gather(1, gaps.after[:, None]).all()
    inside = (here > gaps.before[:, None]) & (here < gaps.after[:, None])
    assert not (gaps.known & inside).any() and not (gaps.known & ~valid[gaps.row]).any()
    lengths = gaps.after - gaps.before - 1
    assert lengths.min() >= 4 and lengths.max() <= 62


def started(latent: int, windows: int, dtype: torch.dtype = torch.float32) -> tuple[MotionPrior, Batch]:
    """Return a small prior whose codec comes from drawn windows, and these."""
    torch.manual_seed(0)
    prior = MotionPrior(dataclasses.replace(SMALL, latent=latent, path_channels=8, path_waves=24, gap_width=24))
    batch = sample_batch([Clips(waving_fingers(16, (0.8, 1.6), 0.6, 0.5))], windows, 128, np.random.default_rng(1))
    batch = dataclasses.replace(batch, hand_R=batch.hand_R.to(dtype))
    start_from_data(prior.to(dtype), batch.hand_R)
    return prior, batch


def test_an_untrained_network_goes_straight_and_training_beats_that() -> None:
    prior, batch = started(latent=96, windows=16)
    known = torch.ones(16, 128, dtype=torch.bool)
    known[:, 50:65] = False

    def error(found: torch.Tensor) -> float:
        return float(rotations.angle_between(found, batch.hand_R)[~known].mean())

    straight = error(prior.complete(batch.hand_R, known))
    assert torch.equal(prior.complete(batch.hand_R, known)[known], batch.hand_R[known])
    optimizer = torch.optim.Adam(prior.encoder.gaps.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(4)
    for _ in range(60):
        parts = training_loss(prior, batch, PriorLossWeights(gaps=48), 1.0, generator)
        optimizer.zero_grad()
        parts["total"].backward()
        optimizer.step()
    assert error(prior.complete(batch.hand_R, known)) < 0.7 * straight
    decoded = rotations.from_6d(prior.decode(prior.start(batch.hand_R, known), prior.frame_times))
    assert error(decoded) < 0.8 * straight
    whole, masked = (prior.encode(batch.hand_R, mask)[1].mean() for mask in (torch.ones_like(known), known))
    assert masked > whole + 0.1  # it knows that it does not know


def test_the_posterior_is_the_product_of_two_normals() -> None:
    prior, batch = started(latent=12, windows=64, dtype=torch.float64)
    hand_R, known = batch.hand_R, torch.ones(64, 128, dtype=torch.bool)
    z = prior.start(hand_R, known)
    assert torch.allclose(z.square().mean(0), torch.ones(12, dtype=z.dtype), atol=1e-6)
    for std in (0.02, 1.0, 50.0):
        mean, log_var = prior.encode(hand_R, known, std)
        noise = prior.encoder.to_latent.weight.square().sum(1) * std**2 / 128  # of z, by the frames' white noise
        assert torch.allclose(log_var.exp(), (1 / (1 + 1 / noise)).expand_as(z))
        assert torch.allclose(mean, z * (1 / noise) / (1 + 1 / noise))
    assert torch.equal(prior.encode(hand_R, known)[0], prior.encode(hand_R, known, prior.sizes.observed_std)[0])


def test_the_loss_of_a_straight_line_is_known() -> None:
    torch.manual_seed(0)
    made = GapNetwork(CHANNELS, 8)
    path = torch.arange(128.0)[None, :, None].expand(2, -1, CHANNELS) * 0.01 + 0.3 * torch.sin(
        torch.arange(128.0)[None, :, None] / 9
    )
    gaps = sample_gaps(torch.ones(2, 128, dtype=torch.bool), 64, torch.Generator().manual_seed(0))
    parts = gap_loss(made, path, gaps, torch.Generator().manual_seed(1))
    assert parts["gap_to_line"].item() == pytest.approx(1.0, abs=1e-5)
    assert torch.isfinite(parts["total"])


def test_a_truncated_prior_has_the_first_numbers_of_the_latent() -> None:
    prior, batch = started(latent=12, windows=16, dtype=torch.float64)
    hand_R, known = batch.hand_R, torch.ones(16, 128, dtype=torch.bool)
    short = prior.truncated(5)
    assert short.latent_dim == 5 and prior.latent_dim == 12
    for whole, part in zip(prior.encode(hand_R, known), short.encode(hand_R, known)):
        assert torch.allclose(whole[:, :5], part)
    z = short.start(hand_R, known)
    padded = torch.nn.functional.pad(z, (0, 7))
    assert torch.allclose(short.decode(z, prior.frame_times), prior.decode(padded, prior.frame_times))
    moved = prior.decoder.path_basis.square().sum((1, 2))
    assert (moved.diff() <= 1e-12).all()  # the first move the hand most
    assert prior.truncated(0) is prior and prior.truncated(12) is prior


def test_a_codec_refitted_to_other_motion_keeps_its_channels_in_their_places() -> None:
    prior, batch = started(latent=96, windows=32)
    axes, shipped = (
        prior.encoder.to_path.weight.clone(),
        {k: v.clone() for k, v in prior.encoder.gaps.state_dict().items()},
    )
    refit_codec(prior, batch.hand_R)  # the same motion: the same codec
    assert torch.allclose(prior.encoder.to_path.weight, axes, atol=1e-4)
    other = sample_batch([Clips(waving_fingers(16, (0.4, 2.0), 0.4, 0.7))], 32, 128, np.random.default_rng(7))
    known = torch.ones(32, 128, dtype=torch.bool)

    @torch.no_grad()
    def error() -> float:
        decoded = rotations.from_6d(prior.decode(prior.start(other.hand_R, known), prior.frame_times))
        return float(rotations.angle_between(decoded, other.hand_R).mean())

    before = error()
    refit_codec(prior, other.hand_R)
    assert error() < 0.9 * before
    alike = torch.nn.functional.cosine_similarity(prior.encoder.to_path.weight, axes, dim=1)
    assert (alike > 0).all() and alike.mean() > 0.5
    for key, value in prior.encoder.gaps.state_dict().items():
        assert key == "spread" or torch.equal(value, shipped[key])  # the network is not touched
    padded = dataclasses.replace(batch, valid=batch.valid & (torch.arange(32) < 20)[:, None])
    assert len(whole_windows(padded)) == 20
