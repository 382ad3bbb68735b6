"""The plan of a network, for the training loop and the commands: its sizes, view, losses and recipe.

Separate from the networks, which know nothing of training, and from the loop, which knows no network. The table of
networks is the registry's family "networks"; a new one is a `NetworkPlan` and a line there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from torch import Tensor, nn

from hmpfit.errors import InputError, UnknownNameError
from hmpfit.hands.mano import ManoHand
from hmpfit.interfaces.network import EstimateHands
from hmpfit.regressors.backbone.resnet import ResNet50
from hmpfit.regressors.samples import Augmentation, View

Batch = dict[str, Tensor]  # of `samples.Sample`, stacked
Step = Callable[[nn.Module, Batch, ManoHand], dict[str, Tensor]]


RENAMED_SWITCHES = {"orient_six": "orient_rot6d"}  # in files of the version before


@dataclass(frozen=True)
class Plateau:
    """`factor` each time the epoch's mean loss has come down by less than `least_gain` for `epochs` epochs in a row.

    The gain is against the lowest mean so far, absolute; the rate never falls below `least_rate`.
    """

    epochs: int = 4
    least_gain: float = 1e-4
    factor: float = 0.5
    least_rate: float = 1e-6


@dataclass(frozen=True)
class TrainingRecipe:
    """How long and how fast a network learns.

    `decay_epochs` multiply the rate by `decay`, `plateau` where the loss stands still; neither: a cosine to 2 %.
    """

    epochs: int = 40
    batch: int = 64
    learning_rate: float = 1e-4
    decay_epochs: tuple[int, ...] = (20,)
    decay: float = 0.1
    plateau: Plateau | None = None
    warm_up_steps: int = 0
    weight_decay: float = 0.0
    decoupled: bool = True  # the decay acts on weights by themselves (AdamW); else it joins the gradient (plain Adam)
    average: float = 0.0  # decay of a running mean of the weights, which is then what is kept; 0: none
    clip: float = 0.0  # largest norm of a gradient; 0: any
    backbone_rate: float = 1.0  # of a pretrained backbone, relative to the rest
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class NetworkPlan:
    """One network as the loop sees it. `switches` are frozen dataclasses of plain values."""

    name: str
    sizes: Mapping[str, Any]  # size -> switches
    recipes: Mapping[str, TrainingRecipe]  # size -> recipe
    build: Callable[[Any], nn.Module]  # switches -> network with random weights
    view: Callable[[Any], View]
    losses: Step  # -> "total" and its parts, scalars
    scores: Step  # -> errors of a batch in evaluation mode, scalars or [B]; mm where they end in _mm
    best: str  # the score whose minimum is kept
    estimate: EstimateHands | None = None  # over a clip, for `--init NAME`
    backbones: Callable[[nn.Module], Sequence[ResNet50]] = lambda network: [
        module for module in network.modules() if isinstance(module, ResNet50)
    ]
    for_inference: Callable[[Any], Any] = lambda switches: (
        switches
    )  # switches of what is shipped, without parts for training
    second_stage_switches: tuple[
        str, ...
    ] = ()  # switches that training may change between two stages: no weight depends on them

    def shipped(self, network: nn.Module, switches: Any) -> tuple[nn.Module, Any]:
        """Return a trained network without the parts for training only, and its switches."""
        for_inference = self.for_inference(switches)
        if for_inference == switches:
            return network, switches
        bare, state = self.build(for_inference), network.state_dict()
        bare.load_state_dict({key: state[key] for key in bare.state_dict()})
        return bare.eval(), for_inference

    def switches(self, size: str, said: Mapping[str, str] | None = None) -> Any:
        """Return the switches of a size, with some of them given as text ("off", "2", "true").

        Raises UnknownNameError for a size or switch that does not exist and InputError for a value of another type.
        """
        if size not in self.sizes:
            raise UnknownNameError(f"size of {self.name}", size, self.sizes)
        switches = self.sizes[size]
        known = {one.name: getattr(switches, one.name) for one in fields(switches)}
        changes: dict[str, Any] = {}
        for given, text in (said or {}).items():
            key = RENAMED_SWITCHES.get(given, given)
            if key not in known:
                raise UnknownNameError(f"switch of {self.name}", key, known)
            changes[key] = _value(key, text, known[key])
        return replace(switches, **changes)

    def from_table(self, table: Mapping[str, Any]) -> Any:
        """Return switches from what `asdict` made of them; unknown keys raise UnknownNameError."""
        table = {RENAMED_SWITCHES.get(key, key): value for key, value in table.items()}
        kind = type(next(iter(self.sizes.values())))
        known = [one.name for one in fields(kind)]
        for key in table:
            if key not in known:
                raise UnknownNameError(f"switch of {self.name}", key, known)
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})


def differing(a: Any, b: Any) -> list[str]:
    """Return "key = x instead of y" for every switch in which `a` differs from the expected `b`."""
    found, wanted = asdict(a), asdict(b)
    return [f"{key} = {found[key]} instead of {wanted[key]}" for key in wanted if found[key] != wanted[key]]


def _value(key: str, text: str, example: Any) -> Any:
    kind = type(example)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind is tuple:
            return tuple(type(example[0])(part) for part in text.split(","))
        return kind(text)
    except (KeyError, ValueError) as error:
        raise InputError(f"'{key}={text}' is not a {kind.__name__}, such as {example}.") from error
