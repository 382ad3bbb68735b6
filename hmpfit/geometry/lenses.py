"""Lens distortion: from camera-frame points to the image plane at unit focal length, and back to viewing rays.

Separate from `cameras`, which adds the focal length and the principal point. How many coefficients there are says
which lens it is: 4 are a fisheye's (Kannala and Brandt 2006, OpenCV's `fisheye`: k1 k2 k3 k4), 5 OpenCV's radial and
tangential k1 k2 p1 p2 k3, and 8 add the rational k4 k5 k6. None is the pinhole.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmpfit.geometry.alignment import unit

NEAREST_M = 1e-2
FISHEYE, RADIAL_TANGENTIAL, RATIONAL = "fisheye", "radial_tangential", "rational"
LENS_NAMES = {4: FISHEYE, 5: RADIAL_TANGENTIAL, 8: RATIONAL}
_P2 = 3
_NEWTON_STEPS = 30
_RADIUS_SQUARED = {torch.float32: 1e-14, torch.float64: 1e-24}  # keeps the derivative on the axis finite


def lens_name(distortion: NDArray[np.floating] | None) -> str:
    """Return "none", "fisheye", "radial_tangential" or "rational" for coefficients [..., 4, 5 or 8]."""
    return "none" if distortion is None else LENS_NAMES[distortion.shape[-1]]


def image_plane(points: Tensor, distortion: Tensor | None = None) -> Tensor:
    """Return where a lens of focal length 1 shows camera-frame points [..., 3] (meters), [..., 2].

    `distortion` [..., 4, 5 or 8] broadcasts against the points' leading axes. Depth is clamped at 1 cm, so that a point
    behind the camera gives a large finite value instead of a sign flip; a fisheye, which sees such points, needs none.
    """
    if distortion is not None and distortion.shape[-1] == 4:
        return _fisheye(points, distortion)
    xy = points[..., :2] / points[..., 2:].clamp_min(NEAREST_M)
    return xy if distortion is None else _brown_conrady(xy, distortion)


def undistorted_rays(plane: NDArray[np.floating], distortion: NDArray[np.floating] | None) -> NDArray[np.float64]:
    """Return the unit viewing rays [..., 3] of places [..., 2] on the image plane at unit focal length."""
    plane = np.asarray(plane, dtype=np.float64)
    if distortion is not None and distortion.shape[-1] == 4:
        return _fisheye_rays(plane, np.asarray(distortion, dtype=np.float64))
    if distortion is not None:
        plane = _undone(plane, np.asarray(distortion, dtype=np.float64))
    directions = np.concatenate((plane, np.ones_like(plane[..., :1])), axis=-1)
    return unit(directions)


def mirror_distortion(distortion: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the coefficients of the horizontally mirrored image: p2, the sideways tangential one, changes its sign."""
    mirrored = np.array(distortion, dtype=np.float64)
    if mirrored.shape[-1] > 4:
        mirrored[..., _P2] *= -1
    return mirrored


def _brown_conrady(xy: Tensor, distortion: Tensor) -> Tensor:
    k1, k2, p1, p2, k3, *rational = distortion.unbind(-1)
    x, y = xy.unbind(-1)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    if rational:
        k4, k5, k6 = rational
        radial = radial / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return torch.stack(
        (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ),
        dim=-1,
    )


def _fisheye(points: Tensor, distortion: Tensor) -> Tensor:
    k1, k2, k3, k4 = distortion.unbind(-1)
    x, y, z = points.unbind(-1)
    radius = (x * x + y * y + _RADIUS_SQUARED.get(points.dtype, 1e-14)).sqrt()
    angle = torch.atan2(radius, z)
    a2 = angle * angle
    bent = angle * (1 + a2 * (k1 + a2 * (k2 + a2 * (k3 + a2 * k4))))
    return points[..., :2] * (bent / radius)[..., None]


def _fisheye_rays(plane: NDArray[np.float64], k: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve angle (1 + k1 angle^2 + ...) = radius by Newton's method; angles end at half a turn."""
    radius = np.linalg.norm(plane, axis=-1)
    angle = np.minimum(radius, np.pi)
    powers = np.array([1, *k])
    for _ in range(_NEWTON_STEPS):
        even = angle[..., None] ** (2 * np.arange(5))
        value = angle * (even @ powers) - radius
        slope = even @ (powers * (2 * np.arange(5) + 1))
        angle = np.clip(angle - value / np.where(np.abs(slope) > 1e-6, slope, 1.0), 0.0, np.pi)
    aside = np.sin(angle) / np.where(radius > 0, radius, 1.0)
    return np.concatenate((plane * aside[..., None], np.cos(angle)[..., None]), axis=-1)


def _undone(plane: NDArray[np.float64], distortion: NDArray[np.float64]) -> NDArray[np.float64]:
    import cv2

    flat = np.ascontiguousarray(plane.reshape(-1, 1, 2))
    if len(flat) == 0:
        return plane
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
    undone = cv2.undistortPointsIter(flat, np.eye(3), distortion, np.eye(3), np.eye(3), stop)
    return np.asarray(undone, dtype=np.float64).reshape(plane.shape)
