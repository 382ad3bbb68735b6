"""IFVONet's entry in the table of networks: sizes, recipes, view, losses."""

from typing import Any

from hmpfit.regressors.ifvonet.estimation import estimate
from hmpfit.regressors.ifvonet.losses import losses, scores
from hmpfit.regressors.ifvonet.network import IFVONet
from hmpfit.regressors.ifvonet.switches import SIZES, IfvonetSwitches
from hmpfit.regressors.plan import NetworkPlan, TrainingRecipe
from hmpfit.regressors.samples import Augmentation, View


def view(switches: Any) -> View:
    """Return what the network sees: one hand in two or three frames."""
    assert isinstance(switches, IfvonetSwitches)
    frozen = switches.backbone == "mediapipe"
    return View(size=switches.image, frames=switches.frames, hands=1, upright=switches.upright, region=frozen)


PLAN = NetworkPlan(
    name="ifvonet",
    sizes=SIZES,
    recipes={
        "paper": TrainingRecipe(),
        "small": TrainingRecipe(
            epochs=12, batch=64, learning_rate=2e-3, decay_epochs=(), warm_up_steps=50, weight_decay=1e-3,
            average=0.99, clip=100.0,
        ),
        "tiny": TrainingRecipe(
            epochs=20, batch=32, learning_rate=2e-3, decay_epochs=(), warm_up_steps=100, weight_decay=1e-4,
            average=0.995, clip=200.0, augmentation=Augmentation(0.12, 20.0, 0.8, 0.25, shift=0.05),
        ),
    },
    build=IFVONet,
    view=view,
    losses=losses,
    scores=scores,
    best="pa_mpjpe_mm",
    estimate=estimate,
    second_stage_switches=("loss_weights",),
)  # fmt: skip
