"""Training of every regressor: its losses, scores and optimizer, for `training.loop` (extra `train`).

Everything that computes belongs to the network's `NetworkPlan`.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model import HandModels
from hmpfit.regressors.plan import Batch, NetworkPlan, TrainingRecipe
from hmpfit.training.loop import LoopGoal, LoopOptions, run_loop
from hmpfit.training.plateau import PlateauRate
from hmpfit.training.regressors.batches import ClipMixture
from hmpfit.training.regressors.feature_set import FeatureSet


class RegressorTraining(lightning.LightningModule):
    """A network with its losses, scores and optimizer."""

    def __init__(
        self, network: nn.Module, plan: NetworkPlan, recipe: TrainingRecipe, models: HandModels, steps: int,
        steps_per_epoch: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network, self.plan, self.recipe = network, plan, recipe
        self.models, self.steps, self.steps_per_epoch = models, steps, steps_per_epoch
        self._hand: ManoHand | None = None
        self.rate = PlateauRate(recipe.plateau, steps_per_epoch, recipe.learning_rate) if recipe.plateau else None

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
        if self.rate is not None:  # the same mean in every process, so that all keep one rate
            self.rate.follow(float(self.trainer.strategy.reduce(parts["total"].detach(), reduce_op="mean")))
        return parts["total"]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep how long the loss has stood still."""
        if self.rate is not None:
            checkpoint["plateau"] = self.rate.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on counting where the training was."""
        if self.rate is not None:
            self.rate.resume(checkpoint["plateau"])

    def validation_step(self, batch: Batch, _: int) -> None:
        """Log the scores on held-out clips."""
        scores = {
            f"held_out/{n}": v.float().mean() for n, v in self.plan.scores(self.network, batch, self.hand).items()
        }
        self.log_dict(scores, batch_size=len(batch["betas"]), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Adam (AdamW with a decoupled decay), its rate lowered as the recipe says, after a linear warm-up."""
        recipe, rate = self.recipe, self.recipe.learning_rate
        inner = {id(p) for backbone in self.plan.backbones(self.network) for p in backbone.parameters()}
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.network.parameters() if id(p) not in inner], "lr": rate}
        ]
        if inner:
            slower = [p for p in self.network.parameters() if id(p) in inner]
            groups.append({"params": slower, "lr": rate * recipe.backbone_rate})
        kind = torch.optim.AdamW if recipe.weight_decay and recipe.decoupled else torch.optim.Adam
        optimizer = kind(groups, weight_decay=recipe.weight_decay)

        def factor(step: int) -> float:
            warm = min(1.0, (step + 1) / max(recipe.warm_up_steps, 1))
            if self.rate is not None:
                return warm * self.rate.share
            if recipe.decay_epochs:
                passed = sum(step >= epoch * self.steps_per_epoch for epoch in recipe.decay_epochs)
                return warm * recipe.decay**passed
            return warm * (0.02 + 0.49 * (1 + math.cos(math.pi * min(step / self.steps, 1.0))))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def train_regressor(
    plan: NetworkPlan,
    switches: Any,
    network: nn.Module,
    clips: ClipMixture | FeatureSet,
    held_out: ClipMixture | FeatureSet,
    models: HandModels,
    folder: Path,
    recipe: TrainingRecipe,
    options: LoopOptions | None = None,
    seed: int = 0,
    on_step: Callable[[int], None] | None = None,
    steps: int | None = None,
) -> nn.Module:
    """Train a network and return it (or the running mean of its weights) as it was at its best held-out score.

    What lies in `folder`, and how a training resumes: `training.loop.run_loop`. `steps` overrides the recipe's epochs;
    `on_step(steps done)` reports progress.
    """
    options = options or LoopOptions()
    view = plan.view(switches)
    processes = options.devices if isinstance(options.devices, int) else 1
    per_epoch = max(1, len(clips) // (recipe.batch * max(processes, 1)))
    total = steps or recipe.epochs * per_epoch
    module = RegressorTraining(network, plan, recipe, models, total, per_epoch)
    batches = clips.training(view, recipe.augmentation, recipe.batch, total, seed)
    goal = LoopGoal(total, f"held_out/{plan.best}", per_epoch, recipe.clip, recipe.average)
    run_loop(module, batches, held_out.held_out(view, recipe.batch), folder, goal, options, on_step)
    return network.cpu().eval()
