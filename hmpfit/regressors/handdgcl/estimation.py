"""HandDGCL as an initializer: every frame through the network; its meshes' joints become parameters by kinematics."""

from typing import Any

from torch import Tensor, nn

from hmpfit.hands.model_files import load_hand_models
from hmpfit.interfaces.network import EstimateRequest
from hmpfit.records import HandEstimates
from hmpfit.regressors.handdgcl.network import HandDgcl
from hmpfit.regressors.handdgcl.switches import HandDgclSwitches
from hmpfit.regressors.samples import View
from hmpfit.regressors.two_hands.estimate_pair import PairOutput
from hmpfit.regressors.two_hands.tracks import estimate_tracks

MARGIN = 1.25  # of the crop: both hands fill 0.8 of it, as in IntagHand


def view(switches: Any) -> View:
    """Return what the network sees: one picture of both hands."""
    assert isinstance(switches, HandDgclSwitches)
    return View(size=switches.image, frames=1, hands=2, margin=MARGIN)


def estimate(network: nn.Module, request: EstimateRequest) -> HandEstimates:
    """Estimate both tracked hands of a clip (`two_hands.tracks`)."""
    assert isinstance(network, HandDgcl)
    network = network.to(request.device).eval()

    def call(pictures: Tensor) -> PairOutput:
        joints = network.regress(network(pictures[:, -1]).vertices)
        return PairOutput(joints[:, None], None)

    own = load_hand_models(network.switches.hand)
    return estimate_tracks(call, view(network.switches), own, request)
