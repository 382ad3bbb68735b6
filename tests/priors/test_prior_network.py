"""The motion prior's network: sizes, the restructured decoder, its derivative, masks, and files."""

import dataclasses
from pathlib import Path

import pytest
import torch

from hmpfit.errors import InputError, UnknownNameError
from hmpfit.geometry import rotations
from hmpfit.priors.motion_field import features
from hmpfit.priors.motion_field.loading import load_prior, save_prior
from hmpfit.priors.motion_field.network import MotionPrior
from hmpfit.priors.motion_field.sizes import PAPER, SMALL, Sizes, from_table, to_table
from hmpfit.skeleton import MANO_21, MANO_PARENTS

TINY = {
    "nemf": Sizes(latent=24, width=32, layers=4, channels=(4, 4, 4, 4)),
    "small": dataclasses.replace(SMALL, latent=24, path_channels=6, path_waves=8, gap_width=8),
    "path": dataclasses.replace(SMALL, latent=24, width=32, layers=4, path_channels=6, path_waves=8, gap_width=8),
    "six": dataclasses.replace(
        SMALL, latent=24, width=32, layers=2, path_channels=6, path_waves=8, gap_width=8, angles=False
    ),
    "both": dataclasses.replace(
        SMALL, latent=24, width=32, layers=4, path_channels=6, path_waves=8, gap_width=8, latent_in_layers=True
    ),
    "root": Sizes(latent=20, width=32, layers=3, channels=(4, 4, 4, 4), root_latent=4, extra_convolutions=1),
}


def tiny(kind: str, dtype: torch.dtype = torch.float64) -> MotionPrior:
    torch.manual_seed(1)
    prior = MotionPrior(TINY[kind])
    with torch.no_grad():
        for parameter in prior.parameters():  # no zero, no one: every weight must matter
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return prior.to(dtype)


