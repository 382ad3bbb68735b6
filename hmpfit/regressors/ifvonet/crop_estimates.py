"""Write IFVONet's output for crops into estimates: in the camera's axes, each hand on its own side.

Shared by the two ways over a clip, `estimation` and `frozen_estimation`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from hmpfit.geometry.cameras import mirror_intrinsics
from hmpfit.geometry.lenses import mirror_distortion
from hmpfit.records import MIRROR_ANGLES, Camera, Floats, HandEstimates, KeypointTracks
from hmpfit.regressors.crops import Crop
from hmpfit.regressors.ifvonet.head import HeadOutput

CropPlace = tuple[int, int, Crop]  # hand, frame, and the crop that shows it


def empty_estimates(tracks: KeypointTracks, **more: Floats) -> HandEstimates:
    """Return estimates of the tracks' hands in which nothing is estimated yet; `more` are further arrays."""
    hands, frames = tracks.seen.shape
    shapes: dict[str, tuple[int, ...]] = {
        "global_orient": (3,), "hand_pose": (15, 3), "betas": (10,), "joints_px": (21, 2), "confidence": (21,),
    }  # fmt: skip
    zeros: dict[str, Any] = {name: np.zeros((hands, frames, *shape)) for name, shape in shapes.items()}
    estimated = np.zeros((hands, frames), dtype=bool)
    return HandEstimates(**zeros, **more, estimated=estimated, is_right=tracks.is_right.copy())


def write_hands(
    output: HeadOutput, places: Sequence[CropPlace], out: HandEstimates, camera: Camera, width: int
) -> None:  # fmt: skip
    """Write the hands [B] of a batch of crops where they belong; confidences are left to the caller."""
    rotations = output.rotations.double().cpu().numpy()
    betas, xy = output.betas.double().cpu().numpy(), output.joints_2d.double().cpu().numpy()
    for row, (hand, frame, crop) in enumerate(places):
        is_right = bool(out.is_right[hand])
        K: Floats = camera.K[min(frame, len(camera.K) - 1)]
        lens = camera.distortion if is_right or camera.distortion is None else mirror_distortion(camera.distortion)
        R = crop.rotation(K if is_right else mirror_intrinsics(K, width), lens)
        angles = Rotation.from_matrix(np.concatenate(((R @ rotations[row, 0])[None], rotations[row, 1:]))).as_rotvec()
        pixels = crop.points_to_image(xy[row])
        if not is_right:
            angles, pixels = angles * MIRROR_ANGLES, pixels * (-1, 1) + (width, 0)
        out.global_orient[hand, frame], out.hand_pose[hand, frame] = angles[0], angles[1:]
        out.betas[hand, frame], out.joints_px[hand, frame] = betas[row], pixels
        out.estimated[hand, frame] = True
