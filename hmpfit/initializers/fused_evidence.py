"""Fill what the detector lacks with a network's hands: frames in boxes, and landmarks without depth.

Separate from placing (`from_network`), which takes the network's hands as they are. Landmarks that the detector saw
stay as they are: joining the two, and setting frames aside in which the network expects the detector to be wrong,
made fits of clips worse that had no part in choosing how (docs/training.md).
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from hmpfit.geometry import rotations
from hmpfit.geometry.near_in_time import short_gaps
from hmpfit.hands import as_right_hands as mirroring
from hmpfit.hands.kinematics import Kinematics, landmark_points
from hmpfit.hands.model import HandModels
from hmpfit.initializers import from_network
from hmpfit.keypoints.followed import LONGEST_S
from hmpfit.records import DETECTED, MIRROR_X, Bools, Camera, Floats, HandEstimates, HandMotion, KeypointTracks


@dataclass(frozen=True)
class FusionOptions:
    """When the network's hands count. Errors in diagonals of the hand's box."""

    fill: bool = False  # frames that the detector missed from the network; between seen ones interpolation is better
    found: float = 0.3  # expected error of the network up to which it counts there
    followed_s: float = 0.0  # gaps between sightings up to this long stay, for optical flow to follow the hand through
    sure: float = 0.012  # expected error with which a landmark counts in full


# The boxes of another detector assert the hand.
IN_BOXES = FusionOptions(fill=True, followed_s=LONGEST_S)


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
    if estimates.expected_errors is None:
        raise ValueError("these estimates have no expected errors; the network must be one with the frozen backbone")
    unseen = tracks.keep_frames(np.zeros_like(tracks.seen))
    motion, own = from_network.initialize(estimates, unseen, camera, models, least_certain=0.0)
    own_world = world_landmarks(motion, models)
    judged = (motion.status == DETECTED) & estimates.estimated
    size = _sizes(tracks, own)
    own_2d = estimates.expected_errors[:, :, 0] / size[..., None]
    alone = ~tracks.seen & judged & options.fill & (own_2d.mean(-1) < options.found)
    alone &= ~_in_short_gaps(tracks, options.followed_s)
    world = np.full(own_world.shape, np.nan) if tracks.world_m is None else tracks.world_m
    lacking = tracks.seen & judged & ~np.isfinite(world).all((-1, -2))
    calibrated = np.clip((options.sure / np.maximum(own_2d, 1e-6)) ** 2, 0, 1)
    return replace(
        tracks,
        xy_px=np.where(alone[..., None, None], own.xy_px, tracks.xy_px),
        world_m=np.where((alone | lacking)[..., None, None], own_world, world),
        confidence=np.where(alone[..., None], calibrated, tracks.confidence),
        seen=tracks.seen | alone,
    )


def describe_changes(before: KeypointTracks, after: KeypointTracks) -> str:
    """Describe in how many frames the evidence changed, for the log."""
    added = (after.seen & ~before.seen).sum()
    return f"{before.seen.sum()} detected hands stay as they are; {added} were found by the network alone"


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


def _in_short_gaps(tracks: KeypointTracks, longest_s: float) -> Bools:
    """Return the unseen frames [H, T] of gaps between sightings that last at most so long."""
    out = np.zeros_like(tracks.seen)
    for hand, seen in enumerate(tracks.seen):
        for start, stop in short_gaps(seen, tracks.times_s, longest_s):
            out[hand, start:stop] = True
    return out


def _sizes(tracks: KeypointTracks, own: KeypointTracks) -> Floats:
    """Return the box diagonal of each hand [H, T], the network's where nothing was detected, at least a pixel."""
    diagonal = np.where(own.seen, own.box_diagonal_px, tracks.box_diagonal_px)
    return np.maximum(np.nan_to_num(diagonal, nan=1.0), 1.0)
