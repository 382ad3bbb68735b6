"""Move a whole hand motion by a rigid transform per frame: between the camera's axes and the world's.

Separate from `mano`, which poses hands; here MANO parameters stay parameters.
"""

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from hmpfit.hands.model import HandModels
from hmpfit.records import MIRROR_X, Floats, HandMotion


def move_hands(motion: HandMotion, models: HandModels, transforms: Floats) -> HandMotion:
    """Return the motion after T [T, 4, 4]: turned about the origin and moved, finger poses and shape as they are.

    MANO's root turns about J0(betas), not about the origin, so `transl` follows from where the wrist comes to.
    """
    rotation = transforms[None, :, :3, :3]
    orient = Rotation.from_rotvec(motion.global_orient.reshape(-1, 3)).as_matrix()
    orient = rotation @ orient.reshape(*motion.global_orient.shape[:2], 3, 3)
    root = rest_wrists(motion, models)[:, None]
    wrist = (rotation @ (motion.transl + root)[..., None])[..., 0] + transforms[None, :, :3, 3]
    return replace(
        motion,
        global_orient=Rotation.from_matrix(orient.reshape(-1, 3, 3)).as_rotvec().reshape(motion.global_orient.shape),
        transl=wrist - root,
    )


def rest_wrists(motion: HandMotion, models: HandModels) -> Floats:
    """Return J0(betas) [H, 3] of every hand in its own side's axes: wrist = J0 + transl."""
    found = []
    for betas, is_right in zip(motion.betas, motion.is_right):
        model = models.side(bool(is_right))
        rest = model.J_regressor[0] @ (model.v_template + model.shapedirs @ betas)
        found.append(rest if is_right else rest * MIRROR_X)
    return np.stack(found)
