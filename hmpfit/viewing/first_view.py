"""The initial view of the 3D page: beside the filming camera, facing the hands and not the back of the picture."""

import numpy as np

from hmpfit.records import Floats

_TURNS_DEGREES = (25, 40, 55, 70, 85, 100, 120)  # to the side of the filming camera, the first that sees all
_DOWN_DEGREES = 20
_SHARE_OF_DEPTH = 0.6
_LEAST_RADIUS_M, _RADII_AWAY = 0.09, 2.4


def picture_distance(joints: Floats, wanted_m: float) -> float:
    """Return how far before the filming camera its picture stands: `wanted_m`, or less so that no joint pierces it.

    `joints` [N, 3] in the filming camera's axes, N > 0.
    """
    nearest = float(joints[:, 2].min())
    return min(wanted_m, _SHARE_OF_DEPTH * nearest) if nearest > 0 else wanted_m


def eye_on_hands(joints: Floats, half_size: Floats, plane_m: float) -> tuple[Floats, Floats]:
    """Return eye and target [3] in the filming camera's axes (meters, y down, z forward).

    `joints` [N, 3] must be finite, N > 0; the picture stands at z = `plane_m` and reaches `half_size` [2] meters from
    the axis. The eye turns to the side until no sight line crosses the picture.
    """
    target = (joints.min(axis=0) + joints.max(axis=0)) / 2
    radius = max(float(np.linalg.norm(joints - target, axis=1).max()), _LEAST_RADIUS_M)
    eye = target
    for turn in np.deg2rad(_TURNS_DEGREES):
        down = np.deg2rad(_DOWN_DEGREES)
        direction = np.array([np.sin(turn) * np.cos(down), -np.sin(down), -np.cos(turn) * np.cos(down)])
        eye = target + _RADII_AWAY * radius * direction
        if not crosses_picture(eye, joints, half_size, plane_m).any():
            break
    return eye, target


def crosses_picture(eye: Floats, joints: Floats, half_size: Floats, plane_m: float) -> Floats:
    """Return which sight lines [N] from the eye [3] to the joints [N, 3] cross the picture."""
    span = joints[:, 2] - eye[2]
    share = (plane_m - eye[2]) / np.where(np.abs(span) < 1e-9, np.inf, span)
    xy = eye[:2] + share[:, None] * (joints - eye)[:, :2]
    return (share > 0) & (share < 1) & (np.abs(xy) <= half_size).all(axis=1)
