"""Second-order model of a problem at a motion: the blocks of J'WJ and J'Wr, never a whole matrix.

Each term is differentiated by forward mode over the few numbers that it says it reads; the chain to the unknowns is
the hand's analytic Jacobian and the decoder's. Per frame a block over (rotation, translation[, pose]), chained to the
next frame; bordered by the latents of the frame's own and previous window and by the shape.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hmpfit.fitting.contacts import contact_jacobian
from hmpfit.fitting.pose_field import WindowJacobian
from hmpfit.fitting.problem import Problem, WeightedTerm
from hmpfit.fitting.term import Motion, Residual
from hmpfit.geometry import rotations
from hmpfit.hands.kinematics import landmark_jacobian

RIGID, SHAPE, POSE = 6, 10, 45


@dataclass(frozen=True)
class Blocks:
    """Blocks of the normal equations. F = 6, or 51 where finger poses are free; L = 0 where no latent is free.

    `frame` [B,T,F,F], `next` [B,T-1,F,F] (frame t rows, frame t+1 columns), `frame_betas` [B,T,F,10],
    `frame_latent` [B,T,2,F,L], `betas` [B,10,10], `latent` [B,W,L,L], `latent_previous` [B,W,L,L] (window w rows,
    window w-1 columns), `latent_betas` [B,W,L,10]; gradients `g_frame` [B,T,F], `g_betas` [B,10], `g_latent` [B,W,L].
    """

    frame: Tensor
    next: Tensor
    frame_betas: Tensor
    frame_latent: Tensor
    betas: Tensor
    latent: Tensor
    latent_previous: Tensor
    latent_betas: Tensor
    g_frame: Tensor
    g_betas: Tensor
    g_latent: Tensor


def linearize(problem: Problem, motion: Motion) -> Blocks:
    """Return the blocks of the Gauss-Newton model at `motion`, robust kernels taken as weights (IRLS)."""
    free_pose, free_latent = "hand_pose" in problem.free, "latent" in problem.free
    field = problem.field if free_latent else None
    d_six = None
    if field is not None:
        assert motion.latent is not None
        six, d_six = field.decode_with_jacobian(motion.latent)
        motion = replace(motion, six=six, hand_R=field.blend(six))
    points, d_points = landmark_jacobian(
        problem.kinematics, motion.global_R, motion.hand_R, motion.betas[:, None], motion.transl
    )
    sums = _LocalSums(motion, free_pose)
    for item in problem.terms:
        _ADD[item.term.reads](sums, problem, item, motion, points, d_points)
    return _assemble(problem, motion, sums, d_six)


class _LocalSums:
    """Accumulates J'WJ and J'Wr over each frame's (rotation 3, translation 3, shape 10, pose 45), steps and latents."""

    def __init__(self, motion: Motion, free_pose: bool) -> None:
        b, t = motion.transl.shape[:2]
        new = motion.transl.new_zeros
        local = RIGID + SHAPE + POSE
        self.size = RIGID + POSE if free_pose else RIGID
        self.local, self.g_local = new(b, t, local, local), new(b, t, local)
        self.first, self.second = new(b, t - 1, self.size, self.size), new(b, t - 1, self.size, self.size)
        self.cross = new(b, t - 1, self.size, self.size)
        self.g_first, self.g_second = new(b, t - 1, self.size), new(b, t - 1, self.size)
        self.betas, self.g_betas = new(b, SHAPE, SHAPE), new(b, SHAPE)
        latent = motion.latent if motion.latent is not None else new(b, 0, 0)
        self.latent_diagonal, self.g_latent = torch.zeros_like(latent), torch.zeros_like(latent)
        self.overlap, self.g_overlap = new(b, t, 90), new(b, t, 90)

    def add_local(self, jacobian: Tensor, residual: Tensor, columns: slice) -> None:
        """Add weighted rows: jacobian [B, T, R, C] of `columns`, residual [B, T, R]."""
        self.local[..., columns, columns] += jacobian.mT @ jacobian
        self.g_local[..., columns] += (jacobian.mT @ residual[..., None])[..., 0]


def _weighted(problem: Problem, item: WeightedTerm, residual: Residual) -> tuple[Tensor, Tensor]:
    """Return sqrt of (scale x confidence x kernel weight), [B, N, G, 1], and the residual times it."""
    squared = (residual.values**2).sum(-1)
    weight = problem.scale(item, residual) * residual.confidence * item.kernel.weight(squared)
    root = weight.clamp_min(0).sqrt()[..., None]
    return root, residual.values * root


