"""From the camera's axes to the world's, as the smoothness terms need it: for the wrist of right hands.

Separate from `gather`, because nothing else of the fit knows of the world.
"""

import numpy as np

from hmpfit.hands.model import HandModels
from hmpfit.hands.rigid_motion import rest_wrists
from hmpfit.records import MIRROR_X, CameraMotion, Floats, HandMotion


def to_world(camera_motion: CameraMotion, motion: HandMotion, models: HandModels) -> tuple[Floats, Floats]:
    """Return rotations [H, T, 3, 3] and shifts [H, T, 3]: world wrist = rotation @ transl + shift, as right hands.

    `transl` is smplx's, so that the shift holds the turned J0(betas) of the initial shape; that the shape still changes
    a little moves all frames nearly alike. Where the length of the camera's path is not known only its turns count,
    and where the path is not known at all nothing is changed.
    """
    turn, shift = camera_motion.world_from_camera[:, :3, :3], camera_motion.world_from_camera[:, :3, 3]
    if not np.isfinite(turn).all():
        turn = np.broadcast_to(np.eye(3), turn.shape)
    shift = np.where(np.isfinite(shift).all(), shift, 0.0)
    root = rest_wrists(motion, models)
    shifts = np.einsum("tij,hj->hti", turn, root) + shift
    flip = np.where(motion.is_right[:, None], 1.0, MIRROR_X)  # [H, 3]
    turns = flip[:, None, :, None] * turn * flip[:, None, None, :]
    return turns, shifts * flip[:, None]
