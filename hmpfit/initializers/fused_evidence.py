"""Fuse the detector's landmarks and a network's, each weighted by the error that is expected of it.

Separate from placing (`from_network`), which takes the network's hands as they are. Joint by joint the two are joined
by inverse variance where the detector is doubtful; elsewhere the detector's stay as they are. A frame in which both
are too far off counts as unseen: interpolation by the motion prior is better than wrong evidence.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from hmpfit.geometry import rotations
from hmpfit.geometry.alignment import closest_rotation
from hmpfit.hands import as_right_hands as mirroring
from hmpfit.hands.kinematics import Kinematics, landmark_points
from hmpfit.hands.model import HandModels
from hmpfit.initializers import from_network
from hmpfit.records import DETECTED, MIRROR_X, Camera, Floats, HandEstimates, HandMotion, KeypointTracks


@dataclass(frozen=True)
class FusionOptions:
    """When who counts how much. Errors in diagonals of the hand's box (2D) and meters (3D)."""

    doubtful: float = 0.05  # expected 2D error of the detector, mean over a frame's joints, from which it is joined
    better: float = 1.25  # and how many times the network's own it must be for 2D landmarks to be joined too
    share_3d: float = 0.6  # of the network's 3D landmarks there, turned onto the detector's: its fingers, not its turn
    lost: float = 0.3  # expected 2D error of the joined landmarks from which a frame counts as unseen
    presence: float = 0.5  # of the network, from which it counts in frames that the detector missed
    found: float = 0.06  # expected 2D error of the network up to which it counts there
    sure: float = 0.012  # expected 2D error with which a landmark counts in full


# The boxes of another detector assert the hand.
IN_BOXES = FusionOptions(presence=0.0, found=0.3)


def fuse(
    estimates: HandEstimates,
    tracks: KeypointTracks,
    camera: Camera,
    models: HandModels,
    options: FusionOptions = FusionOptions(),
) -> KeypointTracks:
    """Return evidence with world landmarks from tracks and estimates with expected errors, hands as in both.

    Raises ValueError for estimates that say nothing of their errors.
    """
    if estimates.expected_errors is None or estimates.presence is None:
        raise ValueError("these estimates have no expected errors; the network must be one with the frozen backbone")
    unseen = tracks.keep_frames(np.zeros_like(tracks.seen))
    motion, own = from_network.initialize(estimates, unseen, camera, models, least_certain=0.0)
    own_world = world_landmarks(motion, models)
    placed = motion.status == DETECTED
    size = _sizes(tracks, own)
    own_2d, detector_2d = (estimates.expected_errors[:, :, n] / size[..., None] for n in (0, 1))
    judged = placed & estimates.estimated
    joined = tracks.seen & judged & (detector_2d.mean(-1) > options.doubtful)
    alone = ~tracks.seen & judged & (estimates.presence >= options.presence) & (own_2d.mean(-1) < options.found)
    share_2d, std_2d = _joined(own_2d, detector_2d)
    share_2d = np.where(detector_2d > options.better * own_2d, share_2d, 0.0)
    std_2d = np.where(share_2d > 0, std_2d, detector_2d)
    xy = _mix(tracks.xy_px, own.xy_px, share_2d, joined, alone)
    detector_world = np.full(own_world.shape, np.nan) if tracks.world_m is None else tracks.world_m
    known = np.isfinite(detector_world).all((-1, -2))
    middle = detector_world.mean(-2, keepdims=True)
    turned = _turned_onto(own_world, detector_world - middle, joined & known) + middle
    share_3d = np.full(share_2d.shape, options.share_3d)
    mixed = _mix(detector_world, turned, share_3d, joined & known, np.zeros_like(alone))
    world = np.where((alone | (tracks.seen & judged & ~known))[..., None, None], own_world, mixed)
    calibrated = np.clip((options.sure / np.maximum(np.where(joined[..., None], std_2d, own_2d), 1e-6)) ** 2, 0, 1)
    confidence = np.where((joined | alone)[..., None], calibrated, tracks.confidence)
    seen = (tracks.seen | alone) & ~(joined & (std_2d.mean(-1) > options.lost))
    seen = np.where(seen.any(1, keepdims=True), seen, tracks.seen)  # a hand keeps what little there is
    fused = replace(tracks, xy_px=xy, world_m=world, confidence=confidence, seen=tracks.seen | alone)
    return fused.keep_frames(seen)


def describe_changes(before: KeypointTracks, after: KeypointTracks) -> str:
    """Describe in how many frames the evidence changed, for the log."""
    both = before.seen & after.seen
    changed = both & (np.nan_to_num(after.xy_px - before.xy_px) != 0).any((-1, -2))
    added, dropped = (after.seen & ~before.seen).sum(), (before.seen & ~after.seen).sum()
    joined = f"of {before.seen.sum()} detected hands {changed.sum()} were joined with the network's"
    return f"{joined} and {dropped} set aside; {added} were found by the network alone"


def world_landmarks(motion: HandMotion, models: HandModels) -> Floats:
    """Return the landmark points [H, T, 21, 3] of placed hands about their mean, camera axes; NaN elsewhere."""
    right = mirroring.motion_as_right(motion)
    out = np.full((*motion.status.shape, 21, 3), np.nan)
    for hand in range(len(motion.is_right)):
        at = motion.status[hand] == DETECTED
        if not at.any():
            continue
        is_right = bool(motion.is_right[hand])
        kin = Kinematics.of(models.side(is_right))
        pose = [rotations.exp(torch.as_tensor(part[hand, at])) for part in (right.global_orient, right.hand_pose)]
        betas, still = torch.as_tensor(motion.betas[hand]), torch.zeros(3).double()
        points = landmark_points(kin, pose[0], pose[1], betas, still).numpy()
        centred = points - points.mean(-2, keepdims=True)
        out[hand, at] = centred if is_right else centred * MIRROR_X
    return out


def _sizes(tracks: KeypointTracks, own: KeypointTracks) -> Floats:
    """Return the box diagonal of each hand [H, T], the network's where nothing was detected, at least a pixel."""
    diagonal = np.where(own.seen, own.box_diagonal_px, tracks.box_diagonal_px)
    return np.maximum(np.nan_to_num(diagonal, nan=1.0), 1.0)


def _joined(own: Floats, detector: Floats) -> tuple[Floats, Floats]:
    """Return the network's share and the joint error of two independent sources with these errors."""
    a, b = 1 / np.maximum(own, 1e-6) ** 2, 1 / np.maximum(detector, 1e-6) ** 2
    return np.asarray(a / (a + b)), np.asarray(1 / np.sqrt(a + b))


def _mix(detector: Floats, own: Floats, share: Floats, joined: np.ndarray, alone: np.ndarray) -> Floats:
    mixed = (1 - share[..., None]) * detector + share[..., None] * own
    out = np.where(joined[..., None, None], mixed, detector)
    return np.where(alone[..., None, None], own, out)


def _turned_onto(points: Floats, target: Floats, at: np.ndarray) -> Floats:
    """Turn centred points [H, T, 21, 3] onto targets where `at` [H, T], by the closest rotation (Kabsch)."""
    out = points.copy()
    a, b = points[at], target[at]
    out[at] = a @ closest_rotation(np.swapaxes(a, -1, -2) @ b)[0]
    return out
