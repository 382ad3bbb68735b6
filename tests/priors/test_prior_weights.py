"""The shipped prior: its file is what its card says, and it knows motion that it never saw."""

import tomllib

import numpy as np
import pytest
import torch

from hmpfit.cards import card_path, read_card
from hmpfit.geometry import rotations
from hmpfit.priors.motion_field.loading import WEIGHTS, known_priors, load_default
from hmpfit.priors.motion_field.network import MotionPrior
from hmpfit.priors.motion_field.sizes import NEMF
from hmpfit.priors.opening import open_prior
from hmpfit.synthesis.motion import HELD_OUT, generate_motion


@pytest.fixture(scope="module")
def prior() -> MotionPrior:
    return load_default()


@pytest.fixture(scope="module")
def unseen() -> torch.Tensor:
    generator = np.random.default_rng(4321)
    kinds = ("spelling", "power_grasps", "precision_grasps", "other_grasps", "handling") * 2
    poses = [generate_motion(kind, 128 / 30, 30.0, generator, HELD_OUT) for kind in kinds]
    return rotations.exp(torch.as_tensor(np.stack(poses), dtype=torch.float32))


def error_mm(prior: MotionPrior, found: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return (prior.points(found) - prior.points(truth)).norm(dim=-1).mean(-1) * 1e3


def decoded(prior: MotionPrior, hand_R: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    return rotations.from_6d(prior.decode(prior.start(hand_R, known), prior.frame_times))


@pytest.mark.parametrize(("name", "most_mib"), [("default", 5), ("nemf", 10)])
def test_the_file_is_small_and_its_card_complete(name: str, most_mib: int) -> None:
    assert name in known_priors()
    weights = WEIGHTS / f"{name}.safetensors"
    assert weights.stat().st_size <= most_mib * 1024**2
    card = read_card(weights)
    assert tomllib.loads(card_path(weights).read_text(encoding="utf-8")) == card
    assert {"name", "licence", "data", "held_out", "command", "sha256", "sizes", "figures"} <= set(card)


def test_it_reconstructs_unseen_motion(prior: MotionPrior, unseen: torch.Tensor) -> None:
    known = torch.ones(unseen.shape[:2], dtype=torch.bool)
    error = error_mm(prior, decoded(prior, unseen, known), unseen)
    assert error.mean() < 4.0
    still = unseen.mean(dim=1, keepdim=True)  # the knowledge of the average pose alone is not enough
    assert error.mean() < 0.3 * error_mm(prior, rotations.project_to_so3(still).expand_as(unseen), unseen).mean()


def test_a_gap_is_filled_better_than_a_straight_line_and_known_to_be_uncertain(
    prior: MotionPrior, unseen: torch.Tensor
) -> None:
    from hmpfit.priors.motion_field import features

    known = torch.ones(unseen.shape[:2], dtype=torch.bool)
    known[:, 50:70] = False
    straight = error_mm(prior, features.interpolate_unknown(unseen, known), unseen)[~known].mean()
    completed = prior.complete(unseen, known)
    assert error_mm(prior, completed, unseen)[~known].mean() < 0.75 * straight
    assert error_mm(prior, decoded(prior, unseen, known), unseen)[~known].mean() < 0.8 * straight
    assert torch.equal(completed[known], unseen[known])
    whole, masked = (prior.encode(unseen, mask)[1] for mask in (torch.ones_like(known), known))
    assert (masked.mean() - whole.mean()) > 0.1  # log variance


def test_it_decodes_any_frame_rate(prior: MotionPrior) -> None:
    z = torch.randn(1, prior.latent_dim, generator=torch.Generator().manual_seed(0)) * 0.5
    coarse = prior.decode(z, prior.frame_times)
    fine = prior.decode(z, torch.arange(4 * 128 - 3) / 120)
    assert torch.allclose(coarse, fine[:, ::4], atol=1e-5)
    between = 0.5 * (coarse[:, :-1] + coarse[:, 1:])
    assert (fine[:, 2::4] - between).abs().mean() < 0.3 * (coarse[:, 1:] - coarse[:, :-1]).abs().mean()


def test_float32_and_float64_agree(prior: MotionPrior, unseen: torch.Tensor) -> None:
    double = load_default().to(torch.float64)
    known = torch.ones(2, 128, dtype=torch.bool)
    one, two = prior.encode(unseen[:2], known)[0], double.encode(unseen[:2].double(), known)[0]
    assert (one - two).abs().max() < 1e-2
    assert (prior.decode(one, prior.frame_times) - double.decode(one.double(), double.frame_times)).abs().max() < 1e-4


def test_the_neural_field_reconstructs_unseen_motion_at_any_rate(unseen: torch.Tensor) -> None:
    field = open_prior("nemf")
    assert isinstance(field, MotionPrior) and field.sizes == NEMF and not field.has_path
    known = torch.ones(unseen.shape[:2], dtype=torch.bool)
    still = rotations.project_to_so3(unseen.mean(dim=1, keepdim=True)).expand_as(unseen)
    error = error_mm(field, decoded(field, unseen, known), unseen).mean()
    assert error < 8.0 and error < 0.65 * error_mm(field, still, unseen).mean()
    z = field.start(unseen, known)
    coarse, fine = field.decode(z, field.frame_times), field.decode(z, torch.arange(4 * 128 - 3) / 120)
    assert torch.allclose(coarse, fine[:, ::4], atol=1e-4)
    between = 0.5 * (coarse[:, :-1] + coarse[:, 1:])  # continuous in time: half way lies near the middle
    assert (fine[:, 2::4] - between).abs().mean() < 0.3 * (coarse[:, 1:] - coarse[:, :-1]).abs().mean()
