"""Estimate the two tracked hands of a clip with a two-hand network: windows in, accepted estimates out.

Separate from its parts, so that each network's own file only says how it is called.
"""

import numpy as np

from hmpfit.hands.model import HandModels
from hmpfit.interfaces.network import EstimateRequest
from hmpfit.records import Bools, Floats, HandEstimates, KeypointTracks
from hmpfit.regressors.carry_points import followed_points
from hmpfit.regressors.samples import View
from hmpfit.regressors.two_hands.accept_estimates import accept_estimates
from hmpfit.regressors.two_hands.estimate_pair import CallNetwork, estimate_pair
from hmpfit.regressors.two_hands.windows import hand_rows


def estimate_tracks(network: CallNetwork, view: View, own: HandModels, request: EstimateRequest) -> HandEstimates:
    """Estimate the longest right and the longest left track of a clip with a network whose hands are `own`."""
    points = points_to_see(request.tracks, request.hidden, request.clip.width)
    found = estimate_pair(request, points, network, view)
    return accept_estimates(found, own, request.tracks, request.camera, request.models)


def points_to_see(tracks: KeypointTracks, hidden: Bools, width: int) -> Floats:
    """Return points [2, T, 21, 2] of the right and left track that are estimated, clip's pixels, NaN where unknown."""
    points = followed_points(tracks, hidden, width)
    left = ~tracks.is_right
    points[left, ..., 0] = width - points[left, ..., 0]  # `followed_points` mirrors left hands
    unknown = np.full(points.shape[1:], np.nan)
    return np.stack([unknown if row is None else points[row] for row in hand_rows(tracks)])
