"""Bundle adjustment: camera poses and points together, by Levenberg-Marquardt with the points eliminated (Schur).

Separate from `odometry`, which decides what is adjusted. Image coordinates are those of a pinhole with unit focal
length (normalized), so that intrinsics and lens play no part here. Source: Triggs et al. 2000, "Bundle Adjustment - A
Modern Synthesis", section 6.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

_DAMPING, _STEPS, _TOLERANCE = 1e-4, 25, 1e-4
_NEAR = 1e-3  # least depth, in units of the map


@dataclass(frozen=True)
class Observations:
    """N sightings: which pose saw which point where."""

    pose: Ints  # [N] index of a pose
    point: Ints  # [N] index of a point
    xy: Floats  # [N, 2] normalized image coordinates

    def only(self, kept: NDArray[np.bool_]) -> "Observations":
        """Return some of the sightings."""
        return Observations(self.pose[kept], self.point[kept], self.xy[kept])


def residuals(rotation: Floats, translation: Floats, points: Floats, seen: Observations) -> Floats:
    """Return projected minus seen [N, 2]; poses are camera from world, [C, 3, 3] and [C, 3]; points [P, 3]."""
    inside = _in_camera(rotation, translation, points, seen)
    return inside[:, :2] / np.maximum(inside[:, 2:], _NEAR) - seen.xy


def point_depths(rotation: Floats, translation: Floats, points: Floats, seen: Observations) -> Floats:
    """Return the depth [N] of every seen point in the camera that saw it."""
    return _in_camera(rotation, translation, points, seen)[:, 2]


def adjust(
    rotation: Floats,
    translation: Floats,
    points: Floats,
    seen: Observations,
    free: NDArray[np.bool_],
    huber: float,
    steps: int = _STEPS,
) -> tuple[Floats, Floats, Floats]:
    """Return rotations, translations and points that lower the Huber cost of the sightings.

    `free` [C] are the poses that may change; all points may, where there are any. Hold two poses, or lean on the
    damping: the cost does not know place, turn and scale of the whole. `huber` in normalized units.
    """
    damping, cost = _DAMPING, _cost(residuals(rotation, translation, points, seen), huber)
    for _ in range(steps):
        normal = _normal_equations(rotation, translation, points, seen, free, huber)
        improved = False
        for _ in range(6):
            trial = _step(rotation, translation, points, normal, damping)
            trial_cost = _cost(residuals(*trial, seen), huber)
            if trial_cost < cost:
                improved, gain = True, 1 - trial_cost / cost
                (rotation, translation, points), cost = trial, trial_cost
                damping = max(damping / 5, 1e-8)
                break
            damping *= 5
        if not improved or gain < _TOLERANCE:
            break
    return rotation, translation, points


@dataclass(frozen=True)
class _Normal:
    poses: Floats  # [C, 6, 6]
    points: Floats  # [P, 3, 3]
    cross: sparse.csr_matrix  # [6C, 3P]
    g_poses: Floats  # [C, 6]
    g_points: Floats  # [P, 3]
    free: NDArray[np.bool_]


def _in_camera(rotation: Floats, translation: Floats, points: Floats, seen: Observations) -> Floats:
    return (rotation[seen.pose] @ points[seen.point][..., None])[..., 0] + translation[seen.pose]


def _cost(errors: Floats, huber: float) -> float:
    size = np.linalg.norm(errors, axis=1)
    return float(np.where(size <= huber, 0.5 * size**2, huber * (size - 0.5 * huber)).sum())


def _derivatives(
    rotation: Floats, translation: Floats, points: Floats, seen: Observations, huber: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return errors [N, 2], Huber weights [N], slopes by pose [N, 2, 6] (turn from the left, move) and place."""
    turned = (rotation[seen.pose] @ points[seen.point][..., None])[..., 0]
    inside = turned + translation[seen.pose]
    depth = np.maximum(inside[:, 2], _NEAR)
    error = inside[:, :2] / depth[:, None] - seen.xy
    weight = np.minimum(1.0, huber / np.maximum(np.linalg.norm(error, axis=1), 1e-12))
    by_place = np.zeros((len(depth), 2, 3))
    by_place[:, 0, 0] = by_place[:, 1, 1] = 1 / depth
    by_place[:, :, 2] = -inside[:, :2] / depth[:, None] ** 2
    x, y, z = turned.T
    zero = np.zeros_like(x)
    by_turn = np.stack((zero, z, -y, -z, zero, x, y, -x, zero), axis=1).reshape(-1, 3, 3)
    return error, weight, np.concatenate((by_place @ by_turn, by_place), axis=2), by_place


