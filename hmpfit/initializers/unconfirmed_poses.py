"""Poses of frames in which a thing covers most of the hand and no view confirms a landmark.

The landmark network poses the thing then, often turned by 90 degrees, and where few frames around know the hand's turn
such a frame decides it. Separate from `consistency`, which compares frames with each other.
"""

from dataclasses import replace

import numpy as np

from hmpfit.initializers.gaps import fill_gaps
from hmpfit.records import DETECTED, HandMotion, KeypointTracks

MOSTLY = 0.5  # of the landmarks' mean weight: below it most are covered


def without_unconfirmed_poses(
    motion: HandMotion, tracks: KeypointTracks, least_confidence: float
) -> tuple[HandMotion, KeypointTracks]:
    """Return a first guess and evidence in which covered frames of a mean confidence below the least tell no pose.

    The first guess is interpolated there, the landmarks lose their place in 3D and keep their pixels. A hand without
    another frame keeps its poses.
    """
    if tracks.weight is None:
        return motion, tracks
    detected, covered = motion.status == DETECTED, tracks.weight.mean(-1) < MOSTLY
    unconfirmed = detected & covered & (tracks.confidence.mean(-1) < least_confidence)
    unconfirmed &= (detected & ~unconfirmed).any(1, keepdims=True)
    if not unconfirmed.any() or not detected.any(1).all():
        return motion, tracks
    filled = fill_gaps(motion, detected & ~unconfirmed, tracks.times_s)
    world_m = None if tracks.world_m is None else np.where(unconfirmed[..., None, None], np.nan, tracks.world_m)
    return filled, replace(tracks, world_m=world_m)