def _tangents(function: Callable[[Tensor], Tensor], at: Tensor, directions: Tensor) -> Tensor:
    """Push each direction [C, ...] through `function` at `at`, derivatives stacked on the last axis."""

    def push(direction: Tensor) -> Tensor:
        return torch.func.jvp(function, (at,), (direction.expand_as(at),))[1]

    return torch.func.vmap(push, out_dims=-1)(directions)


def _add_point(
    sums: _LocalSums, problem: Problem, item: WeightedTerm, motion: Motion, points: Tensor, d_points: Tensor
) -> None:
    residual = item.term.residuals(motion, points, problem.evidence, item.options)
    root, weighted = _weighted(problem, item, residual)
    eye = torch.eye(3, dtype=points.dtype, device=points.device)
    by_point = _tangents(lambda p: item.term.residuals(motion, p, problem.evidence, item.options).values, points, eye)
    rows = (root[..., None] * by_point) @ d_points
    sums.add_local(rows.flatten(2, 3), weighted.flatten(2), slice(None))


def _add_points(
    sums: _LocalSums, problem: Problem, item: WeightedTerm, motion: Motion, points: Tensor, d_points: Tensor
) -> None:
    residual = item.term.residuals(motion, points, problem.evidence, item.options)
    root, weighted = _weighted(problem, item, residual)
    eye = torch.eye(63, dtype=points.dtype, device=points.device).unflatten(-1, (21, 3))
    by_points = _tangents(lambda p: item.term.residuals(motion, p, problem.evidence, item.options).values, points, eye)
    rows = (root[..., None] * by_points).flatten(2, 3) @ d_points.flatten(2, 3)
    sums.add_local(rows, weighted.flatten(2), slice(None))


def _add_contact(
    sums: _LocalSums, problem: Problem, item: WeightedTerm, motion: Motion, points: Tensor, d_points: Tensor
) -> None:
    """Chain a residual along the planes' normals; vertices behind their plane have none."""
    evidence = problem.evidence
    if evidence.contact_joint is None or evidence.contact_normal is None:
        return
    residual = item.term.residuals(motion, points, evidence, item.options)
    root, weighted = _weighted(problem, item, residual)
    by_vertex = contact_jacobian(motion, points, d_points, evidence)
    rows = -2 * (evidence.contact_normal[..., None, :] @ by_vertex)[..., 0, :] * (residual.values > 0)
    sums.add_local(root * rows, weighted.flatten(2), slice(None))


def _moved(motion: Motion, d: Tensor) -> Motion:
    """Turn and move every frame by d [B, T, 6 or 51] (rotation left, translation, pose right)."""
    turned = rotations.exp(d[..., :3]) @ motion.global_R
    moved = replace(motion, global_R=turned, transl=motion.transl + d[..., 3:6])
    if d.shape[-1] > RIGID:
        moved = replace(moved, hand_R=motion.hand_R @ rotations.exp(d[..., 6:].unflatten(-1, (15, 3))))
    return moved


def _add_frame(
    sums: _LocalSums, problem: Problem, item: WeightedTerm, motion: Motion, points: Tensor, d_points: Tensor
) -> None:
    residual = item.term.residuals(motion, points, problem.evidence, item.options)
    root, weighted = _weighted(problem, item, residual)
    at = motion.transl.new_zeros(*motion.transl.shape[:2], RIGID + POSE)
    rows = root[..., None] * _tangents(
        lambda d: item.term.residuals(_moved(motion, d), points, problem.evidence, item.options).values,
        at,
        torch.eye(RIGID + POSE, dtype=at.dtype, device=at.device),
    )
    columns = torch.cat((torch.arange(RIGID), torch.arange(RIGID + SHAPE, RIGID + SHAPE + POSE)))
    full = rows.new_zeros(*rows.shape[:-1], RIGID + SHAPE + POSE)
    full[..., columns] = rows
    sums.add_local(full.flatten(2, 3), weighted.flatten(2), slice(None))


