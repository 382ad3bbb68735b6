"""Training on Lightning: it learns, and a run that was stopped goes on with the batches it had not seen."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from hmpfit.errors import InputError
from hmpfit.priors.motion_field.network import MotionPrior
from hmpfit.priors.motion_field.sizes import SMALL, Sizes
from hmpfit.training.priors.objective import PriorLossWeights
from hmpfit.training.priors.sample_windows import Clips, sample_batch
from hmpfit.training.priors.schedules import PAPER, Schedule
from hmpfit.training.priors.start import start_from_data

pytest.importorskip("lightning")

SIZES = dataclasses.replace(SMALL, latent=32, width=16, layers=2, path_channels=8, path_waves=8, gap_width=8)


def clips() -> Clips:
    generator = np.random.default_rng(0)
    phase = generator.uniform(0, 6, (8, 1, 15))
    flexion = 0.5 + 0.4 * np.sin(phase + np.arange(140)[None, :, None] / 10)
    return Clips(np.stack((0 * flexion, 0 * flexion, flexion), axis=-1))


def fit(folder: Path, steps: int, stop_at: int | None = None, sizes: Sizes = SIZES, taller: float = 1.0) -> MotionPrior:
    from hmpfit.training.loop import LoopOptions
    from hmpfit.training.priors import train as run

    torch.manual_seed(0)
    prior, data = MotionPrior(sizes), clips()
    prior.skeleton *= taller
    held_out = [sample_batch([data], 4, 128, np.random.default_rng(9))]
    start_from_data(prior, held_out[0].hand_R)
    schedule = Schedule(steps=steps, batch=4, learning_rate=1e-3, warm_up_steps=2, validate_every=4)
    weights = PriorLossWeights()
    if stop_at:
        original = run.PriorTraining.training_step

        def breaks(self: run.PriorTraining, batch: object, number: int) -> torch.Tensor:
            if self.global_step == stop_at:
                raise RuntimeError("killed")
            return original(self, batch, number)  # type: ignore[arg-type]

        run.PriorTraining.training_step = breaks  # type: ignore[method-assign]
        try:
            with pytest.raises(RuntimeError, match="killed"):
                run.train_prior_network(prior, [data], held_out, folder, weights, schedule, LoopOptions("cpu"))
        finally:
            run.PriorTraining.training_step = original  # type: ignore[method-assign]
        return prior
    return run.train_prior_network(prior, [data], held_out, folder, weights, schedule, LoopOptions("cpu"))


def test_a_stopped_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", 12)
    fit(tmp_path / "parts", 12, stop_at=9)
    assert (tmp_path / "parts" / "last.safetensors").is_file()
    resumed = fit(tmp_path / "parts", 12)
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, resumed.state_dict()[name], atol=1e-6), name
    assert (tmp_path / "whole" / "metrics.csv").is_file()


def test_a_checkpoint_of_another_size_or_hand_is_refused_and_stays(tmp_path: Path) -> None:
    fit(tmp_path, 4)
    before = (tmp_path / "last.safetensors").read_bytes()
    with pytest.raises(InputError, match="of another size"):
        fit(tmp_path, 4, sizes=dataclasses.replace(SIZES, latent=24))
    with pytest.raises(InputError, match="another hand model"):
        fit(tmp_path, 4, taller=1.2)
    assert (tmp_path / "last.safetensors").read_bytes() == before
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_the_papers_optimizer_runs() -> None:
    from hmpfit.training.priors import train as run

    module = run.PriorTraining(MotionPrior(SIZES), PriorLossWeights(), PAPER)
    found = module.configure_optimizers()
    assert isinstance(found["optimizer"], torch.optim.Adamax)
    (rate_at,) = {id(f): f for f in found["lr_scheduler"]["scheduler"].lr_lambdas}.values()
    assert {rate_at(step) for step in (0, 1, 2000, 4000)} == {1.0}  # no warm-up and no decay
    assert not PAPER.average and not PAPER.clip
    assert PAPER.batch == 16 and PAPER.learning_rate == 1e-4 and PAPER.weight_decay == 1e-4
