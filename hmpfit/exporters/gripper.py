"""A parallel gripper that follows thumb and index finger: opening, and where its base goes frame by frame.

Separate from `retargeting.py`: two jaws on one line have no mount on the wrist that could stay, so the base turns with
the line between the fingertips.
"""

import numpy as np

from hmpfit.records import Floats

TCP_M = 0.1034  # from the Panda hand's base to between its fingertips, along z (its URDF's panda_hand_tcp)


def follow_fingers(joints: Floats, thumb: int, index: int, widest_m: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return jaw positions [T, 2], base rotations [T, 3, 3], base places [T, 3] and fingertip errors [T, 2], meters.

    `joints` [T, 21, 3]; the opening is the distance of the tips within the gripper's range. y goes from the index
    finger to the thumb (the left jaw), z from the wrist to the point between the tips, as far as y leaves it free.
    """
    apart = joints[:, thumb] - joints[:, index]
    distance = np.linalg.norm(apart, axis=1)
    middle = (joints[:, thumb] + joints[:, index]) / 2
    reach = middle - joints[:, 0]
    y = apart / np.maximum(distance, 1e-9)[:, None]
    z = reach - (reach * y).sum(1, keepdims=True) * y
    z /= np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-9)
    rotations = np.stack((np.cross(y, z), y, z), axis=-1)
    opening = np.clip(distance, 0, widest_m)
    error = np.abs(distance - opening) / 2
    return (
        np.repeat(opening[:, None] / 2, 2, axis=1),
        rotations,
        middle - TCP_M * z,
        np.repeat(error[:, None], 2, axis=1),
    )