def _add_step(
    sums: _LocalSums, problem: Problem, item: WeightedTerm, motion: Motion, points: Tensor, d_points: Tensor
) -> None:
    """Differentiate by both frames of each step at once: even frames move first, then odd ones."""
    frames = motion.transl.shape[1]
    if frames < 2:
        return
    residual = item.term.residuals(motion, points, problem.evidence, item.options)
    root, weighted = _weighted(problem, item, residual)
    at = motion.transl.new_zeros(*motion.transl.shape[:2], sums.size)
    eye = torch.eye(sums.size, dtype=at.dtype, device=at.device)[:, None, :]
    even = (torch.arange(frames, device=at.device) % 2 == 0).to(at.dtype)[:, None]

    def values(d: Tensor) -> Tensor:
        return item.term.residuals(_moved(motion, d), points, problem.evidence, item.options).values

    by_even = _tangents(values, at, eye * even)
    by_odd = _tangents(values, at, eye * (1 - even))
    starts_even = even[:-1, None, None]
    first = (root[..., None] * torch.where(starts_even > 0, by_even, by_odd)).flatten(2, 3)
    second = (root[..., None] * torch.where(starts_even > 0, by_odd, by_even)).flatten(2, 3)
    r = weighted.flatten(2)[..., None]
    sums.first += first.mT @ first
    sums.second += second.mT @ second
    sums.cross += first.mT @ second
    sums.g_first += (first.mT @ r)[..., 0]
    sums.g_second += (second.mT @ r)[..., 0]


def _add_betas(
    sums: _LocalSums, problem: Problem, item: WeightedTerm, motion: Motion, points: Tensor, d_points: Tensor
) -> None:
    residual = item.term.residuals(motion, points, problem.evidence, item.options)
    root, weighted = _weighted(problem, item, residual)
    eye = torch.eye(SHAPE, dtype=points.dtype, device=points.device)
    rows = root[..., None] * _tangents(
        lambda b: item.term.residuals(replace(motion, betas=b), points, problem.evidence, item.options).values,
        motion.betas,
        eye,
    )
    rows = rows.flatten(1, 3)
    sums.betas += rows.mT @ rows
    sums.g_betas += (rows.mT @ weighted.flatten(1)[..., None])[..., 0]


def _add_latent(
    sums: _LocalSums, problem: Problem, item: WeightedTerm, motion: Motion, points: Tensor, d_points: Tensor
) -> None:
    assert motion.latent is not None
    residual = item.term.residuals(motion, points, problem.evidence, item.options)
    root, weighted = _weighted(problem, item, residual)
    slope = (
        root
        * torch.func.jvp(
            lambda z: item.term.residuals(replace(motion, latent=z), points, problem.evidence, item.options).values,
            (motion.latent,),
            (torch.ones_like(motion.latent),),
        )[1]
    )
    sums.latent_diagonal += (slope**2).sum(-1)
    sums.g_latent += (slope * weighted).sum(-1)


def _add_overlap(
    sums: _LocalSums, problem: Problem, item: WeightedTerm, motion: Motion, points: Tensor, d_points: Tensor
) -> None:
    residual = item.term.residuals(motion, points, problem.evidence, item.options)
    root, weighted = _weighted(problem, item, residual)
    sums.overlap += (root**2)[..., 0]
    sums.g_overlap += (root * weighted)[..., 0]


_ADD = {
    "point": _add_point,
    "points": _add_points,
    "contact": _add_contact,
    "frame": _add_frame,
    "step": _add_step,
    "betas": _add_betas,
    "latent": _add_latent,
    "overlap": _add_overlap,
}


