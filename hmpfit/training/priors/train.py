"""What a prior learns on Lightning: its loss, optimizer and schedule (extra `train`).

Everything that computes is plain torch in `objective`; the loop itself is `training.loop`, which regressors share.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from hmpfit.errors import InputError
from hmpfit.priors.motion_field.network import MotionPrior
from hmpfit.training.loop import best_state, keep_best, run_loop
from hmpfit.training.priors.draw_windows import Batch, Clips, draw_batch
from hmpfit.training.priors.objective import PriorLossWeights, training_loss
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
            yield _tensors(draw_batch(self.collections, self.schedule.batch, self.frames, generator))


class PriorTraining(lightning.LightningModule):
    """A `MotionPrior` with its optimizer and the running mean of its weights."""

    def __init__(
        self, prior: MotionPrior, weights: PriorLossWeights, schedule: Schedule, held_out: Sequence[Batch]
    ) -> None:
        super().__init__()
        self.prior, self.weights, self.schedule, self.held_out = prior, weights, schedule, held_out
        self.average = MotionPrior(prior.sizes).requires_grad_(False)
        self.average.load_state_dict(prior.state_dict())

    def training_step(self, batch: Tensors, _: int) -> Tensor:
        """Return the loss of one batch and log its parts."""
        step = self.global_step
        generator = torch.Generator().manual_seed(self.schedule.seed * 1_000_003 + step + 7919 * process_number())
        parts = training_loss(self.prior, Batch(*batch), self.weights, step / self.schedule.steps, generator)
        self.log_dict({f"train/{name}": value.detach() for name, value in parts.items()}, batch_size=len(batch[0]))
        return parts["total"]

    def on_before_zero_grad(self, _: Any) -> None:
        """Move the running mean towards the weights."""
        step = self.global_step
        decay = min(self.schedule.average, step / (step + 10))
        with torch.no_grad():
            for kept, now in zip(self.average.state_dict().values(), self.prior.state_dict().values()):
                kept.lerp_(now, 1 - decay)

    def validation_step(self, batch: Tensors, _: int) -> None:
        """Log the held-out loss of the running mean."""
        parts = training_loss(self.average, Batch(*batch), self.weights, 1.0, torch.Generator().manual_seed(0))
        self.log_dict({f"held_out/{name}": value for name, value in parts.items()}, batch_size=len(batch[0]))

    def configure_optimizers(self) -> Any:
        """The schedule's optimizer, a short warm-up and a cosine to 2 % of the rate."""
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
            return min(1.0, (step + 1) / self.schedule.warm_up_steps) * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class _Watch(lightning.Callback):
    def __init__(self, on_step: Callable[[int], None] | None) -> None:
        self.on_step = on_step

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Say how many steps are done."""
        if self.on_step is not None:
            self.on_step(trainer.global_step)


def train(
    prior: MotionPrior,
    collections: Sequence[Clips],
    held_out: Sequence[Batch],
    folder: Path,
    weights: PriorLossWeights | None = None,
    schedule: Schedule | None = None,
    accelerator: str = "auto",
    devices: int | str = "auto",
    precision: str = "32-true",
    on_step: Callable[[int], None] | None = None,
) -> MotionPrior:
    """Train a prior and return the running mean of its weights at the best held-out loss.

    Logs (metrics.csv, and TensorBoard's where it is installed) and checkpoints go to `folder`; when it holds a last
    checkpoint the training resumes from it, with the batches that it had not seen. With several `devices` each process
    draws its own batches. `precision` is Lightning's ("bf16-mixed"); `on_step(steps done)` watches. Raises InputError
    when the checkpoint is of another size or hand.
    """
    weights, schedule = weights or PriorLossWeights(), schedule or Schedule()
    module = PriorTraining(prior, weights, schedule, held_out)
    windows = _Windows(collections, schedule, prior.window_frames)
    best = keep_best(folder, "held_out/total", save_last=True)
    last = last_state(folder)
    if last is not None:
        windows.first = _checked(last, module)
    run_loop(
        module,
        DataLoader(windows, batch_size=None),
        DataLoader([_tensors(batch) for batch in held_out], batch_size=None),  # type: ignore[arg-type]
        folder,
        schedule.steps,
        schedule.validate_every,
        50,
        [best, _Watch(on_step)],
        gradient_clip_val=1.0,
        accelerator=accelerator,
        devices=devices,
        precision=precision,
        strategy="ddp_find_unused_parameters_true" if str(devices) not in ("1", "auto") else "auto",
    )
    state = best_state(best, "average.")
    if state is not None:
        module.average.load_state_dict(state)
    module.average.name = prior.name
    return module.average


def process_number() -> int:
    """Return which of a training's processes this is; 0 is the one that writes files."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def _checked(last: Path, module: PriorTraining) -> int:
    """Return a checkpoint's step; InputError when its weights or its hand are not those of the prior in training."""
    stored = read_state(last)
    there, here = stored["state_dict"], module.state_dict()
    if {key: value.shape for key, value in there.items()} != {key: value.shape for key, value in here.items()}:
        raise InputError(f"'{last}' is a checkpoint of another size of prior; choose another -o, or the size it has.")
    if not torch.allclose(there["prior.skeleton"], here["prior.skeleton"], atol=1e-6):
        raise InputError(f"'{last}' is a checkpoint of another hand model; choose another -o, or the hand it has.")
    return int(stored["global_step"])


def _tensors(batch: Batch) -> Tensors:
    return batch.hand_R, batch.valid, batch.shown, batch.root_R
