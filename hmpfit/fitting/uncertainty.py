"""How sure the fit is of each joint: marginal covariances of the Gauss-Newton normal matrix at the optimum.

The normal matrix is the posterior precision up to the noise of the evidence, which is measured from the residuals of
the 2D term. Errors of a detector are alike in neighbouring frames; `correlated_frames` says over how many, and widens
the result accordingly.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hmpfit.fitting.linearize import RIGID, SHAPE, linearize
from hmpfit.fitting.problem import Problem
from hmpfit.fitting.solvers.arrow import ArrowFactor, factor
from hmpfit.fitting.solvers.gauss_newton import segments_of
from hmpfit.fitting.term import Motion
from hmpfit.hands.kinematics import landmark_jacobian

DAMPING = 1e-6


def joint_std_mm(problem: Problem, motion: Motion, correlated_frames: float = 1.0) -> NDArray[np.float64]:
    """Return the standard deviation of each joint's place, [B, T, 21] in mm: the root of its covariance's trace.

    Camera-frame positions, so the uncertain distance to the camera is part of it. Linear in the number of frames.
    """
    motion = problem.motion(motion)
    blocks = linearize(problem, motion)
    segments = segments_of(problem, motion)
    solved = factor(blocks, segments, motion.transl.new_full((motion.transl.shape[0],), DAMPING))
    _, d_points = landmark_jacobian(
        problem.kinematics, motion.global_R, motion.hand_R, motion.betas[:, None], motion.transl
    )
    by_frame, by_latent = _chain(problem, motion, d_points)
    by_betas = d_points[..., RIGID : RIGID + SHAPE].flatten(2, 3)
    variances = []
    for s, outer in enumerate(solved.outer_covariances()):
        variances.append(_segment(solved, s, outer, by_frame, by_latent, by_betas))
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


def _chain(problem: Problem, motion: Motion, d_points: Tensor) -> tuple[Tensor, Tensor]:
    """Return d points by the frame's own unknowns [B, T, 63, F] and by its two latents [B, T, 2, 63, L]."""
    rigid, pose = d_points[..., :RIGID].flatten(2, 3), d_points[..., RIGID + SHAPE :].flatten(2, 3)
    if "hand_pose" in problem.free:
        return torch.cat((rigid, pose), dim=-1), pose.new_zeros(*pose.shape[:2], 2, 63, 0)
    if "latent" not in problem.free or problem.field is None or motion.latent is None:
        return rigid, pose.new_zeros(*pose.shape[:2], 2, 63, 0)
    field = problem.field
    six, d_six = field.decode_with_jacobian(motion.latent)
    to_pose = field.blend_jacobian(six)
    by_latent = pose.new_zeros(*pose.shape[:2], 2, 63, motion.latent.shape[-1])
    for w, (start, stop) in enumerate(field.layout.windows):
        end = field.layout.segments[w][1]
        by_code = d_six[w].by_code.unflatten(2, (15, 6))
        d_pose = (to_pose[:, start:stop] @ by_code).flatten(2, 3) * field.share_of(w)[:, None, None]
        by_point = d_six[w].lift(pose[:, start:stop] @ d_pose)
        by_latent[:, start:end, 0] = by_point[:, : end - start]
        by_latent[:, end:stop, 1] = by_point[:, end - start :]
    return rigid, by_latent


def _segment(
    solved: ArrowFactor, s: int, outer: Tensor, by_frame: Tensor, by_latent: Tensor, by_betas: Tensor
) -> Tensor:
    """Return the variances [B, frames, 63] of one segment's points."""
    a, z = solved.segments[s]
    width, size = solved.width, solved.latent_size
    m, n = width + size, z - a
    b = by_frame.shape[0]
    to_outer = by_frame.new_zeros(b, n, 63, outer.shape[-1])
    to_outer[..., width:m] = by_latent[:, a:z, 1]
    to_outer[..., m + width : 2 * m] = by_latent[:, a:z, 0]
    to_outer[..., 2 * m :] = by_betas[:, a:z]
    to_outer[:, -1, :, m : m + width] = by_frame[:, z - 1]
    own = by_frame.new_zeros(b, n, 63)
    if n > 1:
        item = solved.eliminated[s]
        inverse = torch.cholesky_inverse(item.factor).unflatten(-1, (n - 1, width)).unflatten(-3, (n - 1, width))
        diagonal = torch.diagonal(inverse, dim1=1, dim2=3).permute(0, 3, 1, 2)
        inner = by_frame[:, a : z - 1]
        own[:, :-1] = ((inner @ diagonal) * inner).sum(-1)
        response = item.response[..., :-1].unflatten(1, (n - 1, width))
        to_outer[:, :-1] -= inner @ response
    return own + ((to_outer @ outer[:, None]) * to_outer).sum(-1)
