"""Dyn-HaMR's `*_world_results.npz`: both hands in a world, and the camera that moves through it.

Parameters are a right hand's; a left hand's mesh is mirrored in x after its translation was added. Facts read from
public converters of this file: keys trans, root_orient [B, T, 3], pose_body [B, T, 15, 3], betas [B, 10],
is_right [B, T], cam_R [B, T, 3, 3], cam_t [B, T, 3] (world to camera), intrins [4] = fx, fy, cx, cy.
"""

from typing import Any

import numpy as np
import torch

from hmpfit.errors import InputError
from hmpfit.geometry import rotations
from hmpfit.hands.model import HandModels
from hmpfit.initializers.foreign.foreign_motion import ForeignMotion
from hmpfit.records import MIRROR_ANGLES, MIRROR_X, Camera, Floats

_KEYS = ("trans", "root_orient", "betas", "is_right", "cam_R", "cam_t", "intrins")


def recognize(contents: dict[str, Any]) -> bool:
    """Return whether this is a Dyn-HaMR world result."""
    return "cam_R" in contents and "root_orient" in contents and "trans" in contents


def read(contents: dict[str, Any], camera: Camera, models: HandModels) -> ForeignMotion:
    """Bring the hands from the world into the camera of each frame. Raises InputError naming a missing key."""
    missing = [key for key in _KEYS if key not in contents]
    if missing or not ("pose_body" in contents or "latent_pose" in contents):
        raise InputError(f"The Dyn-HaMR file lacks {', '.join(missing) or 'pose_body'}; give a *_world_results.npz.")
    arrays = {key: np.asarray(contents[key], dtype=np.float64) for key in _KEYS}
    hands, frames = arrays["trans"].shape[:2]
    pose = np.asarray(contents.get("pose_body", contents.get("latent_pose")), dtype=np.float64)
    pose = pose.reshape(hands, frames, 15, 3)
    is_right = arrays["is_right"].reshape(hands, -1).mean(1) > 0.5
    turn = np.where(is_right[:, None, None], 1.0, MIRROR_ANGLES)
    flip = np.where(is_right[:, None, None], 1.0, MIRROR_X)
    cam_R = np.broadcast_to(arrays["cam_R"], (hands, frames, 3, 3))
    cam_t = np.broadcast_to(arrays["cam_t"], (hands, frames, 3))
    world_R = rotations.exp(torch.as_tensor(arrays["root_orient"] * turn)).numpy()
    orient = rotations.log(torch.as_tensor(cam_R @ world_R)).numpy()
    betas = np.broadcast_to(arrays["betas"].reshape(hands, -1, 10), (hands, frames, 10))
    # smplx turns the root about J0, which stays behind when the world turns: J0 + t = R (J0 + t_world) + t_camera.
    roots = np.stack([_root(models, bool(side), shape) for side, shape in zip(is_right, betas[:, 0], strict=True)])
    wrist = roots[:, None] + arrays["trans"] * flip
    transl = np.einsum("htij,htj->hti", cam_R, wrist) + cam_t - roots[:, None]
    K = np.tile(np.eye(3), (frames, 1, 1))
    intrinsics = np.broadcast_to(arrays["intrins"].reshape(-1, 4), (frames, 4))
    K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2] = intrinsics.T
    tracked = np.asarray(contents.get("vis_mask", np.ones((hands, frames))))
    seen = np.broadcast_to(tracked.reshape(hands, -1) > 0, (hands, frames))
    return ForeignMotion("Dyn-HaMR", orient, pose * turn[..., None, :], betas, transl, is_right, seen, K)


def _root(models: HandModels, is_right: bool, betas: Floats) -> Floats:
    """Return the wrist's place J0 [3] in the rest pose of a hand of that shape, in its own side's form."""
    model = models.side(is_right)
    root: Floats = model.J_regressor[0] @ (model.v_template + model.shapedirs @ betas)
    return root if is_right else root * MIRROR_X
