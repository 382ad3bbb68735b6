"""Pinhole cameras: projection, rays and the assumed focal length.

Separate from rotations because only this file knows about pixels. OpenCV axes: x right, y down, z forward.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmpfit.geometry.lenses import image_plane, undistorted_rays

ASSUMED_FOCAL_PER_LONGER_SIDE = 0.9
# Standard deviation of the logarithm of the focal length, by where it came from. Assumed: the root mean square over the
# seven cameras of our real truth clips (webcams of 0.5 to 0.7 longer sides, others up to 1.3). Metadata: equivalents
# are rounded to whole millimeters, and stabilized video shows less than the lens does.
FOCAL_LOG_STD = {"given": 0.0, "metadata": 0.1, "assumed": 0.45}


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

    K's leading axes broadcast against the points' leading axes. `distortion` is as `lenses.image_plane` takes it.
    Depth is clamped at 1 cm, so that a point behind the camera gives a large finite residual instead of a sign flip.
    """
    xy = image_plane(points, distortion)
    return (K[..., :2, :2] @ xy[..., None])[..., 0] + K[..., :2, 2]


def project_array(
    points: NDArray[np.floating], K: NDArray[np.floating], distortion: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """Project arrays as `project` does, in double precision."""
    lens = None if distortion is None else torch.as_tensor(np.asarray(distortion, np.float64))
    given, intrinsics = (torch.as_tensor(np.asarray(part, np.float64)) for part in (points, K))
    return np.asarray(project(given, intrinsics, lens).numpy())


def rays(
    xy_px: NDArray[np.floating], K: NDArray[np.floating], distortion: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """Return unit viewing rays [..., 3] through pixels [..., 2] of K [..., 3, 3] (axes broadcast) and its lens.

    K is upper triangular with a last row of (0, 0, 1), as every camera here has it.
    """
    y = (xy_px[..., 1] - K[..., 1, 2]) / K[..., 1, 1]
    x = (xy_px[..., 0] - K[..., 0, 2] - K[..., 0, 1] * y) / K[..., 0, 0]
    return undistorted_rays(np.stack((x, y), axis=-1), distortion)


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
