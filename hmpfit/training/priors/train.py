"""Training on Lightning: the loop, its schedule, resume, logs and the best checkpoint (extra `train`).

Everything that computes is plain torch in `objective`; this file is the only one that imports lightning.
"""

import csv
import importlib.util
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from hmpfit.errors import InputError
from hmpfit.priors.motion_field.network import MotionPrior
from hmpfit.training.logs import metric_rows
from hmpfit.training.priors.objective import PriorLossWeights, training_loss
from hmpfit.training.priors.sample_windows import Batch, Clips, sample_batch
from hmpfit.training.priors.schedules import Schedule
from hmpfit.training.states import SUFFIX, SafetensorsStates, last_state, read_state, weights_of

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
    """A `MotionPrior` with its optimizer and the running mean of its weights."""

    def __init__(
        self, prior: MotionPrior, weights: PriorLossWeights, schedule: Schedule, held_out: Sequence[Batch]
    ) -> None:
        super().__init__()
        self.prior, self.weights, self.schedule, self.held_out = prior, weights, schedule, held_out
        self.average = MotionPrior(prior.sizes).requires_grad_(False)
        self.average.load_state_dict(prior.state_dict())

    @property
    def kept(self) -> MotionPrior:
        """The prior that is validated and kept."""
        return self.average if self.schedule.average else self.prior

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
        """Log the held-out loss of what is kept."""
        parts = training_loss(self.kept, Batch(*batch), self.weights, 1.0, torch.Generator().manual_seed(0))
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
    """Train a prior and return it (or the running mean of its weights) as it was at the best held-out loss.

    Logs (metrics.csv, and TensorBoard's where it is installed) and checkpoints go to `folder`; when it holds a last
    checkpoint the training resumes from it, with the batches that it had not seen. With several `devices` each process
    draws its own batches. `precision` is Lightning's ("bf16-mixed"); `on_step(steps done)` watches. Raises InputError
    when the checkpoint is of another size or hand.
    """
    weights, schedule = weights or PriorLossWeights(), schedule or Schedule()
    module = PriorTraining(prior, weights, schedule, held_out)
    windows = _Windows(collections, schedule, prior.window_frames)
    best = ModelCheckpoint(
        dirpath=folder,
        filename="best",
        monitor="held_out/total",
        save_last=True,
        every_n_train_steps=None,
        enable_version_counter=False,
    )
    best.FILE_EXTENSION = SUFFIX
    last = last_state(folder)
    if last is not None:
        windows.first = _checked(last, module)
    loggers: list[Any] = [CSVLogger(folder, name="", version="")]
    if importlib.util.find_spec("tensorboard") is not None:
        loggers.append(TensorBoardLogger(folder, name="tensorboard", version=""))
    trainer = lightning.Trainer(
        max_steps=schedule.steps,
        val_check_interval=min(schedule.validate_every, schedule.steps),
        check_val_every_n_epoch=None,
        gradient_clip_val=schedule.clip or None,
        accelerator=accelerator,
        devices=devices,
        precision=precision,  # type: ignore[arg-type]
        strategy="ddp_find_unused_parameters_true" if str(devices) not in ("1", "auto") else "auto",
        logger=loggers,
        log_every_n_steps=min(50, schedule.steps),
        callbacks=[best, _Watch(on_step)],
        plugins=[SafetensorsStates()],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    before = _logged(folder / "metrics.csv", windows.first)  # Lightning begins a new file when it resumes
    trainer.fit(
        module,
        DataLoader(windows, batch_size=None),
        DataLoader([_tensors(batch) for batch in held_out], batch_size=None),  # type: ignore[arg-type]
        ckpt_path=None if last is None else str(last),
        weights_only=False,  # plain values and tensors, by `SafetensorsStates`
    )
    if before and trainer.is_global_zero:
        after = _logged(folder / "metrics.csv")
        with (folder / "metrics.csv").open("w", newline="") as stream:
            lines = csv.DictWriter(stream, list(dict.fromkeys(key for row in before + after for key in row)))
            lines.writeheader()
            lines.writerows(before + after)
    if best.best_model_path:
        prefix = "average." if schedule.average else "prior."
        module.kept.load_state_dict(weights_of(Path(best.best_model_path), prefix))
    module.kept.name = prior.name
    return module.kept


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


def _logged(path: Path, until: int | None = None) -> list[dict[str, str]]:
    """Return the rows of a metrics file up to a step; none when there is no file."""
    if until == 0:
        return []
    return [row for row in metric_rows(path) if until is None or int(row["step"]) < until]


def _tensors(batch: Batch) -> Tensors:
    return batch.hand_R, batch.valid, batch.shown, batch.root_R