def _assemble(problem: Problem, motion: Motion, sums: _LocalSums, d_six: Sequence[WindowJacobian] | None) -> Blocks:
    rigid, shape, pose = slice(0, RIGID), slice(RIGID, RIGID + SHAPE), slice(RIGID + SHAPE, None)
    own_columns = torch.arange(RIGID)
    if sums.size > RIGID:
        own_columns = torch.cat((own_columns, torch.arange(RIGID + SHAPE, RIGID + SHAPE + POSE)))
    frame = sums.local[..., own_columns, :][..., own_columns].clone()
    g_frame = sums.g_local[..., own_columns].clone()
    frame[:, :-1] += sums.first
    frame[:, 1:] += sums.second
    g_frame[:, :-1] += sums.g_first
    g_frame[:, 1:] += sums.g_second
    betas = sums.betas + sums.local[..., shape, shape].sum(1)
    g_betas = sums.g_betas + sums.g_local[..., shape].sum(1)
    frame_betas = sums.local[..., own_columns, :][..., shape]
    b, t = frame.shape[:2]
    if d_six is None or problem.field is None:
        empty = frame.new_zeros
        return Blocks(
            frame, sums.cross, frame_betas, empty(b, t, 2, sums.size, 0), betas, empty(b, 1, 0, 0), empty(b, 1, 0, 0),
            empty(b, 1, 0, SHAPE), g_frame, g_betas, empty(b, 1, 0),
        )  # fmt: skip
    assert motion.six is not None
    field, windows = problem.field, problem.field.layout.windows
    assert motion.latent is not None
    size = motion.latent.shape[-1]
    to_pose = field.blend_jacobian(motion.six)
    frame_latent = frame.new_zeros(b, t, 2, sums.size, size)
    latent = torch.diag_embed(sums.latent_diagonal)
    latent_previous = torch.zeros_like(latent)
    latent_betas = latent.new_zeros(*latent.shape[:-1], SHAPE)
    g_latent = sums.g_latent.clone()
    last: tuple[WindowJacobian, Tensor, int] | None = None
    for w, (start, stop) in enumerate(windows):
        end = field.layout.segments[w][1]
        covered, own = slice(start, stop), end - start
        jacobian = d_six[w]
        code = jacobian.by_code
        d_pose = (to_pose[:, covered] @ code.unflatten(2, (15, 6))).flatten(2, 3)
        d_pose = d_pose * field.share_of(w)[:, None, None]
        weighted = sums.local[:, covered, pose, pose] @ d_pose
        before = 0 if last is None else windows[w - 1][1] - start
        pull, sign = _overlaps(sums.overlap[:, covered], before, own)
        pulled = pull[..., None] * code
        latent[:, w] += _gram(jacobian, d_pose, weighted, code, pulled)
        by_shape = sums.local[:, covered, shape, pose] @ d_pose
        latent_betas[:, w] += jacobian.lift(by_shape).sum(1).mT
        push = sums.g_local[:, covered, None, pose] @ d_pose
        push = push + (sign * sums.g_overlap[:, covered])[:, :, None] @ code
        g_latent[:, w] += jacobian.lift(push).sum((1, 2))
        by_frame = jacobian.lift(sums.local[:, covered, rigid, pose] @ d_pose)
        frame_latent[:, start:end, 0] = by_frame[:, :own]
        frame_latent[:, end:stop, 1] = by_frame[:, own:]
        if last is not None and before:
            old, old_pose, skip = last
            here, there = slice(0, before), slice(skip, None)
            rows = weighted[:, here].mT @ old_pose[:, there] - pulled[:, here].mT @ old.by_code[:, there]
            rows = old.lift(rows, there)
            left = rows if jacobian.path is None else jacobian.path[here].mT @ rows
            latent_previous[:, w] += left.sum(1)
        last = (jacobian, d_pose, own)
    return Blocks(
        frame, sums.cross, frame_betas, frame_latent, betas, latent, latent_previous, latent_betas,
        g_frame, g_betas, g_latent,
    )  # fmt: skip


def _overlaps(weight: Tensor, before: int, own: int) -> tuple[Tensor, Tensor]:
    """Return the overlap term's weights [B, n, 90] where a window meets a neighbour, and the residual's sign [n, 1].

    A window is the first of the two decodings at its beginning (+) and the second at its end (-).
    """
    sign = weight.new_zeros(weight.shape[1], 1)
    sign[:before] = 1
    sign[own:] = -1
    return weight * sign.abs(), sign


def _gram(jacobian: WindowJacobian, d_pose: Tensor, weighted: Tensor, code: Tensor, pulled: Tensor) -> Tensor:
    """Return the sum over frames of d_pose' weighted + code' pulled, by the latent, [B, L, L]."""
    if jacobian.path is None:
        return d_pose.flatten(1, 2).mT @ weighted.flatten(1, 2) + code.flatten(1, 2).mT @ pulled.flatten(1, 2)
    middle = d_pose.mT @ weighted + code.mT @ pulled
    flat = jacobian.path.flatten(0, 1)
    return flat.T @ (middle @ jacobian.path).flatten(1, 2)
