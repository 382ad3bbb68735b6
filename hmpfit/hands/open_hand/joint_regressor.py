"""The regressor that finds a hand's joints from its skin, for the mean hand and every shape."""

import numpy as np
from numpy.typing import NDArray

from hmpfit.skeleton import MANO_JOINTS, MANO_PARENTS

Floats = NDArray[np.float64]


def joint_regressor(template: Floats, shapedirs: Floats, joints: Floats, dirs: Floats, weights: Floats) -> Floats:
    """Return J_regressor [16, V], rows non-negative with sum 1, that gives the joints for the mean and every shape.

    Non-negative least squares on the vertices near each joint that move with it or with its parent.
    """
    from scipy.optimize import nnls

    rows = np.zeros((len(MANO_JOINTS), len(template)))
    for joint, parent in enumerate(MANO_PARENTS):
        related = weights[:, [joint, max(parent, 0)]].sum(1) > 0.5
        distance = np.linalg.norm(template - joints[joint], axis=1) + np.where(related, 0, 1)
        near = np.argsort(distance)[:160]
        local, local_dirs = template[near] - joints[joint], shapedirs[near] - dirs[joint]
        system = np.concatenate((local.T, local_dirs.reshape(len(near), -1).T)) * 1e3
        ridge = np.diag(0.02 * (1 + (np.linalg.norm(local, axis=1) / 0.015) ** 4))  # prefers vertices within 15 mm
        target = np.concatenate((np.zeros(len(system)), [1e3], np.zeros(len(near))))
        solution, _ = nnls(np.concatenate((system, np.full((1, len(near)), 1e3), ridge)), target)
        rows[joint, near] = solution / solution.sum()
    return rows
