"""Uncertainty of each joint: marginal covariances of the Gauss-Newton normal matrix at the optimum.

The normal matrix is the posterior precision up to the noise of the evidence, which is measured from the residuals of
the 2D term. Errors of a detector are alike in neighboring frames; `correlated_frames` says over how many, and widens
the result accordingly.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmpfit.fitting.normal_equations.arrowhead import ArrowheadFactor, factor
from hmpfit.fitting.normal_equations.blocks import lift
from hmpfit.fitting.normal_equations.elimination import Segmentation
from hmpfit.fitting.normal_equations.linearize import POSE, RIGID, SHAPE, linearize
from hmpfit.fitting.problem import Problem
from hmpfit.fitting.solvers.gauss_newton import segmentation_of
from hmpfit.fitting.solvers.history import take_rows
from hmpfit.hands.kinematics import landmark_jacobian
from hmpfit.interfaces.term import Motion, cast
from hmpfit.process_copies import Send, side_by_side

DAMPING = 1e-6
_HANDS_AT_ONCE = {"cpu": 1, "cuda": 65536}  # hands processed together: few enough to stay in a CPU's cache
_FRAMES = 32  # of one hand, likewise
_TILE = 96  # columns of a symmetric matrix that are multiplied at a time


def joint_std_mm(problem: Problem, motion: Motion, correlated_frames: float = 1.0) -> NDArray[np.float64]:
    """Return the standard deviation of each joint's place, [B, T, 21] in mm: the root of its covariance's trace.

    Camera-frame positions, so the uncertain distance to the camera is part of it. Linear in the number of frames.
    Derivatives and matrices have the dtype that the solver's have, unless they are not positive definite in it.
    """
    motion = problem.motion(motion)
    cut = segmentation_of(problem, motion)
    solved = _factored(problem, motion, cut, problem.low)
    low = problem.low if solved.corner.dtype == problem.low.kinematics.joints.dtype else problem
    moved = low.motion(cast(motion, low.kinematics.joints.dtype))
    half = -(-len(cut.segments) // 2)
    halves = [segments for segments in (range(half), range(half, len(cut.segments))) if segments]
    parts = side_by_side([partial(_variances, solved, low, moved, segments) for segments in halves])
    scale = (noise_scale(problem, motion) * correlated_frames).cpu().numpy()
    variance: NDArray[np.float64] = np.concatenate(parts, axis=1) * scale[:, None, None]
    return 1000 * np.sqrt(variance.clip(0))


def _variances(
    solved: ArrowheadFactor, problem: Problem, motion: Motion, segments: range, send: Send
) -> NDArray[np.floating]:
    """Return the variances of the points' places in some consecutive segments, [B, n, 21] square meters."""
    cut, start = solved.cut, solved.cut.segments[segments[0]][0]
    variance = motion.transl.new_zeros(len(motion.transl), cut.segments[segments[-1]][1] - start, 21)
    every = torch.arange(len(variance), device=variance.device)
    # On a CPU a hand at a time stays in the cache; a GPU wants them all.
    groups = [
        (rows, _point_jacobians(problem.rows(rows), take_rows(motion, rows), cut, segments))
        for rows in every.split(_HANDS_AT_ONCE[every.device.type])
    ]
    order = reversed(range(len(cut.segments)))  # as the chain's covariances come; nothing of a segment is kept
    for s, outer in zip(order, solved.outer_covariances()):
        if s not in segments:
            continue
        inner = _Inner.of(solved, s)
        first, last = cut.segments[s]
        for rows, jacobians in groups:
            inner_rows = None if inner is None else inner.rows(rows)
            found = _segment(solved, inner_rows, outer[rows], next(jacobians), alone=s == 0)
            variance[rows, first - start : last - start] = found.unflatten(-1, (21, 3)).sum(-1)
    return variance.cpu().numpy()


def _factored(problem: Problem, motion: Motion, cut: Segmentation, work: Problem) -> ArrowheadFactor:
    """Factor the normal matrix in the dtype of `work`; in the problem's own where that fails."""
    damping = motion.transl.new_full((motion.transl.shape[0],), DAMPING)
    solved = factor(linearize(problem, motion, work), cut, damping)
    if work is problem or bool(solved.ok.all()):
        return solved
    return _factored(problem, motion, cut, problem)


def noise_scale(problem: Problem, motion: Motion) -> Tensor:
    """Return the variance that a residual of unit weight has, [B], measured on the 2D term (1 where there is none)."""
    one = motion.betas.new_ones(motion.betas.shape[0])
    for item in problem.terms:
        if item.term.name == "keypoints_2d":
            residual = item.term.residuals(motion, problem.points(motion), problem.evidence, item.options)
            squared = (residual.values**2).sum(-1)
            weight = residual.confidence * item.kernel.weight(squared)
            total = weight.sum((1, 2))
            scaled = problem.scale(item, residual) * weight * squared
            return torch.where(total > 0, scaled.sum((1, 2)) / (2 * total).clamp_min(1e-9), one)
    return one


@dataclass(frozen=True)
class _PointJacobian:
    """How the points of a segment's n frames move with the unknowns."""

    by_frame: Tensor  # [B, n, 63, F]
    by_latent: Tensor  # [B, n, 1 or 2, 63, L] of the own and, where there is one, of the previous window
    by_betas: Tensor  # [B, n, 63, 10]


