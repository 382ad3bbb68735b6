"""How sure the fit is of each joint: marginal covariances of the Gauss-Newton normal matrix at the optimum.

The normal matrix is the posterior precision up to the noise of the evidence, which is measured from the residuals of
the 2D term. Errors of a detector are alike in neighbouring frames; `correlated_frames` says over how many, and widens
the result accordingly.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmpfit.fitting.linearize import RIGID, SHAPE, linearize
from hmpfit.fitting.pose_field import WindowJacobian
from hmpfit.fitting.problem import Problem
from hmpfit.fitting.solvers.arrow import ArrowFactor, Segments, factor
from hmpfit.fitting.solvers.gauss_newton import segments_of
from hmpfit.fitting.term import Motion
from hmpfit.hands.kinematics import landmark_jacobian

DAMPING = 1e-6


def joint_std_mm(problem: Problem, motion: Motion, correlated_frames: float = 1.0) -> NDArray[np.float64]:
    """Return the standard deviation of each joint's place, [B, T, 21] in mm: the root of its covariance's trace.

    Camera-frame positions, so the uncertain distance to the camera is part of it. Linear in the number of frames, and
    the large derivatives are held for one window at a time.
    """
    motion = problem.motion(motion)
    blocks = linearize(problem, motion)
    segments = segments_of(problem, motion)
    solved = factor(blocks, segments, motion.transl.new_full((motion.transl.shape[0],), DAMPING))
    del blocks
    parts = zip(solved.outer_covariances(), _derivatives(problem, motion, segments), strict=True)
    variances = [_segment(solved, s, outer, *by) for s, (outer, by) in enumerate(parts)]
    variance = torch.cat(variances, dim=1).unflatten(-1, (21, 3)).sum(-1)
    scale = noise_scale(problem, motion) * correlated_frames
    return (1000 * (variance * scale[:, None, None]).clamp_min(0).sqrt()).cpu().numpy()


def noise_scale(problem: Problem, motion: Motion) -> Tensor:
    """Return the variance that a residual of unit weight has, [B], measured on the 2D term (1 where there is none)."""
    one = motion.betas.new_ones(motion.betas.shape[0])
    for item in problem.terms:
        if item.term.name == "keypoints_2d":
            residual = item.term.residuals(motion, problem.points(motion), problem.evidence, item.options)
            squared = (residual.values**2).sum(-1)
            weight = residual.confidence * item.kernel.weight(squared)
            total = weight.sum((1, 2))
            variance = (weight * squared).sum((1, 2)) / (2 * total).clamp_min(1e-9)
            return torch.where(total > 0, problem.scale(item, residual) * variance, one)
    return one


def _derivatives(problem: Problem, motion: Motion, segments: Segments) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield for one segment after the other, n frames long, what its points depend on.

    d points by the frame's own unknowns [B, n, 63, F], by the own and the previous latent [B, n, 2, 63, L], by the
    shape [B, n, 63, 10].
    """
    field = problem.field if "latent" in problem.free else None
    latent = motion.latent if field is not None else None
    size = 0 if latent is None else latent.shape[-1]
    if field is not None and latent is not None:
        six, jacobians = field.decode_with_jacobian(latent)
        to_pose = field.blend_jacobian(six)
    before: WindowJacobian | None = None
    for s, (a, z) in enumerate(segments):
        _, d_points = landmark_jacobian(
            problem.kinematics, motion.global_R[:, a:z], motion.hand_R[:, a:z], motion.betas[:, None],
            motion.transl[:, a:z],
        )  # fmt: skip
        by_points = d_points.flatten(2, 3)
        rigid, pose = by_points[..., :RIGID], by_points[..., RIGID + SHAPE :]
        by_latent = pose.new_zeros(*pose.shape[:2], 2, 63, size)
        if field is not None and latent is not None:
            own, share = jacobians[s], field.layout.share[a:z, 0, None, None]
            by_latent[:, :, 0] = _by_latent(own, slice(0, z - a), pose, to_pose[:, a:z]) * share
            if before is not None and (shared := field.layout.windows[s - 1][1] - a) > 0:
                start = a - segments[s - 1][0]
                rows = _by_latent(before, slice(start, start + shared), pose[:, :shared], to_pose[:, a : a + shared])
                by_latent[:, :shared, 1] = rows * field.layout.share[a : a + shared, 1, None, None]
            before = own
        by_frame = torch.cat((rigid, pose), dim=-1) if "hand_pose" in problem.free else rigid
        yield by_frame, by_latent, by_points[..., RIGID : RIGID + SHAPE]


def _by_latent(jacobian: WindowJacobian, frames: slice, pose: Tensor, to_pose: Tensor) -> Tensor:
    """Chain d points by pose [B, n, 63, 45] with some of a window's frames, [B, n, 63, L]."""
    by_code = jacobian.by_code[:, frames].unflatten(2, (15, 6))
    return jacobian.lift(pose @ (to_pose @ by_code).flatten(2, 3), frames)


def _segment(
    solved: ArrowFactor, s: int, outer: Tensor, by_frame: Tensor, by_latent: Tensor, by_betas: Tensor
) -> Tensor:
    """Return the variances [B, n, 63] of one segment's points."""
    a, z = solved.segments[s]
    width, size = solved.width, solved.latent_size
    m, n = width + size, z - a
    b = by_frame.shape[0]
    to_outer = by_frame.new_zeros(b, n, 63, outer.shape[-1])
    to_outer[..., width:m] = by_latent[:, :, 1]
    to_outer[..., m + width : 2 * m] = by_latent[:, :, 0]
    to_outer[..., 2 * m :] = by_betas
    to_outer[:, -1, :, m : m + width] = by_frame[:, -1]
    own = by_frame.new_zeros(b, n, 63)
    if n > 1:
        item = solved.eliminated[s]
        inverse = torch.cholesky_inverse(item.factor).unflatten(-1, (n - 1, width)).unflatten(-3, (n - 1, width))
        diagonal = torch.diagonal(inverse, dim1=1, dim2=3).permute(0, 3, 1, 2)
        inner = by_frame[:, :-1]
        own[:, :-1] = ((inner @ diagonal) * inner).sum(-1)
        response = item.response[..., :-1].unflatten(1, (n - 1, width))
        to_outer[:, :-1] -= inner @ response
    return own + ((to_outer @ outer[:, None]) * to_outer).sum(-1)
