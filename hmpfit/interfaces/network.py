"""The family `networks`: a learned regressor with its weights on disk; each is an initializer of its name as well."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from hmpfit.hands.model import HandModels
from hmpfit.progress import Advance
from hmpfit.records import Bools, Camera, Floats, HandEstimates, KeypointTracks
from hmpfit.video.clip import Clip


@dataclass(frozen=True)
class EstimateRequest:
    """The tracked hands of a clip that a network is to estimate, and how.

    `models` are the hands whose parameters are wanted; frames that are `hidden` [T] are not read. `points_px`
    [H, T, 21, 2] give the place of crops where finite, whether the tracks see a hand there or not. `on_frame(n)`
    is called with the number of frames that were just read.
    """

    clip: Clip
    tracks: KeypointTracks
    camera: Camera
    hidden: Bools
    models: HandModels
    device: str = "cpu"
    on_frame: Advance | None = None
    points_px: Floats | None = None


class EstimateHands(Protocol):
    """What a network does for `--init NAME`."""

    def __call__(self, network: nn.Module, request: EstimateRequest) -> HandEstimates:
        """Estimate the hands that are asked for, row for row of the tracks."""


class Network(Protocol):
    """A network as loading and training see it; `regressors.plan.NetworkPlan` is one."""

    @property
    def name(self) -> str:
        """The name, which its weights carry too."""

    @property
    def sizes(self) -> Mapping[str, Any]:
        """Switches by size: frozen dataclasses of plain values."""

    def build(self, switches: Any) -> nn.Module:
        """Return the network with random weights."""