def _point_jacobians(problem: Problem, motion: Motion, cut: Segmentation, segments: range) -> Iterator[_PointJacobian]:
    """Yield how points move in some segments, from the last to the first."""
    field, latent, rot6d = problem.field, motion.latent, motion.rot6d
    free_latent = "latent" in problem.free and field is not None and latent is not None
    own: tuple[Tensor, Tensor | None] | None = None  # how the window of the segment decodes
    for s in reversed(segments):
        a, z = cut.segments[s]
        _, d_points = landmark_jacobian(
            problem.kinematics, motion.global_R[:, a:z], motion.hand_R[:, a:z], motion.betas[:, None],
            motion.transl[:, a:z],
        )  # fmt: skip
        rigid, betas, pose = d_points.flatten(2, 3).split((RIGID, SHAPE, POSE), dim=-1)
        if "hand_pose" in problem.free:
            rigid = torch.cat((rigid, pose), dim=-1)
        if not free_latent:
            yield _PointJacobian(rigid, pose.new_zeros(*pose.shape[:2], 2, 63, 0), betas)
            continue
        assert field is not None and latent is not None and rot6d is not None
        by_latent = pose.new_empty(len(pose), z - a, 2 if s else 1, 63, latent.shape[-1])
        by_pose = field.blend_jacobian(rot6d[:, a:z], a)
        code, path = own or field.window_jacobian(latent, s)
        _chain(by_latent[:, :, 0], pose, by_pose, field.layout.share[a:z, 0], code, path)
        if s:
            first, reach = field.layout.segments[s - 1][0], field.layout.windows[s - 1][1]
            code, path = own = field.window_jacobian(latent, s - 1)
            after = slice(a - first, reach - first)
            path = None if path is None else path[after]
            by_latent[:, reach - a :, 1] = 0
            _chain(by_latent[:, : reach - a, 1], pose, by_pose, field.layout.share[a:z, 1], code[:, after], path)
        yield _PointJacobian(rigid, by_latent, betas)


def _chain(out: Tensor, by_pose: Tensor, to_pose: Tensor, share: Tensor, code: Tensor, path: Tensor | None) -> None:
    """Write the derivatives [B, n, 63, L] of points by a window's latent for the first n frames of a segment."""
    n = out.shape[1]
    d_pose = (to_pose[:, :n] @ code[:, :n].unflatten(2, (15, 6))).flatten(2, 3) * share[:n, None, None]
    by_code = by_pose[:, :n] @ d_pose
    if path is None:
        out[:] = by_code
    else:
        lift(out, by_code, path[:n])


@dataclass(frozen=True)
class _Inner:
    """The factor's part for the inner frames of one segment, in the sweep's order of positions."""

    response: Tensor  # [B, P, F, 2m + 10] inner block inverse times its coupling to (previous, current, shape)
    diagonal: Tensor  # [B, P, F, F] the frames' own blocks of that inverse

    def rows(self, rows: Tensor) -> "_Inner":
        """Return inner_rows problems of a batch."""
        return _Inner(self.response[rows], self.diagonal[rows])

    @staticmethod
    def of(solved: ArrowheadFactor, s: int) -> "_Inner | None":
        eliminated, width = solved.eliminated(s), solved.width
        if eliminated is None:
            return None
        blocks = eliminated.inner.diagonal().unflatten(-1, (-1, width)).unflatten(-3, (-1, width))
        diagonal = torch.diagonal(blocks, dim1=3, dim2=5).movedim(-1, 3)
        response = eliminated.inner.back(eliminated.widened()).unflatten(3, (-1, width))
        return _Inner(response[:, 0].flatten(1, 2), diagonal[:, 0].flatten(1, 2))


def _segment(
    solved: ArrowheadFactor, inner: _Inner | None, outer: Tensor, jacobian: _PointJacobian, alone: bool
) -> Tensor:
    """Return the variances [B, n, 63] of one segment's points; `alone` where no segment lies before it."""
    width, m = solved.width, solved.diagonal[0].shape[-1]
    b, n = jacobian.by_frame.shape[:2]
    skip = m if alone else 0  # columns of the segment before
    outer = outer[:, skip:, skip:]
    to_outer = outer.new_empty(b, n, 63, outer.shape[-1])
    to_outer[..., m - skip : m - skip + width] = 0
    if not alone:
        to_outer[..., :width] = 0
        to_outer[..., width:m] = jacobian.by_latent[:, :, 1]
    to_outer[..., m + width - skip : 2 * m - skip] = jacobian.by_latent[:, :, 0]
    to_outer[..., 2 * m - skip :] = jacobian.by_betas
    to_outer[:, -1, :, m - skip : m - skip + width] = jacobian.by_frame[:, -1]
    own = outer.new_zeros(b, n, 63)
    if inner is not None and n > 1:
        frames = jacobian.by_frame[:, :-1]
        response, diagonal = (part[:, part.shape[1] - n + 1 :].flip(1) for part in (inner.response, inner.diagonal))
        own[:, :-1] = ((frames @ diagonal) * frames).sum(-1)
        for row in range(b):
            to_outer[row, :-1].baddbmm_(frames[row], response[row, ..., skip:], alpha=-1)
    # Frames as further rows of one product: beside a frame's own axis the covariance would be copied for each.
    parts = (
        quadratic_form(part.flatten(1, 2), outer).unflatten(1, (-1, 63))
        for part in to_outer.split(max(_FRAMES // b, 1), 1)
    )
    return own + torch.cat(list(parts), dim=1)


def quadratic_form(rows: Tensor, matrix: Tensor) -> Tensor:
    """Return r' M r of rows [B, N, m] and symmetric matrices [B, m, m], [B, N]; only half of M is multiplied."""
    total = rows.new_zeros(rows.shape[:2])
    for first in range(0, rows.shape[-1], _TILE):
        here = slice(first, first + _TILE)
        columns = matrix[:, : here.stop, here].clone()
        columns[:, :first] *= 2  # for the same numbers on the other side of the diagonal
        total += ((rows[..., : here.stop] @ columns) * rows[..., here]).sum(-1)
    return total
