"""Move a result to another frame (camera to world), parameters and joints alike, before any exporter sees it."""

from dataclasses import replace

import numpy as np
import torch

from hmpfit.geometry.rotations import exp, log
from hmpfit.hands.left_right import MIRROR_X
from hmpfit.hands.model import HandModels
from hmpfit.records import Floats
from hmpfit.results.npz import StoredResult


def move_result(result: StoredResult, models: HandModels, poses: Floats) -> StoredResult:
    """Return the result in the frame that rigid `poses` [T | 1, 4, 4] map the camera's frame to.

    MANO's root turns about its rest place J0(betas), so with p the wrist the new `transl` is R p + t - J0(betas).
    Evidence, projections and intrinsics stay: they are of the image. Raises ValueError for poses that are not rigid.
    """
    motion = result.motion
    frames = motion.transl.shape[1]
    poses = np.broadcast_to(poses, (frames, 4, 4))
    R, t = poses[:, :3, :3], poses[:, :3, 3]
    if not np.allclose(R @ R.transpose(0, 2, 1), np.eye(3), atol=1e-5) or (np.linalg.det(R) < 0).any():
        raise ValueError("the poses of the camera are not rigid: rotation and translation without scale are needed")
    rest_wrist = wrists_at_rest(result, models)[:, None]
    turned = R @ exp(torch.as_tensor(motion.global_orient, dtype=torch.float64)).numpy()
    wrist = np.einsum("tij,htj->hti", R, motion.transl + rest_wrist) + t
    moved = replace(motion, global_orient=log(torch.as_tensor(turned)).numpy(), transl=wrist - rest_wrist)
    return replace(result, motion=moved, joints=np.einsum("tij,htkj->htki", R, result.joints) + t[:, None])


def wrists_at_rest(result: StoredResult, models: HandModels) -> Floats:
    """Return J0(betas) [H, 3], the wrist of every hand at rest in its model's frame, meters."""
    places = []
    for is_right, betas in zip(result.motion.is_right, result.motion.betas, strict=True):
        model = models.side(bool(is_right))
        shaped = model.v_template + model.shapedirs @ betas
        places.append((model.J_regressor[0] @ shaped) * (1.0 if is_right else MIRROR_X))
    return np.stack(places)
