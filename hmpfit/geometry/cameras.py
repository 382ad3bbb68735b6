"""Pinhole cameras: projection, rays and the assumed focal length.

Separate from rotations because only this file knows about pixels. OpenCV axes: x right, y down, z forward.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ASSUMED_FOCAL_PER_LONGER_SIDE = 0.9


def assumed_intrinsics(
    width: int, height: int, focal_per_longer_side: float = ASSUMED_FOCAL_PER_LONGER_SIDE
) -> NDArray[np.float64]:
    """Return K [3, 3] for an unknown camera: focal length as a share of the longer side, principal point centered.

    0.9 of the longer side is a horizontal field of view of 58 degrees in landscape; decided once in the design.
    """
    focal = focal_per_longer_side * max(width, height)
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])


def project(points: Tensor, K: Tensor, distortion: Tensor | None = None) -> Tensor:
    """Project camera-frame points [..., 3] (meters) with K [..., 3, 3] to pixels [..., 2].

    K's leading axes broadcast against the points' leading axes. `distortion` [5] is OpenCV's k1 k2 p1 p2 k3.
    Depth is clamped at 1 cm, so that a point behind the camera gives a large finite residual instead of a sign flip.
    """
    depth = points[..., 2:].clamp_min(1e-2)
    xy = points[..., :2] / depth
    if distortion is not None:
        k1, k2, p1, p2, k3 = distortion.unbind(-1)
        x, y = xy.unbind(-1)
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        xy = torch.stack(
            (
                x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
                y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
            ),
            dim=-1,
        )
    return (K[..., :2, :2] @ xy[..., None])[..., 0] + K[..., :2, 2]


def rays(xy_px: NDArray[np.floating], K: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return unit viewing rays [..., 3] through pixels [..., 2] of the undistorted pinhole K [3, 3]."""
    homogeneous = np.concatenate((xy_px, np.ones_like(xy_px[..., :1])), axis=-1)
    directions = homogeneous @ np.linalg.inv(K).T
    return directions / np.linalg.norm(directions, axis=-1, keepdims=True)


def rotation_from_optical_axis(directions: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the smallest rotations [..., 3, 3] that turn the optical axis (0, 0, 1) onto unit directions [..., 3].

    A crop's detector sees the hand as if its camera looked straight at the crop; this turns its 3D output into the
    axes of the real camera.
    """
    x, y, z = np.moveaxis(np.asarray(directions, dtype=np.float64), -1, 0)
    k = 1.0 / (1.0 + z)
    rows = ((1 - k * x * x, -k * x * y, x), (-k * x * y, 1 - k * y * y, y), (-x, -y, z))
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def mirror_intrinsics(K: NDArray[np.floating], width: int) -> NDArray[np.float64]:
    """Return K [..., 3, 3] of the horizontally mirrored image: the principal point moves to width - cx."""
    mirrored = np.array(K, dtype=np.float64)
    mirrored[..., 0, 2] = width - mirrored[..., 0, 2]
    mirrored[..., 0, 1] *= -1
    return mirrored
