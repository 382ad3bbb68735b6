"""The loop that trains every regressor, on Lightning: schedule, resume, logs, best checkpoint (extra `train`).

Everything that computes belongs to the network's `NetworkPlan`; this file is the only one here that imports lightning.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model import HandModels
from hmpfit.regressors.plan import Batch, NetworkPlan, TrainingRecipe
from hmpfit.training.logs import loggers, whole_log
from hmpfit.training.regressors.batches import ClipMixture
from hmpfit.training.regressors.feature_set import FeatureSet
from hmpfit.training.states import LAST, SUFFIX, SafetensorsStates, last_state, read_state, weights_of


@dataclass(frozen=True)
class Machine:
    """How a training is carried out; nothing here changes what is learned but rounding."""

    accelerator: str = "auto"
    devices: int | str = 1
    precision: str = "32-true"  # Lightning's, such as "16-mixed" or "bf16-mixed"
    workers: int = 0
    save_every: int = 200  # steps
    validate_every: int = 0  # steps; 0: once an epoch
    threads: int = 0  # of torch; 0: as it is


class Learning(lightning.LightningModule):
    """A network with its optimizer and, where the recipe asks for it, the running mean of its weights."""

    def __init__(
        self, network: nn.Module, average: nn.Module | None, plan: NetworkPlan, recipe: TrainingRecipe,
        models: HandModels, steps: int, steps_per_epoch: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network, self.average, self.plan, self.recipe = network, average, plan, recipe
        self.models, self.steps, self.steps_per_epoch = models, steps, steps_per_epoch
        if average is not None:
            average.load_state_dict(network.state_dict())
            average.requires_grad_(False).eval()
        self._hand: ManoHand | None = None

    @property
    def kept(self) -> nn.Module:
        """The network that is validated and kept."""
        return self.network if self.average is None else self.average

    @property
    def hand(self) -> ManoHand:
        """The hand model on this module's device."""
        if self._hand is None or self._hand.v_template.device != self.device:
            self._hand = ManoHand(self.models.right, torch.float32, self.device)
        return self._hand

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of one batch and log its parts."""
        parts = self.plan.losses(self.network, batch, self.hand)
        logged = {f"train/{name}": value.detach() for name, value in parts.items()}
        self.log_dict(logged, batch_size=len(batch["betas"]))
        return parts["total"]

    def on_before_zero_grad(self, _: Any) -> None:
        """Move the running mean towards the weights."""
        if self.average is None:
            return
        decay = min(self.recipe.average, (self.global_step + 1) / (self.global_step + 10))
        with torch.no_grad():
            for mean, now in zip(self.average.state_dict().values(), self.network.state_dict().values()):
                if mean.dtype.is_floating_point:
                    mean.lerp_(now, 1 - decay)
                else:
                    mean.copy_(now)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Log the scores on held-out clips."""
        self.kept.eval()
        scores = {f"held_out/{n}": v.float().mean() for n, v in self.plan.scores(self.kept, batch, self.hand).items()}
        self.log_dict(scores, batch_size=len(batch["betas"]), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Adam (AdamW with a decoupled decay), stepped down at epochs or along a cosine, after a linear warm-up."""
        recipe, rate = self.recipe, self.recipe.learning_rate
        inner = {id(p) for backbone in self.plan.backbones(self.network) for p in backbone.parameters()}
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.network.parameters() if id(p) not in inner], "lr": rate}
        ]
        if inner:
            eyes = [p for p in self.network.parameters() if id(p) in inner]
            groups.append({"params": eyes, "lr": rate * recipe.backbone_rate})
        kind = torch.optim.AdamW if recipe.weight_decay and recipe.decoupled else torch.optim.Adam
        optimizer = kind(groups, weight_decay=recipe.weight_decay)

        def factor(step: int) -> float:
            warm = min(1.0, (step + 1) / max(recipe.warm_up_steps, 1))
            if recipe.decay_epochs:
                passed = sum(step >= epoch * self.steps_per_epoch for epoch in recipe.decay_epochs)
                return warm * recipe.decay**passed
            return warm * (0.02 + 0.49 * (1 + math.cos(math.pi * min(step / self.steps, 1.0))))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class _Watch(Checkpoint):
    """Saves the state now and then, whole or not at all, and tells how far the training is.

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
            os.replace(partial, self.last)


def train(
    plan: NetworkPlan,
    switches: Any,
    network: nn.Module,
    clips: ClipMixture | FeatureSet,
    held_out: ClipMixture | FeatureSet,
    models: HandModels,
    folder: Path,
    recipe: TrainingRecipe,
    machine: Machine | None = None,
    seed: int = 0,
    on_step: Callable[[int], None] | None = None,
    steps: int | None = None,
) -> nn.Module:
    """Train a network and return it (or the running mean of it) as it was at its best held-out score.

    Logs (metrics.csv, and TensorBoard's where it is installed) and checkpoints go to `folder`; when it holds a last
    state the training resumes there, with the batches that it had not seen. `steps` overrides the recipe's epochs;
    `on_step(steps done)` watches.
    """
    machine = machine or Machine()
    if machine.threads:
        torch.set_num_threads(machine.threads)
    view = plan.view(switches)
    world = machine.devices if isinstance(machine.devices, int) else 1
    per_epoch = max(1, len(clips) // (recipe.batch * max(world, 1)))
    total = steps or recipe.epochs * per_epoch
    module = Learning(network, plan.build(switches) if recipe.average else None, plan, recipe, models, total, per_epoch)
    batches = clips.training(view, recipe.augmentation, recipe.batch, total, seed)
    last = last_state(folder)
    if last is not None:
        batches.first = int(read_state(last)["global_step"])
    best = ModelCheckpoint(
        dirpath=folder, filename="best", monitor=f"held_out/{plan.best}", enable_version_counter=False
    )  # fmt: skip
    best.FILE_EXTENSION = SUFFIX
    validate_every = min(machine.validate_every or per_epoch, total)
    trainer = lightning.Trainer(
        max_steps=total,
        val_check_interval=validate_every,
        check_val_every_n_epoch=None,
        gradient_clip_val=recipe.clip or None,
        accelerator=machine.accelerator,
        devices=machine.devices,
        precision=machine.precision,  # type: ignore[arg-type]
        sync_batchnorm=world > 1,
        logger=loggers(folder),
        log_every_n_steps=min(20, total),
        callbacks=[best, _Watch(folder / LAST, machine.save_every, validate_every, on_step)],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        plugins=[SafetensorsStates()],
    )
    with whole_log(folder / "metrics.csv", batches.first):
        trainer.fit(
            module,
            DataLoader(batches, batch_size=None, num_workers=machine.workers),
            DataLoader(held_out.held_out(view, recipe.batch), batch_size=None),
            ckpt_path=None if last is None else str(last),
            weights_only=False,  # plain values and tensors, by `SafetensorsStates`
        )
    if Path(best.best_model_path).is_file():
        prefix = "network." if module.average is None else "average."
        module.kept.load_state_dict(weights_of(Path(best.best_model_path), prefix))
    return module.kept.cpu().eval()
