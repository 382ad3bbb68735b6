"""Decide which frames are called detected: those in which enough landmarks are trusted."""

import numpy as np
from numpy.typing import NDArray

from hmpfit.records import DETECTED, EXTRAPOLATED, INTERPOLATED, Bools, KeypointTracks

LEAST_TRUSTED = 5  # landmarks
MOST_COVERED = 6.0  # landmarks that something is expected to cover: then the others are where the network supposes them


def trusted_frames(tracks: KeypointTracks) -> Bools:
    """Return the frames [H, T] in which enough landmarks are known and confirmed by other views, and few covered."""
    enough = tracks.trusted.sum(-1) >= LEAST_TRUSTED
    return np.asarray(enough if tracks.covered is None else enough & (tracks.covered.sum(-1) < MOST_COVERED))


def status_of_trust(status: NDArray[np.uint8], trusted: Bools) -> NDArray[np.uint8]:
    """Return statuses [H, T] in which detected frames without trust are filled in, or beyond the ends."""
    detected = (status == DETECTED) & trusted
    before = np.maximum.accumulate(detected, axis=1)
    after = np.maximum.accumulate(detected[:, ::-1], axis=1)[:, ::-1]
    return np.where(detected, DETECTED, np.where(before & after, INTERPOLATED, EXTRAPOLATED)).astype(np.uint8)
