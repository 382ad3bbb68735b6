"""The family `networks`: a learned regressor with its weights on disk; each is an initializer of its name as well."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import nn

from hmpfit.hands.model import HandModels
from hmpfit.progress import Advance
from hmpfit.records import Bools, Camera, HandEstimates, KeypointTracks
from hmpfit.video.clip import Clip


class EstimateHands(Protocol):
    """What a network does for `--init NAME`."""

    def __call__(
        self, network: nn.Module, clip: Clip, tracks: KeypointTracks, camera: Camera, hidden: Bools,
        models: HandModels, device: str, on_frame: Advance | None,
    ) -> HandEstimates:  # fmt: skip
        """Estimate the tracked hands of a clip, in parameters of `models`; `hidden` [T] frames are not looked at."""


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
