"""Metric scale of a camera's map, from hands whose place before the camera is known in meters.

A hand's place in the world is y_t + s c_t: y_t its place before the camera turned into the world's axes (meters), c_t
the camera's place (map units), s the scale. The right s makes the hand's motion one that hands make: smooth, a Gaussian
process about a straight line of which no more is known than a spread of amplitudes and speeds (all of them are weighed
by their likelihood); a wrong s leaves the camera's own motion in it. Static points that a hand hides are behind it,
which bounds s from below. Both together give a distribution of s, never more than was seen.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.cameras import project_array
from hmpfit.records import Floats

_RATE_HZ, _MOST = 12.0, 120  # frames a second that are used, and in one solve; longer clips are several solves
_AMPLITUDES_M, _SPANS_S = (0.006, 0.02, 0.06, 0.2), (0.15, 0.3, 0.6, 1.2)  # of the hand's own motion
_DEPTH_NOISE = (0.004, 0.012, 0.036)  # of a hand's depth from frame to frame, as a share of it
# Of its drift, as a share of the depth. Eleven fitted hands of the clips with real truth (shared/inputs/truth) stray by
# 0.03 to 0.11 about their mean distance; the correlation is 0.8 after a third of a second and 0.5 after one.
_DRIFT, _DRIFT_S = 0.055, 1.2
_ACROSS_NOISE = 0.004  # of its place across the viewing direction, as a share of the depth
_SCALES = np.geomspace(0.05, 60.0, 600)  # meters per unit, the median depth of the scene
_OBSERVED_STD = 0.2  # relative: above it the scale counts as unobserved
_HIDDEN_SHARE = 0.1  # of the hidden points may wrongly be nearer than the hand
_BOUND_SOFTNESS = 0.1  # of the bound, in log s


@dataclass(frozen=True)
class Scale:
    """Meters per unit of the map. `std` is relative; `observed` is False where the hands do not determine it."""

    meters_per_unit: float
    std: float
    observed: bool
    reason: str


@dataclass(frozen=True)
class WristPositions:
    """Where hands are before the camera: `place` [H, T, 3] meters, camera axes, NaN where not seen."""

    place: Floats
    times_s: Floats  # [T]


def metric_scale(hands: WristPositions, map_from_camera: Floats, bound: float = 0.0, size_std: float = 0.0) -> Scale:
    """Return the scale of a camera path [T, 4, 4] from hands.

    `bound` is a least scale (`hidden_bound`), `size_std` the relative deviation of the hands' own size, which every
    place and so the scale takes part in.
    """
    logs = np.zeros(len(_SCALES))
    used = 0
    for place in hands.place:
        for part in _pieces(place, hands.times_s):
            logs += _log_likelihood(place[part], map_from_camera[part], hands.times_s[part])
            used += len(part)
    if used < 8:
        return Scale(np.nan, np.inf, False, "the hands are seen too briefly")
    if bound > 0:
        logs -= 0.5 * (np.minimum(np.log(_SCALES / bound), 0) / _BOUND_SOFTNESS) ** 2
    share = np.exp(logs - logs.max())
    share /= share.sum()  # over a grid even in log s: of the scale, as much is known beforehand of 1 m as of 10 m
    log_s = np.log(_SCALES)
    mean = float((share * log_s).sum())
    std = float(np.sqrt((share * (log_s - mean) ** 2).sum() + size_std**2))
    if share[: len(share) // 50].sum() > 0.02:
        return Scale(float(np.exp(mean)), std, False, "the hands move along with the camera")
    if std > _OBSERVED_STD:
        return Scale(float(np.exp(mean)), std, False, "the camera's motion is too smooth or small beside the hands'")
    return Scale(float(np.exp(mean)), std, True, f"from the hands' motion in {used} frames")


def hidden_bound(hands_px: Floats, hand_depth_m: Floats, K: Floats, map_from_camera: Floats, points: Floats) -> float:
    """Return the least scale at which hands [H, T] are before the static points that they hide; 0 where they hide none.

    `hands_px` [H, T, 21, 2] and `hand_depth_m` [H, T] are NaN where a hand is not seen; points [P, 3] of the map.
    """
    import cv2

    ratios: list[float] = []
    to_camera = np.linalg.inv(map_from_camera)
    for hand in range(len(hands_px)):
        seen = np.flatnonzero(np.isfinite(hand_depth_m[hand]) & np.isfinite(hands_px[hand]).all((1, 2)))
        for frame in seen[:: max(len(seen) // 60, 1)]:
            inside = points @ to_camera[frame, :3, :3].T + to_camera[frame, :3, 3]
            ahead = inside[:, 2] > 1e-2
            pixels = project_array(inside[ahead], K)
            hull = cv2.convexHull(hands_px[hand, frame].astype(np.float32))
            near = np.abs(pixels - hull.mean(axis=(0, 1))).max(axis=1) < np.ptp(hull[:, 0], axis=0).max()
            for xy, depth in zip(pixels[near], inside[ahead, 2][near]):
                if cv2.pointPolygonTest(hull, (float(xy[0]), float(xy[1])), False) > 0:
                    ratios.append(float(hand_depth_m[hand, frame] / depth))
    return float(np.quantile(ratios, 1 - _HIDDEN_SHARE)) if len(ratios) >= 10 else 0.0


def _pieces(place: Floats, times_s: Floats) -> list[NDArray[np.int64]]:
    """Return the frames to use, thinned to `_RATE_HZ`, in pieces of at most `_MOST`."""
    seen = np.flatnonzero(np.isfinite(place).all(-1))
    if len(seen) < 4:
        return []
    wanted = np.arange(times_s[seen[0]], times_s[seen[-1]] + 1e-9, 1 / _RATE_HZ)
    nearest = np.unique(seen[np.abs(times_s[seen][None] - wanted[:, None]).argmin(axis=1)])
    count = -(-len(nearest) // _MOST)
    return [part for part in np.array_split(nearest, count) if len(part) >= 4]


def _log_likelihood(place: Floats, map_from_camera: Floats, times_s: Floats) -> Floats:
    """Return the log-likelihood of every scale of the grid, [S], for one hand's places [N, 3] before the camera.

    For each kind of motion, place, direction and speed of the line and the scale have flat priors: generalized least
    squares, whose restricted likelihood is a parabola in s; the kinds are equally likely beforehand.
    """
    count = len(place)
    turn, center = map_from_camera[:, :3, :3], map_from_camera[:, :3, 3]
    target = np.einsum("nij,nj->ni", turn, place)
    ray = target / np.linalg.norm(target, axis=1, keepdims=True)
    depth = np.linalg.norm(place, axis=1)
    along = ray[:, :, None] * ray[:, None, :]
    time = (times_s - times_s.mean()) / max(np.ptp(times_s), 1e-6)
    line = np.kron(np.stack((np.ones(count), time), axis=1), np.eye(3))  # [3N, 6]
    columns = np.concatenate((line, center.reshape(-1, 1), target.reshape(-1, 1)), axis=1)
    apart = np.abs(times_s[:, None] - times_s[None])
    drift = _drift(target, apart)
    found = []
    for span in _SPANS_S:
        smooth = np.exp(-0.5 * (apart / span) ** 2)
        for amplitude in _AMPLITUDES_M:
            for share in _DEPTH_NOISE:
                noise = (_ACROSS_NOISE * depth)[:, None, None] ** 2 * (np.eye(3) - along)
                noise += (np.hypot(share, _ACROSS_NOISE) * depth)[:, None, None] ** 2 * along
                matrix = np.kron(amplitude**2 * smooth, np.eye(3)) + drift
                for index in range(count):
                    matrix[3 * index : 3 * index + 3, 3 * index : 3 * index + 3] += noise[index]
                found.append(_restricted(matrix, columns))
    parts = np.stack(found)
    top = parts.max()
    return np.asarray(np.log(np.exp(parts - top).mean(axis=0) + 1e-300) + top)


def _drift(target: Floats, apart: Floats) -> Floats:
    """Return the covariance [3N, 3N] of a depth that drifts, for hands at target [N, 3] and time differences [N, N].

    An Ornstein-Uhlenbeck process less its mean: a common factor of all depths is `size_std`, and were it free here, the
    smoothest motion would be the smallest, with every scale too small (by 8 % with errors as they are).
    """
    count = len(target)
    center = np.eye(count) - 1 / count
    shares = center @ (_DRIFT**2 * np.exp(-apart / _DRIFT_S)) @ center
    blocks = shares[:, None, :, None] * target[:, :, None, None] * target[None, None]
    return np.asarray(blocks.reshape(3 * count, 3 * count))


def _restricted(matrix: Floats, columns: Floats) -> Floats:
    """Return the restricted log-likelihood of the scales; columns: the line, the camera's and the hand's places."""
    factor = np.linalg.cholesky(matrix)
    whitened = np.linalg.solve(factor, columns)
    line, camera, hand = whitened[:, :-2], whitened[:, -2], whitened[:, -1]
    basis, corner = np.linalg.qr(line)
    camera, hand = camera - basis @ (basis.T @ camera), hand - basis @ (basis.T @ hand)
    squared = hand @ hand + 2 * _SCALES * (camera @ hand) + _SCALES**2 * (camera @ camera)
    constant = -np.log(np.diag(factor)).sum() - np.log(np.abs(np.diag(corner))).sum()
    return np.asarray(constant - 0.5 * squared)
