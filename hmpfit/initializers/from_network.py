"""Place a network's hands in the camera: their pose is the network's, their translation is fitted.

Separate from the networks: it takes what any of them says of the frames (`HandEstimates`). The translation is that
which brings the joints closest to their 2D keypoints along the rays, a linear problem in each frame; where a detector
saw the hand, its keypoints then correct the network's turn as well.
"""

from dataclasses import replace

import numpy as np
import torch

from hmpfit.geometry import rotations
from hmpfit.geometry.cameras import project_array
from hmpfit.hands import as_right_hands as mirroring
from hmpfit.hands.kinematics import Kinematics, landmark_points
from hmpfit.hands.model import HandModels
from hmpfit.initializers.from_keypoints import LEAST_WEIGHT, normalized_pixels
from hmpfit.initializers.rotate_onto_keypoints import rotate_onto_keypoints
from hmpfit.records import DETECTED, Bools, Camera, Floats, HandEstimates, HandMotion, KeypointTracks

NEAREST_M, FARTHEST_M = 0.08, 5.0
LEAST_CERTAIN = 0.5  # mean confidence of 21 joints below which a frame that only the network saw is left to its gaps
SHARE = 0.25  # of a steady detection's weight, for a network's own joints


def initialize(
    estimates: HandEstimates,
    tracks: KeypointTracks,
    camera: Camera,
    models: HandModels,
    least_certain: float = LEAST_CERTAIN,
) -> tuple[HandMotion, KeypointTracks]:
    """Place the estimated hands; return the motion and the network's own 2D joints as keypoints.

    Frames that the detector saw are placed and rotated by its keypoints, others placed by the network's. Frames without
    an estimate, and those that only the network saw and of which it is less certain than `least_certain`, hold zeros
    and status 0. The shape is the median over the frames. The keypoints are moved from joints to the detector's
    landmarks by what lies between them on the model.
    """
    sides = tracks.is_right
    right = mirroring.tracks_as_right(tracks, camera.width)
    K = mirroring.intrinsics_as_right(camera, sides)
    lenses = mirroring.distortion_as_right(camera, sides)
    hands, frames = estimates.estimated.shape
    still = HandMotion(
        global_orient=estimates.global_orient, hand_pose=estimates.hand_pose, transl=np.zeros((hands, frames, 3)),
        betas=np.zeros((hands, 10)), is_right=sides, status=np.zeros((hands, frames), np.uint8),
        hand_id=tracks.hand_id, person_id=tracks.person_id,
    )  # fmt: skip
    motion = mirroring.motion_as_right(still)
    own = mirroring.pixels_as_sides(estimates.joints_px, sides, camera.width)  # a mirror undoes itself
    certain = estimates.confidence.mean(-1) >= least_certain
    used = estimates.estimated & (right.seen | certain)
    transl, status, betas = motion.transl.copy(), motion.status.copy(), motion.betas.copy()
    shifted, orient = own.copy(), motion.global_orient.copy()
    for hand in np.flatnonzero(used.any(1)):
        at = used[hand]
        kin = Kinematics.of(models.side(bool(sides[hand])))
        plain = Kinematics.of(models.side(bool(sides[hand])), landmark_offsets=False)
        betas[hand] = np.median(estimates.betas[hand, at], axis=0)
        pose = [torch.as_tensor(part[hand, at]) for part in (motion.global_orient, motion.hand_pose)]
        fields = rotations.exp(pose[0]), rotations.exp(pose[1]), torch.as_tensor(betas[hand]), torch.zeros(3).double()
        points, joints = landmark_points(kin, *fields).numpy(), landmark_points(plain, *fields).numpy()
        intrinsics = np.broadcast_to(K[hand], (frames, 3, 3))[at]
        seen = right.seen[hand, at][:, None]
        xy = np.where(seen[..., None], np.nan_to_num(right.xy_px[hand, at]), own[hand, at])
        weights = np.where(seen, right.confidence[hand, at].clip(LEAST_WEIGHT), estimates.confidence[hand, at])
        lens, weights = None if lenses is None else lenses[hand], weights.clip(LEAST_WEIGHT)
        rays, _ = normalized_pixels(xy, intrinsics, lens)
        places = _placed(np.where(seen[..., None], points, joints), rays.numpy(), weights)
        if seen.any():
            turns, places = rotate_onto_keypoints(kin, *fields[:3], places, rays.numpy(), weights * seen)
            fields = (turns, *fields[1:])
            orient[hand, at] = rotations.log(turns).numpy()
            points, joints = landmark_points(kin, *fields).numpy(), landmark_points(plain, *fields).numpy()
        good = (places[:, 2] > NEAREST_M) & (places[:, 2] < FARTHEST_M)
        rows = np.flatnonzero(at)[good]
        transl[hand, rows], status[hand, rows] = places[good], DETECTED
        shown = [project_array(some + places[:, None], intrinsics[:, None], lens) for some in (points, joints)]
        shifted[hand, rows] = own[hand, rows] + (shown[0] - shown[1])[good]
    placed = mirroring.motion_as_sides(
        replace(motion, global_orient=orient, transl=transl, status=status, betas=betas), sides
    )
    shifted = mirroring.pixels_as_sides(shifted, sides, camera.width)
    return placed, _own_keypoints(shifted, status == DETECTED, estimates.confidence, tracks)


def _own_keypoints(xy_px: Floats, known: Bools, confidence: Floats, tracks: KeypointTracks) -> KeypointTracks:
    """Return the network's 2D joints as evidence of the tracks' hands."""
    return KeypointTracks(
        xy_px=np.where(known[..., None, None], xy_px, np.nan),
        confidence=np.where(known[..., None], SHARE * confidence, 0.0),
        seen=known,
        is_right=tracks.is_right,
        times_s=tracks.times_s,
        hand_id=tracks.hand_id,
        person_id=tracks.person_id,
    )


def _placed(points: Floats, rays: Floats, weights: Floats) -> Floats:
    """Return translations [N, 3] that bring points [N, 21, 3] closest to rays (x / z, y / z) [N, 21, 2].

    Minimizes sum w |(p + t)_xy - ray (p + t)_z|^2: distances at the hand's depth, linear in t.
    """
    a = np.zeros((*rays.shape, 3))  # [N, 21, 2 equations, 3]
    a[..., 0, 0] = a[..., 1, 1] = 1.0
    a[..., 2] = -rays
    b = rays * points[..., 2:] - points[..., :2]
    normal = np.einsum("nkei,nkej,nk->nij", a, a, weights)
    return np.linalg.solve(normal + 1e-9 * np.eye(3), np.einsum("nkei,nke,nk->ni", a, b, weights)[..., None])[..., 0]
