"""A two-hand network over a clip's tracks: where it looks, what it says, and which frames of it are accepted.

Separate from its parts, so that each network's own file only says how it is called.
"""

from collections.abc import Callable

import numpy as np

from hmpfit.hands.model import HandModels
from hmpfit.records import Bools, Camera, Floats, HandEstimates, KeypointTracks
from hmpfit.regressors.carry_points import followed_points
from hmpfit.regressors.samples import View
from hmpfit.regressors.two_hands.accept_estimates import accept_estimates
from hmpfit.regressors.two_hands.estimate_pair import Network, estimate_pair
from hmpfit.regressors.two_hands.windows import hand_rows
from hmpfit.video.clip import Clip


def estimate_tracks(
    network: Network,
    view: View,
    own: HandModels,
    clip: Clip,
    tracks: KeypointTracks,
    camera: Camera,
    hidden: Bools,
    models: HandModels,
    device: str = "cpu",
    on_frame: Callable[[int], None] | None = None,
) -> HandEstimates:
    """Estimate the longest right and the longest left track of a clip with a network whose hands are `own`.

    `models` are the run's hands, `hidden` [T] frames are not looked at, `on_frame(1)` watches.
    """
    found = estimate_pair(clip, points_to_see(tracks, hidden, clip.width), camera, network, view, device, on_frame)
    return accept_estimates(found, own, tracks, camera, models)


def points_to_see(tracks: KeypointTracks, hidden: Bools, width: int) -> Floats:
    """Return points [2, T, 21, 2] of the right and left track that are estimated, clip's pixels, NaN where unknown."""
    points = followed_points(tracks, hidden, width)
    left = ~tracks.is_right
    points[left, ..., 0] = width - points[left, ..., 0]  # `followed_points` mirrors left hands
    unknown = np.full(points.shape[1:], np.nan)
    return np.stack([unknown if row is None else points[row] for row in hand_rows(tracks)])
