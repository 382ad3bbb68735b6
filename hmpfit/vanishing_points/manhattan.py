"""Fit a Manhattan frame, three directions at right angles, to the segments of a picture for a given focal length.

A Manhattan world (Coughlan & Yuille 1999): each segment runs along one of three orthogonal directions, towards its
vanishing point, or anywhere. The directions are found from triples of segments and refined by
expectation-maximization with Gauss-Newton steps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.alignment import closest_rotation, unit
from hmpfit.records import Floats

_ANGLE_STD, _END_STD = np.deg2rad(0.7), 0.0015  # of a segment's direction, and of its ends in longer sides
_FULL_LENGTH, _MOST_WEIGHT = 0.06, 2.0  # a segment of this length counts once, longer ones at most this often
_START_SHARE = 0.15  # of the segments along each direction, before anything is known
_SHARE_PRIOR = 2.0  # segments with which the shares are smoothed
_KEPT, _STEPS, _MOST_TURN = 6, 10, 0.1
_SETTLED = 1e-4  # radians and shares: the likelihood changes by the square
_LEAST_SINE = 1e-2  # between two segments that are to name a vanishing point


@dataclass(frozen=True)
class Segments:
    """Segments in units of the longer side from the principal point, and what their residuals need."""

    middle: Floats  # [N, 2]
    length: Floats  # [N]
    plane: Floats  # [N, 3] p . plane = 0 for directions p whose vanishing point lies on the segment's line
    std: Floats  # [N] of the angle between the segment and the way to its vanishing point
    weight: Floats  # [N]
    focal: float

    @classmethod
    def of(cls, ends: Floats, focal: float, bend: float = 0.0) -> "Segments":
        """Take segments [N, 2, 2], their lens undone by the division model p / (1 + bend |p|^2)."""
        ends = ends / (1 + bend * np.square(ends).sum(axis=-1, keepdims=True))
        middle, along = ends.mean(axis=1), ends[:, 1] - ends[:, 0]
        length = np.linalg.norm(along, axis=1)
        x, y = (along / length[:, None]).T
        plane = np.stack((focal * y, -focal * x, middle[:, 1] * x - middle[:, 0] * y), axis=1)
        std = np.hypot(_ANGLE_STD, _END_STD / length)
        return cls(middle, length, plane, std, np.minimum(length / _FULL_LENGTH, _MOST_WEIGHT), focal)

    def residuals(self, axes: Floats) -> tuple[Floats, Floats]:
        """Return sines of angles in deviations for directions [..., 3], and what they are numerators over, [..., N]."""
        z = axes[..., 2:]
        squared = self.focal**2 * (1 - z**2) - 2 * self.focal * z * (axes[..., :2] @ self.middle.T)
        squared += z**2 * np.square(self.middle).sum(axis=1)
        over = np.sqrt(np.maximum(squared, 0.25 * self.length**2)) * self.std
        return (axes @ self.plane.T) / over, over

    def likelihoods(self, residuals: Floats) -> Floats:
        """Return densities of residuals over that of a segment in any direction."""
        return np.asarray(np.sqrt(np.pi / 2) / self.std * np.exp(-0.5 * residuals**2))


@dataclass(frozen=True)
class Frames:
    """Candidate frames: `axes` [B, 3, 3], a direction per row; `shares` [B, 3] of the segments along each."""

    axes: Floats
    shares: Floats
    log_likelihood: Floats  # [B], over that of segments without any order
    log_volume: Floats  # [B] of the rotations that the segments leave possible: -1/2 log det of the normal matrix

    def best(self) -> "Frames":
        """Return the likeliest one."""
        row = int(self.log_likelihood.argmax())
        return Frames(
            *(x[row : row + 1] for x in (self.axes, self.shares, self.log_likelihood, self.log_volume)),
        )


def fit_frame(segments: Segments, triples: NDArray[np.int64], starts: list[Floats]) -> Frames:
    """Return the likeliest frame from triples [H, 3] of segments and from other frames [1, 3, 3] to start at.

    The first two segments of a triple share a vanishing point, the third runs towards another one.
    """
    axes = _from_triples(segments, triples)
    if len(axes):
        likely = np.log1p(_START_SHARE * (segments.likelihoods(segments.residuals(axes)[0]) - 1).sum(axis=1))
        axes = axes[np.argsort(-(likely @ segments.weight), kind="stable")[:_KEPT]]
    return refine_frames(segments, np.concatenate((axes, *starts))).best()


def refine_frames(segments: Segments, axes: Floats) -> Frames:
    """Improve frames [B, 3, 3] and learn the shares of their directions."""
    shares, matrix = np.full(axes.shape[:2], _START_SHARE), np.tile(np.eye(3), (len(axes), 1, 1))
    for _ in range(_STEPS):
        residual, over = segments.residuals(axes)
        along = shares[:, :, None] * segments.likelihoods(residual)
        member = along / (1 - shares.sum(axis=1)[:, None, None] + along.sum(axis=1, keepdims=True)) * segments.weight
        before, shares = shares, (member.sum(axis=-1) + _SHARE_PRIOR) / (segments.weight.sum() + 6 * _SHARE_PRIOR)
        gradient, matrix = _normal_equations(segments, axes, residual, over, member)
        step = _step(gradient, matrix)
        axes = _turned(axes, step)
        if max(np.abs(step).max(initial=0), np.abs(shares - before).max(initial=0)) < _SETTLED:
            break
    along = shares[:, :, None] * segments.likelihoods(segments.residuals(axes)[0])
    likely = np.log(1 - shares.sum(axis=1)[:, None] + along.sum(axis=1)) @ segments.weight
    return Frames(axes, shares, likely, -0.5 * np.linalg.slogdet(matrix)[1])


def _normal_equations(
    segments: Segments, axes: Floats, residual: Floats, over: Floats, member: Floats
) -> tuple[Floats, Floats]:
    """Return gradients [B, 3] and Gauss-Newton matrices [B, 3, 3] of the residuals by small rotations."""
    slope = member / over
    # A turn by w moves p . plane by w . (p x plane); summed over segments without forming it for each.
    x, y, z = axes[..., 0], axes[..., 1], axes[..., 2]
    none = np.zeros_like(x)
    cross = np.stack((none, -z, y, z, none, -x, -y, x, none), axis=-1)  # unit vector i x p, for i = x, y, z
    cross = np.moveaxis(cross.reshape(*axes.shape[:-1], 3, 3), -2, 1)  # [B, 3, axis, 3]
    rows = cross @ segments.plane.T  # [B, 3, axis, N]
    gradient = np.einsum("bian,ban->bi", rows, slope * residual)
    matrix = np.einsum("bian,ban,bjan->bij", rows, slope / over, rows) + 1e-3 * np.eye(3)
    return gradient, matrix


def _step(gradient: Floats, matrix: Floats) -> Floats:
    """Return the rotation vectors [B, 3] that bring the directions nearer to their segments."""
    step = -np.linalg.solve(matrix, gradient[..., None])[..., 0]
    size = np.linalg.norm(step, axis=1, keepdims=True)
    return np.asarray(step * np.minimum(1.0, _MOST_TURN / np.maximum(size, 1e-9)))


def _turned(axes: Floats, turn: Floats) -> Floats:
    """Return frames [B, 3, 3] turned by small rotation vectors [B, 3], rows orthonormal."""
    (tx, ty, tz), (x, y, z) = turn.T[..., None], np.moveaxis(axes, -1, 0)
    across = np.stack((ty * z - tz * y, tz * x - tx * z, tx * y - ty * x), axis=-1)  # np.cross takes longer
    return closest_rotation(axes + across)[0]


def _from_triples(segments: Segments, triples: NDArray[np.int64]) -> Floats:
    plane = unit(segments.plane)
    first = np.cross(plane[triples[:, 0]], plane[triples[:, 1]])
    size = np.linalg.norm(first, axis=1)
    good = size > _LEAST_SINE
    first = first[good] / size[good, None]
    second = np.cross(first, plane[triples[good, 2]])
    size = np.linalg.norm(second, axis=1)
    good = size > _LEAST_SINE
    first, second = first[good], second[good] / size[good, None]
    return np.stack((first, second, np.cross(first, second)), axis=1)
