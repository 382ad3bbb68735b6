"""STC as an initializer: windows of a clip through the network, parameters of both hands out."""

from typing import Any

import torch
from torch import Tensor, nn

from hmpfit.hands.model_files import load_hand_models
from hmpfit.interfaces.network import EstimateRequest
from hmpfit.records import HandEstimates
from hmpfit.regressors.samples import View
from hmpfit.regressors.stc.network import Stc
from hmpfit.regressors.stc.switches import StcSwitches
from hmpfit.regressors.two_hands.estimate_pair import PairOutput, PairParameters
from hmpfit.regressors.two_hands.hand_pair import HandPair
from hmpfit.regressors.two_hands.tracks import estimate_tracks

MARGIN = 1.25  # of the crop around both hands


def view(switches: Any) -> View:
    """Return what the network sees: a window of frames of both hands."""
    assert isinstance(switches, StcSwitches)
    return View(size=switches.image, frames=switches.window, hands=2, margin=MARGIN)


def estimate(network: nn.Module, request: EstimateRequest) -> HandEstimates:
    """Estimate both tracked hands of a clip (`two_hands.tracks`)."""
    assert isinstance(network, Stc)
    network = network.to(request.device).eval()
    own = load_hand_models(network.switches.hand)
    pair = HandPair.of(own, next(network.parameters()))
    means = [torch.as_tensor(model.hands_mean, dtype=torch.float32).reshape(15, 3) for model in (own.right, own.left)]
    mean = torch.stack(means).to(request.device)

    def call(pictures: Tensor) -> PairOutput:
        found = network(pictures)
        parameters = PairParameters(found.orient_R, found.fingers + mean, found.betas)
        posed = pair.pose(parameters.orient_R, parameters.hand_pose, parameters.betas, vertices=False)
        return PairOutput(posed.joints, parameters)

    return estimate_tracks(call, view(network.switches), own, request)
