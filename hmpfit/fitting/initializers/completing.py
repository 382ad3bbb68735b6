"""Frames that a detector saw and a learned initialiser did not get right: inverse kinematics starts them instead.

Separate from both initialisers, which know nothing of each other. Without it a weak network's few good frames would be
stretched over all the others.
"""

from dataclasses import replace

import numpy as np

from hmpfit.fitting.initializers import from_keypoints
from hmpfit.hands.model import HandModels
from hmpfit.records import DETECTED, Camera, HandMotion, KeypointTracks


def with_keypoints(motion: HandMotion, tracks: KeypointTracks, camera: Camera, models: HandModels) -> HandMotion:
    """Start the seen frames of `tracks` that `motion` has not estimated from the tracks' own 3D landmarks.

    Both have the same hands in the same order. The shape stays that of the motion where it has any frame. Tracks
    without 3D landmarks leave the motion as it is.
    """
    missing = tracks.seen & (motion.status != DETECTED)
    if tracks.world_m is None or not missing.any():
        return motion
    guess = from_keypoints.initialize(replace(tracks, seen=missing), camera, models)
    some = (motion.status == DETECTED).any(1)
    return replace(
        motion,
        global_orient=np.where(missing[..., None], guess.global_orient, motion.global_orient),
        hand_pose=np.where(missing[..., None, None], guess.hand_pose, motion.hand_pose),
        transl=np.where(missing[..., None], guess.transl, motion.transl),
        betas=np.where(some[:, None], motion.betas, guess.betas),
        status=np.where(missing, DETECTED, motion.status).astype(np.uint8),
    )
