"""The training loop of regressors and priors, on Lightning: resume, logs, mean of weights, best state (extra `train`).

What is learned is said by the `LightningModule` that is trained; nothing here knows a network or a loss.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint, WeightAveraging
from torch import Tensor
from torch.utils.data import DataLoader

from hmpfit.errors import InputError
from hmpfit.files.replacing import replace_file
from hmpfit.training.logs import loggers, whole_log
from hmpfit.training.states import LAST, SUFFIX, SafetensorsStates, last_state, read_state


@dataclass(frozen=True)
class LoopOptions:
    """How a training is carried out; nothing here changes what is learned but rounding."""

    accelerator: str = "auto"
    devices: int | str = 1
    precision: str = "32-true"  # Lightning's, such as "16-mixed" or "bf16-mixed"
    workers: int = 0  # processes that make batches
    save_every: int = 200  # steps
    validate_every: int = 0  # steps; 0: by the training's own schedule
    threads: int = 0  # of torch; 0: as it is


@dataclass(frozen=True)
class LoopGoal:
    """When a training ends and what is kept of it."""

    steps: int
    monitor: str  # the logged score whose least value is kept
    validate_every: int
    clip: float = 0.0  # largest norm of a gradient; 0: any
    average: float = 0.0  # decay of the running mean of weights, which is what is kept; 0: the weights themselves


class NumberedBatches(Protocol):
    """Batches `first`, `first + 1`, ...: each is a function of its number, so that a resumed training repeats none."""

    first: int


class _RunningMean(WeightAveraging):
    """Mean of the weights whose decay grows from 0, so that the first steps do not linger."""

    def __init__(self, decay: float) -> None:
        def mean(kept: Tensor, now: Tensor, count: Tensor | int) -> Tensor:
            share = 1 - min(decay, (int(count) + 1) / (int(count) + 10))
            return torch.lerp(kept, now, share) if kept.is_floating_point() else now

        super().__init__(avg_fn=mean)


class _LastState(Checkpoint):
    """Saves the state now and then, whole or not at all, and reports the training's progress.

    A state that is saved where a validation is due is saved after it: else the best score would be forgotten. Being a
    `Checkpoint`, it runs after the one that keeps the best.
    """

    def __init__(self, last: Path, every: int, validate_every: int, on_step: Callable[[int], None] | None) -> None:
        self.last, self.every, self.validate_every, self.on_step = last, every, validate_every, on_step

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if self.on_step is not None and trainer.is_global_zero:
            self.on_step(trainer.global_step)
        if trainer.global_step % self.every == 0 and trainer.global_step % self.validate_every:
            self._save(trainer)

    def on_validation_end(self, trainer: Any, *_: Any) -> None:
        self._save(trainer)

    def _save(self, trainer: Any) -> None:
        partial = self.last.with_suffix(".part")
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            replace_file(partial, self.last)


def run_loop(
    module: lightning.LightningModule,
    batches: NumberedBatches,
    held_out: Any,
    folder: Path,
    goal: LoopGoal,
    options: LoopOptions,
    on_step: Callable[[int], None] | None = None,
) -> None:
    """Train a module; it ends with the weights (or their running mean) that had the best held-out score.

    Logs (metrics.csv, and TensorBoard's where it is installed) and states go to `folder`; when it holds a last state
    the training resumes there, with the batches that it had not seen. `held_out` is a dataset of batches;
    `on_step(steps done)` reports progress. Raises InputError when the state in the folder is that of another network.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    last = last_state(folder)
    if last is not None:
        batches.first = _checked_step(last, module)
    best = ModelCheckpoint(dirpath=folder, filename="best", monitor=goal.monitor, enable_version_counter=False)
    best.FILE_EXTENSION = SUFFIX
    trainer = _trainer(folder, goal, options, best, on_step)
    with whole_log(folder / "metrics.csv", batches.first):
        trainer.fit(
            module,
            DataLoader(cast(Any, batches), batch_size=None, num_workers=options.workers),
            DataLoader(held_out, batch_size=None),
            ckpt_path=None if last is None else str(last),
            weights_only=False,  # plain values and tensors, by `SafetensorsStates`
        )
    if Path(best.best_model_path).is_file():
        module.load_state_dict(read_state(Path(best.best_model_path))["state_dict"])


def _trainer(
    folder: Path, goal: LoopGoal, options: LoopOptions, best: ModelCheckpoint, on_step: Callable[[int], None] | None
) -> lightning.Trainer:
    validate_every = min(options.validate_every or goal.validate_every, goal.steps)
    averaging = [_RunningMean(goal.average)] if goal.average else []
    several = str(options.devices) not in ("1", "auto")
    return lightning.Trainer(
        max_steps=goal.steps,
        val_check_interval=validate_every,
        check_val_every_n_epoch=None,
        gradient_clip_val=goal.clip or None,
        accelerator=options.accelerator,
        devices=options.devices,
        precision=cast(Any, options.precision),
        strategy="ddp_find_unused_parameters_true" if several else "auto",
        sync_batchnorm=several,
        logger=loggers(folder),
        log_every_n_steps=min(20, goal.steps),
        callbacks=[*averaging, best, _LastState(folder / LAST, options.save_every, validate_every, on_step)],
        plugins=[SafetensorsStates()],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def process_number() -> int:
    """Return which of a training's processes this is; 0 is the one that writes files."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def _checked_step(last: Path, module: lightning.LightningModule) -> int:
    """Return the steps that a state has behind it; InputError when its weights are not those of the module."""
    stored = read_state(last)
    there, here = stored["state_dict"], module.state_dict()
    if {key: value.shape for key, value in there.items()} != {key: value.shape for key, value in here.items()}:
        raise InputError(
            f"'{last}' is the state of another network, of another size or of an earlier version; choose another -o, "
            "or the size it has."
        )
    return int(stored["global_step"])