def pose_step(
    rotation: Floats, translation: Floats, points: Floats, seen: Observations, huber: float
) -> tuple[Floats, Floats]:
    """Return rotations [C, 3, 3] and translations [C, 3] after one Gauss-Newton step with the points held."""
    error, weight, by_pose, _ = _derivatives(rotation, translation, points, seen, huber)
    scaled = by_pose * weight[:, None, None]
    matrix = _summed(scaled.transpose(0, 2, 1) @ by_pose, seen.pose, len(rotation)) + 1e-9 * np.eye(6)
    gradient = _summed((scaled.transpose(0, 2, 1) @ error[..., None])[..., 0], seen.pose, len(rotation))
    return _moved(rotation, translation, -np.linalg.solve(matrix, gradient[..., None])[..., 0])


def _moved(rotation: Floats, translation: Floats, change: Floats) -> tuple[Floats, Floats]:
    return Rotation.from_rotvec(change[:, :3]).as_matrix() @ rotation, translation + change[:, 3:]


def _normal_equations(
    rotation: Floats, translation: Floats, points: Floats, seen: Observations, free: NDArray[np.bool_], huber: float
) -> _Normal:
    error, weight, of_pose, by_place = _derivatives(rotation, translation, points, seen, huber)
    of_pose = of_pose * free[seen.pose][:, None, None]
    of_point = by_place @ rotation[seen.pose]
    scaled_pose = (of_pose * weight[:, None, None]).transpose(0, 2, 1)
    scaled_point = (of_point * weight[:, None, None]).transpose(0, 2, 1)
    count_c, count_p = len(rotation), len(points)
    changes = free[seen.pose]  # what a held pose sees ties its points, and no pose to them
    cross = scaled_pose[changes] @ of_point[changes]
    rows = (6 * seen.pose[changes, None, None] + np.arange(6)[None, :, None]).repeat(3, axis=2)
    columns = (3 * seen.point[changes, None, None] + np.arange(3)[None, None, :]).repeat(6, axis=1)
    return _Normal(
        _summed(scaled_pose @ of_pose, seen.pose, count_c),
        _summed(scaled_point @ of_point, seen.point, count_p),
        sparse.csr_matrix((cross.ravel(), (rows.ravel(), columns.ravel())), shape=(6 * count_c, 3 * count_p)),
        _summed((scaled_pose @ error[..., None])[..., 0], seen.pose, count_c),
        _summed((scaled_point @ error[..., None])[..., 0], seen.point, count_p),
        free,
    )


def _summed(values: Floats, at: Ints, count: int) -> Floats:
    """Sum values [N, ...] that go to the same place `at` [N]."""
    flat = values.reshape(len(values), math.prod(values.shape[1:]))  # -1 would be ambiguous where N is 0
    columns = [np.bincount(at, flat[:, column], minlength=count) for column in range(flat.shape[1])]
    return np.stack(columns, axis=1).astype(np.float64).reshape(count, *values.shape[1:])


def _step(
    rotation: Floats, translation: Floats, points: Floats, normal: _Normal, damping: float
) -> tuple[Floats, Floats, Floats]:
    count = len(rotation)
    damped = normal.points * (1 + damping * np.eye(3)) + 1e-12 * np.eye(3)
    back = np.linalg.inv(damped)
    blocks = sparse.bsr_matrix((back, np.arange(len(points)), np.arange(len(points) + 1)))
    carried = (normal.cross @ blocks).tocsr()
    whole = np.zeros((6 * count, 6 * count))
    for pose, block in enumerate(normal.poses):
        at = slice(6 * pose, 6 * pose + 6)
        whole[at, at] = block * (1 + damping * np.eye(6)) + 1e-10 * np.eye(6)
    whole -= (carried @ normal.cross.T).toarray()
    unknown = np.repeat(normal.free, 6)
    right = normal.g_poses.ravel() - carried @ normal.g_points.ravel()
    change = np.zeros(6 * count)
    if unknown.any():
        change[unknown] = -np.linalg.solve(whole[np.ix_(unknown, unknown)], right[unknown])
    point_change = -(back @ (normal.g_points.ravel() + normal.cross.T @ change).reshape(-1, 3, 1))[..., 0]
    change = change.reshape(count, 6)
    return *_moved(rotation, translation, change), points + point_change
