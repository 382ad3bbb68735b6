"""Initialize the smoother in a new frame: inverse kinematics of what was seen of a hand there."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.hands import as_right_hands as mirroring
from hmpfit.hands.bone_lengths import length_ratio
from hmpfit.hands.inverse_kinematics import IKSettings, Targets, solve_pose
from hmpfit.hands.kinematics import Kinematics
from hmpfit.hands.model import HandModels
from hmpfit.initializers.from_keypoints import LEAST_WEIGHT, PIXEL_STD_PER_DIAGONAL, normalized_pixels
from hmpfit.records import Camera, KeypointTracks


@dataclass(frozen=True)
class FirstPose:
    """Poses of n frames of a hand, as a right hand's; float64."""

    global_R: Tensor  # [n, 3, 3]
    hand_R: Tensor  # [n, 15, 3, 3]
    transl: Tensor  # [n, 3]


def first_poses(tracks: KeypointTracks, camera: Camera, models: HandModels, steps: int) -> FirstPose:
    """Pose one hand in all frames of its tracks [1, n], each of which sees it.

    `steps` is how long the inverse kinematics tries.
    """
    right = mirroring.tracks_as_right(tracks, camera.width)
    assert right.world_m is not None
    known = np.isfinite(right.world_m[0]).all(-1) & np.isfinite(right.xy_px[0]).all(-1)
    weights = torch.as_tensor(np.where(known, np.maximum(right.confidence[0], LEAST_WEIGHT), 0.0))
    kinematics = Kinematics.of(models.side(bool(tracks.is_right[0])))
    shape = torch.zeros(10, dtype=torch.float64)
    world = torch.as_tensor(np.nan_to_num(right.world_m[0]))
    world = world * length_ratio(kinematics, shape, world, weights)
    K = np.broadcast_to(mirroring.intrinsics_as_right(camera, tracks.is_right)[0], (len(world), 3, 3))
    lenses = mirroring.distortion_as_right(camera, tracks.is_right)
    xy, focal = normalized_pixels(np.nan_to_num(right.xy_px[0]), K, None if lenses is None else lenses[0])
    diagonal = torch.as_tensor(right.box_diagonal_px[0]).clamp_min(1.0)
    targets = Targets(world, weights, xy, weights, PIXEL_STD_PER_DIAGONAL * diagonal / focal)
    found = solve_pose(kinematics, shape, targets, IKSettings(steps=steps))
    return FirstPose(found.global_R, rotations.exp(found.pose), found.transl)
