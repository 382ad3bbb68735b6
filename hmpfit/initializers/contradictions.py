"""Compare a network's hands with the detector's keypoints; where they contradict, the keypoints are the start.

Separate from placing, which trusts the network. With good weights nothing here happens; weak ones cannot harm a fit
that the keypoints alone would have started well.
"""

import logging
from dataclasses import replace

import numpy as np

from hmpfit.hands.model import HandModels
from hmpfit.initializers import from_keypoints
from hmpfit.keypoints.projected import projected_tracks
from hmpfit.records import DETECTED, Bools, Camera, HandMotion, KeypointTracks

log = logging.getLogger("hmpfit")

CONTRADICTION = 0.04  # median distance of the projected landmarks from the keypoints, in diagonals of the hand's box


def contradicted(motion: HandMotion, tracks: KeypointTracks, camera: Camera, models: HandModels) -> Bools:
    """Return the frames [H, T] in which the detector saw the hand elsewhere than the motion has it, or it has none."""
    shown = projected_tracks(motion, models, camera, tracks.times_s)
    away = np.linalg.norm(shown.xy_px - tracks.xy_px, axis=-1)
    with np.errstate(invalid="ignore"):
        off = np.median(away, axis=-1) > CONTRADICTION * tracks.box_diagonal_px
    return np.asarray(tracks.seen & (off | (motion.status != DETECTED)))


def replace_contradicted(
    motion: HandMotion, tracks: KeypointTracks, camera: Camera, models: HandModels, name: str
) -> HandMotion:
    """Return the motion with contradicted frames from inverse kinematics, where the tracks have 3D landmarks.

    A hand of which more than half is contradicted takes its shape from there too. `name` is the initializer's, for the
    log, which says how many frames were set aside.
    """
    wrong = contradicted(motion, tracks, camera, models)
    if tracks.world_m is None or not wrong.any():
        return motion
    log.warning(
        "--init %s: in %d of %d frames the network contradicts the keypoints; these start from the keypoints.",
        name, int(wrong.sum()), int(tracks.seen.sum()),
    )  # fmt: skip
    solved = from_keypoints.initialize(replace(tracks, seen=wrong), camera, models)
    taken = wrong & (solved.status == DETECTED)
    mostly = taken.sum(1) > 0.5 * tracks.seen.sum(1)
    return replace(
        motion,
        global_orient=np.where(taken[..., None], solved.global_orient, motion.global_orient),
        hand_pose=np.where(taken[..., None, None], solved.hand_pose, motion.hand_pose),
        transl=np.where(taken[..., None], solved.transl, motion.transl),
        betas=np.where(mostly[:, None], solved.betas, motion.betas),
        status=np.where(taken, solved.status, motion.status).astype(np.uint8),
    )
