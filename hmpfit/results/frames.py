"""Move a result to another frame (camera to world), parameters and joints alike, before any exporter sees it."""

from dataclasses import replace

import numpy as np

from hmpfit.geometry.rigid_transforms import apply
from hmpfit.hands.model import HandModels
from hmpfit.hands.rigid_motion import move_hands
from hmpfit.records import Floats
from hmpfit.results.npz import StoredResult


def move_result(result: StoredResult, models: HandModels, poses: Floats) -> StoredResult:
    """Return the result in the frame that rigid `poses` [T | 1, 4, 4] map the camera's frame to.

    Evidence, projections and intrinsics stay: they are of the image. Raises ValueError for poses that are not rigid.
    """
    poses = np.broadcast_to(poses, (result.motion.transl.shape[1], 4, 4))
    R = poses[:, :3, :3]
    if not np.allclose(R @ R.transpose(0, 2, 1), np.eye(3), atol=1e-5) or (np.linalg.det(R) < 0).any():
        raise ValueError("the poses of the camera are not rigid: rotation and translation without scale are needed")
    return replace(result, motion=move_hands(result.motion, models, poses), joints=apply(poses, result.joints))
