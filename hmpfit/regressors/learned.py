"""A learned initializer ready for use: a network with its weights, and the way it looks at a clip.

Separate from the networks: this is the callable that the pipeline hands on, whichever network is behind it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from hmpfit.errors import InputError
from hmpfit.hands.model import HandModels
from hmpfit.records import Bools, Camera, HandEstimates, KeypointTracks
from hmpfit.regressors.checkpoints import find, load_network, load_plan
from hmpfit.video.clip import Clip


@dataclass(frozen=True)
class Learned:
    """A network by name, with the fingerprint of its weights."""

    name: str
    network: nn.Module
    fingerprint: str

    @classmethod
    def load(cls, name: str, checkpoint: str | None = None) -> "Learned":
        """Load the weights that `checkpoint` means (`checkpoints.find`). Raises InputError as the loader does."""
        path = find(name, checkpoint)
        network, _ = load_network(path, name)
        return cls(name, network, hashlib.sha256(path.read_bytes()).hexdigest()[:16])

    def estimate(
        self,
        clip: Clip,
        tracks: KeypointTracks,
        camera: Camera,
        hidden: Bools,
        models: HandModels,
        device: str = "cpu",
        on_frame: Callable[[int], None] | None = None,
    ) -> HandEstimates:
        """Look at the tracked hands of a clip; `hidden` [T] frames are not looked at.

        `models` are the hands whose parameters are wanted; `on_frame(1)` watches.
        """
        run = load_plan(self.name).estimate
        if run is None:
            raise InputError(f"{self.name} cannot be an initializer: it says nothing of single hands.")
        return run(self.network, clip, tracks, camera, hidden, models, device, on_frame)
