"""A learned initializer ready for use: a network with its weights, and how it estimates the hands of a clip.

Separate from the networks: this is the callable that the pipeline hands on, whichever network is behind it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from hmpfit.errors import InputError
from hmpfit.files.opening import read_bytes
from hmpfit.files.weights import WEIGHTS_MOST
from hmpfit.interfaces.network import EstimateRequest
from hmpfit.keypoints.box_files import HandBoxes
from hmpfit.keypoints.box_search import Located, locate
from hmpfit.records import Bools, HandEstimates
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
        return cls(name, network, hashlib.sha256(read_bytes(path, WEIGHTS_MOST)).hexdigest()[:16])

    def estimate(self, request: EstimateRequest) -> HandEstimates:
        """Estimate the tracked hands of a clip.

        Raises InputError when the network estimates no single hands, or cannot use `points_px`.
        """
        run = load_plan(self.name).estimate
        if run is None:
            raise InputError(f"{self.name} cannot be an initializer: it says nothing of single hands.")
        if request.points_px is not None:
            self.check_boxes()
        return run(self.network, request)

    def check_boxes(self) -> None:
        """Raise InputError unless the network can start from boxes."""
        if not getattr(self.network, "frozen", False):
            raise InputError(
                "--boxes needs --init ifvonet with a network on the landmark network's features (such as the shipped "
                f"one); these weights of {self.name} look at tracked hands only."
            )

    def locate(
        self, clip: Clip, boxes: HandBoxes, hidden: Bools, on_frame: Callable[[int], None] | None = None
    ) -> Located:
        """Return rough joints in boxes of hands, and their sides."""
        from hmpfit.regressors.ifvonet.locate import NetworkLocator
        from hmpfit.regressors.ifvonet.network import IFVONet

        self.check_boxes()
        assert isinstance(self.network, IFVONet)
        return locate(NetworkLocator(self.network), clip, boxes, hidden, on_frame)