def motion(batch: int, frames: int = 128, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return rotations.exp(0.4 * torch.randn(batch, frames, 15, 3, generator=generator, dtype=dtype))


def count(module: torch.nn.Module | None) -> int:
    assert module is not None
    return sum(parameter.numel() for parameter in module.parameters())


def test_paper_size_has_about_59_million_parameters() -> None:
    prior = MotionPrior(PAPER)
    assert count(prior) == pytest.approx(59e6, rel=0.02)
    assert count(prior.decoder) == pytest.approx(16.0e6, rel=0.02)
    assert count(prior.decoder) + count(prior.root_branch) == pytest.approx(23.2e6, rel=0.02)


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_prepared_decoding_equals_the_plain_form(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    prior = tiny(kind, dtype)
    z, t = torch.randn(3, prior.latent_dim, dtype=dtype), torch.tensor([0.0, 0.013, 1.5, 4.2], dtype=dtype)
    plain = prior.decode(z, t)
    assert plain.shape == (3, 4, 15, 6)
    assert (plain - prior.decode_prepared(z, prior.prepare(t))).abs().max() < tolerance
    assert (plain[0] - plain[1]).abs().max() > 0.01  # it does depend on z


@pytest.mark.parametrize("kind", TINY)
def test_jacobian_equals_automatic_differentiation(kind: str) -> None:
    prior = tiny(kind)
    z, t = torch.randn(2, prior.latent_dim, dtype=torch.float64), torch.tensor([0.0, 0.7, 2.9], dtype=torch.float64)
    prepared = prior.prepare(t)
    rot6d, jacobian = prior.decode_jacobian(z, prepared)
    by_hand = torch.stack([torch.func.jacrev(lambda one: prior.decode(one[None], t)[0].flatten(1))(row) for row in z])
    assert by_hand.abs().max() > 0.01
    assert (jacobian - by_hand).abs().max() < 1e-9
    assert (rot6d - prior.decode(z, t)).abs().max() < 1e-9
    some = prior.decode_jacobian(z, prepared, rows=torch.tensor([0, 2]))[1]
    assert (some - by_hand[:, [0, 2]]).abs().max() < 1e-9


@pytest.mark.parametrize("kind", ["small", "path", "six"])
def test_path_jacobian_gives_the_whole_one(kind: str) -> None:
    prior = tiny(kind)
    z, prepared = torch.randn(2, 24, dtype=torch.float64), prior.prepare(prior.frame_times[::9])
    by_path = prior.decode_path_jacobian(z, prepared)[1]
    assert prepared.path is not None and by_path.shape[-1] == prior.sizes.path_channels
    assert (by_path @ prepared.path - prior.decode_jacobian(z, prepared)[1]).abs().max() < 1e-12


@pytest.mark.parametrize("kind", TINY)
def test_what_unknown_frames_hold_is_never_read(kind: str) -> None:
    prior, hand_R = tiny(kind), motion(2)
    known = torch.ones(2, 128, dtype=torch.bool)
    known[0, 40:70] = False
    known[1, 100:] = False
    corrupted = torch.where(known[..., None, None, None], hand_R, torch.nan)
    first, second = prior.encode(hand_R, known), prior.encode(corrupted, known)
    for a, b in zip(first, second):
        assert torch.isfinite(b).all() and torch.equal(a, b)
    whole = prior.encode(hand_R, torch.ones_like(known))[0]
    assert (whole - first[0]).abs().max() > 1e-4


def test_nothing_known_still_encodes() -> None:
    prior = tiny("path", torch.float32)
    mu, log_var = prior.encode(torch.full((1, 128, 15, 3, 3), torch.nan), torch.zeros(1, 128, dtype=torch.bool))
    assert torch.isfinite(mu).all() and torch.isfinite(log_var).all()


def test_bridge_goes_straight_and_holds_the_ends() -> None:
    angle = torch.arange(8.0) * 0.01  # small turns: six numbers interpolate as angles do
    hand_R = rotations.exp(angle[None, :, None, None] * torch.tensor([0.0, 0.0, 1.0]).expand(1, 8, 15, 3))
    known = torch.tensor([[False, True, False, False, False, True, False, False]])
    turned = rotations.log(features.interpolate_unknown(hand_R, known))[0, :, 4, 2]
    assert torch.allclose(turned, torch.tensor([1.0, 1, 2, 3, 4, 5, 5, 5]) * 0.01, atol=1e-5)
    since, until = features.gap_distances(known)
    assert since[0].tolist() == [8, 0, 1, 2, 3, 0, 1, 2]
    assert until[0].tolist() == [1, 0, 3, 2, 1, 0, 8, 8]


def test_points_of_a_flat_hand_are_the_skeleton_and_flexion_curls_towards_the_palm() -> None:
    prior = MotionPrior(TINY["path"])
    flat = prior.points(torch.eye(3).expand(15, 3, 3))
    assert torch.allclose(flat[:16], prior.skeleton - prior.skeleton[0], atol=1e-7)
    pose = torch.zeros(15, 3)
    pose[0, 2] = 1.0  # index1 about +z
    bent = prior.points(rotations.exp(pose))
    tip = MANO_21.index("index_tip")
    assert bent[tip, 1] < flat[tip, 1] - 0.03
    lengths = [(bent[j] - bent[p]).norm() for j, p in enumerate(MANO_PARENTS) if p >= 0]
    rest = [(flat[j] - flat[p]).norm() for j, p in enumerate(MANO_PARENTS) if p >= 0]
    assert torch.allclose(torch.stack(lengths), torch.stack(rest), atol=1e-6)


def test_a_written_prior_reads_back(tmp_path: Path) -> None:
    prior = tiny("path", torch.float32)
    save_prior(prior, tmp_path / "mine.safetensors", torch.float32)
    again = load_prior(tmp_path / "mine.safetensors")
    z = torch.randn(1, 24)
    assert again.sizes == prior.sizes and again.name == "mine" and len(again.fingerprint) == 16
    assert torch.equal(again.decode(z, prior.frame_times), prior.decode(z, prior.frame_times))


def test_files_that_are_no_prior_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="known: default"):
        load_prior("nonsense")
    with pytest.raises(InputError, match="no prior at"):
        load_prior(tmp_path / "absent.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(InputError, match="not a readable safetensors"):
        load_prior(tmp_path / "text.safetensors")
    path = tmp_path / "mine.safetensors"
    save_prior(tiny("path", torch.float32), path)
    (tmp_path / "mine.card.toml").write_text('sha256 = "0"\n')
    with pytest.raises(InputError, match="checksum"):
        load_prior(path)
    (tmp_path / "mine.card.toml").unlink()
    prior = tiny("path", torch.float32)
    prior.sizes = dataclasses.replace(prior.sizes, width=40)  # sizes that the weights do not have
    save_prior(prior, path)
    with pytest.raises(InputError, match="lacks the weights"):
        load_prior(path)


def test_sizes_survive_a_table() -> None:
    assert from_table(to_table(PAPER)) == PAPER
    with pytest.raises(InputError, match="unknown keys depth"):
        from_table({"depth": 3})
    with pytest.raises(InputError, match="incomplete"):
        from_table({"width": 3})
