"""Training of a motion prior: its batches, losses and optimizer, for `training.loop` (extra `train`).

Everything that computes is plain torch in `objective`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from hmpfit.errors import InputError
from hmpfit.priors.motion_field.network import MotionPrior
from hmpfit.training.loop import LoopGoal, LoopOptions, process_number, run_loop
from hmpfit.training.priors.objective import PriorLossWeights, training_loss
from hmpfit.training.priors.sample_windows import Batch, Clips, sample_batch
from hmpfit.training.priors.schedules import Schedule
from hmpfit.training.states import last_state, read_state

CODEC = ("path_basis", "skip", "to_path", "to_latent")
Tensors = tuple[
    Tensor, Tensor, Tensor, Tensor
]  # a Batch's fields: lightning moves tuples to devices, not frozen records


class _Windows(IterableDataset[Tensors]):
    def __init__(self, collections: Sequence[Clips], schedule: Schedule, frames: int) -> None:
        self.collections, self.schedule, self.frames = collections, schedule, frames
        self.first = 0

    def __iter__(self) -> Iterator[Tensors]:
        rank = process_number()
        for step in range(self.first, self.schedule.steps):  # a batch depends on its number only: resuming repeats it
            generator = np.random.default_rng((self.schedule.seed, step, rank) if rank else (self.schedule.seed, step))
            yield _tensors(sample_batch(self.collections, self.schedule.batch, self.frames, generator))


class PriorTraining(lightning.LightningModule):
    """A `MotionPrior` with its losses and its optimizer."""

    def __init__(self, prior: MotionPrior, weights: PriorLossWeights, schedule: Schedule) -> None:
        super().__init__()
        self.prior, self.weights, self.schedule = prior, weights, schedule

    def training_step(self, batch: Tensors, _: int) -> Tensor:
        """Return the loss of one batch and log its parts."""
        step = self.global_step
        generator = torch.Generator().manual_seed(self.schedule.seed * 1_000_003 + step + 7919 * process_number())
        parts = training_loss(self.prior, Batch(*batch), self.weights, step / self.schedule.steps, generator)
        self.log_dict({f"train/{name}": value.detach() for name, value in parts.items()}, batch_size=len(batch[0]))
        return parts["total"]

    def validation_step(self, batch: Tensors, _: int) -> None:
        """Log the held-out loss."""
        parts = training_loss(self.prior, Batch(*batch), self.weights, 1.0, torch.Generator().manual_seed(0))
        self.log_dict({f"held_out/{name}": value for name, value in parts.items()}, batch_size=len(batch[0]))

    def configure_optimizers(self) -> Any:
        """The schedule's optimizer; where it says so, a short warm-up and a cosine to 2 % of the rate."""
        codec: list[torch.nn.Parameter] = []
        rest: list[torch.nn.Parameter] = []
        for name, parameter in self.prior.named_parameters():
            (codec if any(part in name for part in CODEC) else rest).append(parameter)
        rate = self.schedule.learning_rate
        groups: list[dict[str, Any]] = [{"params": rest, "lr": rate}]
        if codec:
            groups.append({"params": codec, "lr": rate * self.schedule.codec_rate})
        decay = self.schedule.weight_decay
        optimizer: torch.optim.Optimizer
        if self.schedule.optimizer == "adamax":
            optimizer = torch.optim.Adamax(groups, weight_decay=decay)
        else:
            optimizer = torch.optim.AdamW(groups, weight_decay=decay, betas=(0.9, 0.98))

        def factor(step: int) -> float:
            done = min(step / self.schedule.steps, 1.0)
            warm = min(1.0, (step + 1) / max(self.schedule.warm_up_steps, 1))
            return warm * (0.02 + 0.49 * (1 + math.cos(math.pi * done)) if self.schedule.cosine else 1.0)

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def train_prior_network(
    prior: MotionPrior,
    collections: Sequence[Clips],
    held_out: Sequence[Batch],
    folder: Path,
    weights: PriorLossWeights | None = None,
    schedule: Schedule | None = None,
    options: LoopOptions | None = None,
    on_step: Callable[[int], None] | None = None,
) -> MotionPrior:
    """Train a prior and return it (or the running mean of its weights) as it was at the best held-out loss.

    What lies in `folder`, and how a training resumes: `training.loop.run_loop`. With several devices each process
    draws its own batches. Raises InputError when the state in the folder is of another size or hand.
    """
    weights, schedule = weights or PriorLossWeights(), schedule or Schedule()
    module = PriorTraining(prior, weights, schedule)
    last = last_state(folder)
    if last is not None:
        _check_hand(last, prior)
    windows = _Windows(collections, schedule, prior.window_frames)
    goal = LoopGoal(schedule.steps, "held_out/total", schedule.validate_every, schedule.clip, schedule.average)
    scored = [_tensors(batch) for batch in held_out]
    run_loop(module, windows, scored, folder, goal, options or LoopOptions(), on_step)
    return prior


def _check_hand(last: Path, prior: MotionPrior) -> None:
    """Raise InputError when a state's hand is not that of the prior in training."""
    there = read_state(last)["state_dict"].get("prior.skeleton")
    if there is not None and not torch.allclose(there, prior.skeleton, atol=1e-6):
        raise InputError(f"'{last}' is the state of another hand model; choose another -o, or the hand it has.")


def _tensors(batch: Batch) -> Tensors:
    return batch.hand_R, batch.valid, batch.shown, batch.root_R
