"""Turn a two-hand network's output into estimates of tracks: parameters of the run's hand, frames to trust.

Parameters of the run's own hand model are taken as they are; anything else (a mesh, another hand's parameters) goes
through inverse kinematics. A frame is accepted where the hand, laid on its keypoints, meets them.
"""

import logging

import numpy as np
import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.geometry.cameras import project, rays
from hmpfit.hands.bone_lengths import fit_shape, robust_lengths
from hmpfit.hands.inverse_kinematics import Targets, place_by_rays, solve_pose
from hmpfit.hands.kinematics import Kinematics, landmark_points
from hmpfit.hands.model import HandModels
from hmpfit.records import MIRROR_ANGLES, MIRROR_X, Bools, Camera, Floats, HandEstimates, KeypointTracks
from hmpfit.regressors.two_hands.estimate_pair import PairEstimate
from hmpfit.regressors.two_hands.windows import hand_rows

log = logging.getLogger("hmpfit")

BONE_RELATIVE_STD = 0.1
WORST_MISFIT = 0.25  # of the hand box's diagonal, in the mean over 21 points
LEAST_WEIGHT = 0.1
LEAST_COSINE = 0.17  # of a ray's angle from the optical axis: x / z has no bound
# These networks give no confidence: their own 2D points weigh little, and a frame that no detector saw is
# left to its gaps (`initializers.from_network.LEAST_CERTAIN`).
CONFIDENCE = 0.2


def accept_estimates(
    found: PairEstimate, own: HandModels, tracks: KeypointTracks, camera: Camera, models: HandModels
) -> HandEstimates:
    """Return estimates [H, T] of all tracks; `own` are the network's hands, `models` the run's.

    Of several tracks of a side the longest is estimated. A frame counts where its hand was tracked, the network looked,
    and the hand meets its keypoints.
    """
    hands, frames = tracks.seen.shape
    out = HandEstimates(
        global_orient=np.zeros((hands, frames, 3)), hand_pose=np.zeros((hands, frames, 15, 3)),
        betas=np.zeros((hands, frames, 10)), joints_px=np.zeros((hands, frames, 21, 2)),
        confidence=np.zeros((hands, frames, 21)), estimated=np.zeros((hands, frames), bool),
        is_right=tracks.is_right.copy(),
    )  # fmt: skip
    for side, row in enumerate(hand_rows(tracks)):
        if row is None:
            continue
        at = tracks.seen[row] & found.known
        if at.any():
            is_right = bool(tracks.is_right[row])
            same = own.side(is_right).fingerprint == models.side(is_right).fingerprint
            _fill(out, row, at, _parameters(found, side, at, models, same), tracks, camera, models)
    return out


def _parameters(
    found: PairEstimate, side: int, at: Bools, models: HandModels, same_hand: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return rotations [N, 3, 3], finger angles [N, 15, 3] and shapes [N, 10] in right-hand form."""
    if same_hand and found.orient_R is not None and found.hand_pose is not None and found.betas is not None:
        chosen = (found.orient_R[side, at], found.hand_pose[side, at], found.betas[side, at])
        return torch.as_tensor(chosen[0]), torch.as_tensor(chosen[1]), torch.as_tensor(chosen[2])
    kin = Kinematics.of(models.side(side == 0), landmark_offsets=False)
    points = torch.as_tensor(found.joints[side, at] * (1.0 if side == 0 else MIRROR_X))
    weights = torch.ones(points.shape[:2], dtype=points.dtype)
    shape = fit_shape(kin, robust_lengths(points, weights), BONE_RELATIVE_STD, free_scale=True)
    solved = solve_pose(kin, shape.betas, Targets(points / shape.scale, weights))
    pose = rotations.log(rotations.exp(solved.pose))
    return solved.global_R, pose, shape.betas.expand(len(points), -1)


def _fill(
    out: HandEstimates,
    row: int,
    at: Bools,
    parameters: tuple[Tensor, Tensor, Tensor],
    tracks: KeypointTracks,
    camera: Camera,
    models: HandModels,
) -> None:
    orient, pose, betas = parameters
    is_right = bool(tracks.is_right[row])
    flip = torch.as_tensor(np.ones(3) if is_right else MIRROR_X)
    angles = np.ones(3) if is_right else MIRROR_ANGLES
    still = torch.zeros(len(orient), 3, dtype=orient.dtype)
    model = models.side(is_right)
    kinds = (Kinematics.of(model), Kinematics.of(model, landmark_offsets=False))
    points, joints = (landmark_points(kin, orient, rotations.exp(pose), betas, still) * flip for kin in kinds)
    K = torch.as_tensor(np.broadcast_to(camera.K, (len(at), 3, 3))[at].copy())
    xy = torch.as_tensor(tracks.xy_px[row, at])
    ray = rays(xy.numpy(), K[:, None].numpy(), camera.distortion)
    xy_rays = torch.as_tensor(ray[..., :2] / np.maximum(ray[..., 2:], LEAST_COSINE))
    lens = None if camera.distortion is None else torch.as_tensor(camera.distortion)
    weights = torch.as_tensor(tracks.confidence[row, at]).clamp_min(LEAST_WEIGHT)
    transl = place_by_rays(points, xy_rays, weights)[:, None]
    apart = ((project(points + transl, K[:, None], lens) - xy).norm(dim=-1) * weights).sum(1) / weights.sum(1)
    meets = _meets(apart.numpy() / np.maximum(tracks.box_diagonal_px[row, at], 1.0), is_right)
    kept = np.flatnonzero(at)[meets]
    out.global_orient[row, kept] = rotations.log(orient).numpy()[meets] * angles
    out.hand_pose[row, kept] = pose.numpy()[meets] * angles
    out.betas[row, kept] = betas.numpy()[meets]
    out.joints_px[row, kept] = project(joints + transl, K[:, None], lens).numpy()[meets]
    out.confidence[row, kept] = CONFIDENCE
    out.estimated[row, kept] = True


def _meets(misfit: Floats, is_right: bool) -> Bools:
    meets = np.asarray(misfit <= WORST_MISFIT)
    side = "right" if is_right else "left"
    if not meets.all():
        log.info("The network's %s hand misses its keypoints in %d of %d frames.", side, (~meets).sum(), len(meets))
    return meets
