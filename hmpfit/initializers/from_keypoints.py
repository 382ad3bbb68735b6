"""The initializer `keypoints`: inverse kinematics from 2D landmarks and hand-centered 3D landmarks, frame by frame.

Shape first (bone lengths do not depend on pose), then all frames in one batch. No smoothing: that is the fit's work.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hmpfit.errors import InputError
from hmpfit.geometry import rotations
from hmpfit.geometry.cameras import rays
from hmpfit.hands import as_right_hands as mirroring
from hmpfit.hands.bone_lengths import length_ratio
from hmpfit.hands.inverse_kinematics import Targets, solve_pose
from hmpfit.hands.kinematics import Kinematics
from hmpfit.hands.model import HandModels
from hmpfit.initializers.consistency import drop_inconsistent
from hmpfit.initializers.gaps import fill_gaps
from hmpfit.interfaces.context import RunContext
from hmpfit.interfaces.initializer import Initializer, InitialMotion
from hmpfit.records import DETECTED, Bools, Camera, Floats, HandMotion, KeypointTracks

LEAST_LANDMARKS = 11  # of 21: a hand of which fewer are known is not posed
LEAST_WEIGHT = 0.1  # of a landmark that was seen, however little its views agree
PIXEL_STD_PER_DIAGONAL = 0.015
LEAST_COSINE = 0.17  # of a ray's angle from the optical axis


def initialize(tracks: KeypointTracks, camera: Camera, models: HandModels) -> HandMotion:
    """Solve every seen frame of every hand; others, and those of which too little is known, hold zeros and status 0.

    The result is in the camera's metric frame; its scale is the hand model's, so depth is as good as the focal length.
    Raises InputError when the tracks hold no 3D landmarks.
    """
    if tracks.world_m is None:
        raise InputError("--init keypoints needs 3D landmarks, which these keypoints lack; choose --init file:PATH.")
    right = mirroring.tracks_as_right(tracks, camera.width)
    hands, frames = tracks.seen.shape
    orient, transl = np.zeros((hands, frames, 3)), np.zeros((hands, frames, 3))
    pose, betas, solved = np.zeros((hands, frames, 15, 3)), np.zeros((hands, 10)), np.zeros((hands, frames), bool)
    for hand, one in enumerate(hands_to_pose(tracks, camera, models)):
        solved[hand] = one.seen
        if not one.seen.any():
            continue
        found = solve_pose(one.kinematics, one.betas, one.targets)
        orient[hand, one.seen] = rotations.log(found.global_R).numpy()
        transl[hand, one.seen] = found.transl.numpy()
        pose[hand, one.seen] = rotations.log(rotations.exp(found.pose)).numpy()
        betas[hand] = one.betas.numpy()
    motion = HandMotion(
        global_orient=orient,
        hand_pose=pose,
        transl=transl,
        betas=betas,
        is_right=right.is_right,
        status=np.where(solved, DETECTED, 0).astype(np.uint8),
        hand_id=tracks.hand_id,
        person_id=tracks.person_id,
    )
    return mirroring.motion_as_sides(motion, tracks.is_right)


@dataclass(frozen=True)
class HandToPose:
    """What the inverse kinematics of one hand, as a right hand, starts from: frames [T] that are known well enough."""

    seen: Bools
    kinematics: Kinematics
    betas: Tensor  # [10] the mean hand's: a detector gives neither size nor proportions
    targets: Targets  # of the seen frames


def hands_to_pose(tracks: KeypointTracks, camera: Camera, models: HandModels) -> Iterator[HandToPose]:
    """Yield each hand of tracks with 3D landmarks, which are scaled to the mean hand's bones."""
    assert tracks.world_m is not None
    right = mirroring.tracks_as_right(tracks, camera.width)
    assert right.world_m is not None
    K = mirroring.intrinsics_as_right(camera, tracks.is_right)
    lenses = mirroring.distortion_as_right(camera, tracks.is_right)
    for hand, is_right in enumerate(tracks.is_right):
        known = np.isfinite(right.world_m[hand]).all(-1) & np.isfinite(right.xy_px[hand]).all(-1)
        seen = tracks.seen[hand] & (known.sum(-1) >= LEAST_LANDMARKS)
        kin, betas = Kinematics.of(models.side(bool(is_right))), torch.zeros(10, dtype=torch.float64)
        world = torch.as_tensor(np.nan_to_num(right.world_m[hand, seen]), dtype=torch.float64)
        trusted = np.where(known[seen], np.maximum(tracks.confidence[hand, seen], LEAST_WEIGHT), 0.0)
        weights = torch.as_tensor(trusted, dtype=torch.float64)
        intrinsics = np.broadcast_to(K[hand], (len(seen), 3, 3))[seen]
        lens = None if lenses is None else lenses[hand]
        xy, focal = normalized_pixels(np.nan_to_num(right.xy_px[hand, seen]), intrinsics, lens)
        diagonal = torch.as_tensor(right.box_diagonal_px[hand, seen], dtype=torch.float64)
        targets = Targets(
            points_m=world * length_ratio(kin, betas, world, weights) if seen.any() else world,
            weights=weights,
            xy=xy,
            xy_weights=weights,
            xy_std=PIXEL_STD_PER_DIAGONAL * diagonal.clamp_min(1.0) / focal,
        )
        yield HandToPose(seen, kin, betas, targets)


def normalized_pixels(xy_px: Floats, K: Floats, distortion: Floats | None) -> tuple[Tensor, Tensor]:
    """Return undistorted x / z and y / z [N, 21, 2] of pixels [N, 21, 2] under K [N, 3, 3], and focal lengths [N].

    A fisheye's rays beyond 80 degrees are bent to there: x / z has no bound.
    """
    ray = rays(xy_px, K[:, None], distortion)
    focal = 0.5 * (K[:, 0, 0] + K[:, 1, 1])
    xy = torch.as_tensor(ray[..., :2] / np.maximum(ray[..., 2:], LEAST_COSINE), dtype=torch.float64)
    return xy, torch.as_tensor(np.array(focal), dtype=torch.float64)


def consistent_motion(context: RunContext, tracks: KeypointTracks) -> HandMotion:
    """Return the motion of `initialize` without frames that one hand cannot have (a recipe's choice), gaps filled."""
    motion = initialize(tracks, context.camera, context.models)
    recipe = context.settings.recipe.initializer
    if recipe.consistent:
        motion = drop_inconsistent(motion, tracks, recipe.speeds)
    return fill_gaps(motion, motion.status == DETECTED, tracks.times_s)


def _initialize(context: RunContext, tracks: KeypointTracks | None) -> InitialMotion:
    assert tracks is not None
    return InitialMotion(consistent_motion(context, tracks))


INITIALIZER = Initializer(_initialize, requires="landmarks_3d")
