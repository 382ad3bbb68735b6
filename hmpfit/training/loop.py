"""The Lightning loop that trains regressors and priors alike: trainer, resume, logs, and the best checkpoint.

Separate from both, which say what is learned from which batches; nothing here knows either.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from hmpfit.training.logs import loggers, whole_log
from hmpfit.training.states import SUFFIX, SafetensorsStates, last_state, read_state, weights_of


def keep_best(folder: Path, monitor: str, save_last: bool = False) -> ModelCheckpoint:
    """Return the callback that keeps the state with the least `monitor`."""
    best = ModelCheckpoint(
        dirpath=folder,
        filename="best",
        monitor=monitor,
        save_last=save_last or None,
        every_n_train_steps=None,
        enable_version_counter=False,
    )
    best.FILE_EXTENSION = SUFFIX
    return best


def resume_step(folder: Path) -> int:
    """Return the step at which the last state of a folder ended, 0 where there is none."""
    last = last_state(folder)
    return 0 if last is None else int(read_state(last)["global_step"])


def run_loop(
    module: lightning.LightningModule,
    batches: DataLoader[Any],
    held_out: DataLoader[Any],
    folder: Path,
    steps: int,
    validate_every: int,
    log_every: int,
    callbacks: Sequence[Any],
    **trainer: Any,
) -> None:
    """Train a module for so many steps, from the folder's last state where it has one.

    `trainer` are further arguments of `lightning.Trainer`. metrics.csv keeps the rows of before.
    """
    loop = lightning.Trainer(
        max_steps=steps,
        val_check_interval=min(validate_every, steps),
        check_val_every_n_epoch=None,
        logger=loggers(folder),
        log_every_n_steps=min(log_every, steps),
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        plugins=[SafetensorsStates()],
        **trainer,
    )
    last = last_state(folder)
    with whole_log(folder / "metrics.csv", resume_step(folder)):
        # plain values and tensors, by `SafetensorsStates`
        loop.fit(module, batches, held_out, ckpt_path=None if last is None else str(last), weights_only=False)


def best_state(best: ModelCheckpoint, prefix: str) -> dict[str, Any] | None:
    """Return the weights below `prefix` as they were at the best score; None where nothing was kept."""
    path = Path(best.best_model_path)
    return weights_of(path, prefix) if path.is_file() else None
