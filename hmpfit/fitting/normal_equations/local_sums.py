"""J'WJ and J'Wr of the terms over what each reads: a frame, a step between frames, the shape, a latent, an overlap.

Terms are differentiated by reverse mode, a few rows at once, by the few numbers that they say they read. Robust kernels
enter as weights (IRLS). Separate from `linearize.py`, which chains these sums to the unknowns.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hmpfit.fitting.normal_equations.light_autograd import pull_rows
from hmpfit.fitting.problem import Problem, WeightedTerm
from hmpfit.fitting.two_hands.contact_points import contact_jacobian
from hmpfit.geometry import rotations
from hmpfit.interfaces.term import Evidence, Motion

RIGID, SHAPE, POSE = 6, 10, 45
_NUMBERS = 2_400_000  # pulled at a time on the CPU: part hundred frames' worth, so that memory hardly grows with length


@dataclass(frozen=True)
class LinearizationPoint:
    """Where the terms are differentiated: residuals in the problem's dtype, derivatives in that of the sums.

    T frames of the clip that `problem` is about.
    """

    problem: Problem
    evidence: Evidence
    motion: Motion
    points: Tensor  # [B, T, 21, 3]
    low: Motion
    low_points: Tensor
    low_evidence: Evidence
    d_points: Tensor  # [B, T, 21, 3, 16 or 61]

    def weighted(self, item: WeightedTerm) -> tuple[Tensor, Tensor]:
        """Return sqrt of (scale x confidence x kernel weight), [B, N, G, 1], and the residual times it."""
        residual = item.term.residuals(self.motion, self.points, self.evidence, item.options)
        squared = (residual.values**2).sum(-1)
        confidence = self.problem.confidence(item, residual, self.evidence)
        weight = self.problem.scale(item, residual) * confidence * item.kernel.weight(squared)
        root = weight.clamp_min(0).sqrt()[..., None]
        return root.to(self.d_points), (residual.values * root).to(self.d_points)

    def slopes(
        self, item: WeightedTerm, change: Callable[[Tensor], tuple[Motion, Tensor]], at: Tensor,
        separate: Callable[[Tensor], Tensor],
    ) -> Tensor:  # fmt: skip
        """Return the derivatives of R sums over a term's residual values by `at`, [R, like `at`].

        `change` turns `at` into (motion, points). `separate` is given the values [B, N, G, D] and returns what
        multiplies them in each sum, [R, B, N, G, D]: values that read different numbers share a sum. Plain reverse
        mode, which threads can do side by side.
        """
        with torch.enable_grad():
            moved = at.detach().requires_grad_()
            values = item.term.residuals(*change(moved), self.low_evidence, item.options).values
        if not values.requires_grad:
            return at.new_zeros(len(separate(values)), *at.shape)
        sums = separate(values.detach())
        at_a_time = max(_NUMBERS // values.numel(), 1) if at.device.type == "cpu" else len(sums)
        parts = [pull_rows(values, moved, part) for part in sums.split(at_a_time)]
        return torch.cat(parts).to(self.d_points)


def _each_number(values: Tensor) -> Tensor:
    """Keep the G x D numbers of a frame separate, frames together."""
    group, size = values.shape[2:]
    eye = torch.eye(group * size, dtype=values.dtype, device=values.device)
    return eye.view(-1, 1, 1, group, size).expand(-1, *values.shape)


def _each_coordinate(values: Tensor) -> Tensor:
    """Keep the D numbers of a group separate, frames and groups together."""
    eye = torch.eye(values.shape[-1], dtype=values.dtype, device=values.device)
    return eye[:, None, None, None].expand(-1, *values.shape)


def _each_of_every_other(values: Tensor) -> Tensor:
    """Keep the numbers of a step separate, and a step from its neighbors: even steps first, then odd ones."""
    even = (torch.arange(values.shape[1], device=values.device) % 2 == 0).to(values.dtype)[:, None, None]
    each = _each_number(values)
    return torch.cat((each * even, each * (1 - even)))


class LocalSums:
    """Accumulates over each frame's (rotation 3, translation 3, shape 10[, pose 45]), steps, shape and latents.

    `size` unknowns a frame of its own: 6, or 51 where poses are free.
    """

    def __init__(self, at: LinearizationPoint, size: int) -> None:
        b, t = at.low.transl.shape[:2]
        new = at.low.transl.new_zeros
        local = at.d_points.shape[-1]
        self.size = size
        self.local, self.g_local = new(b, t, local, local), new(b, t, local)
        self.first, self.second = new(b, t - 1, size, size), new(b, t - 1, size, size)
        self.cross = new(b, t - 1, size, size)
        self.g_first, self.g_second = new(b, t - 1, size), new(b, t - 1, size)
        self.betas, self.g_betas = new(b, SHAPE, SHAPE), new(b, SHAPE)
        latent = at.low.latent if at.low.latent is not None else new(b, 0, 0)
        self.latent_diagonal, self.g_latent = torch.zeros_like(latent), torch.zeros_like(latent)
        self.overlap, self.g_overlap = new(b, t, 90), new(b, t, 90)

    def add(self, at: LinearizationPoint, item: WeightedTerm) -> None:
        """Add one term."""
        _ADD[item.term.depends_on](self, at, item)

    def add_rows(self, jacobian: Tensor, residual: Tensor) -> None:
        """Add weighted rows of every frame: jacobian [B, T, R, C], residual [B, T, R]."""
        flat = jacobian.flatten(0, 1)
        self.local.flatten(0, 1).baddbmm_(flat.mT, flat)
        self.g_local.flatten(0, 1)[..., None].baddbmm_(flat.mT, residual.flatten(0, 1)[..., None])


def _add_point(sums: LocalSums, at: LinearizationPoint, item: WeightedTerm) -> None:
    root, weighted = at.weighted(item)
    by_point = at.slopes(item, lambda p: (at.low, p), at.low_points, _each_coordinate).movedim(0, -2)
    slopes, d_points = root[..., None] * by_point, at.d_points[..., None, :, :]
    rows = slopes[..., :1] * d_points[..., 0, :]  # sums of three are slow as products of many small matrices
    for axis in (1, 2):
        rows.addcmul_(slopes[..., axis : axis + 1], d_points[..., axis, :])
    sums.add_rows(rows.flatten(2, 3), weighted.flatten(2))


def _add_points(sums: LocalSums, at: LinearizationPoint, item: WeightedTerm) -> None:
    root, weighted = at.weighted(item)
    by_points = at.slopes(item, lambda p: (at.low, p), at.low_points, _each_number).flatten(3).movedim(0, 2)
    rows = (root.expand_as(weighted).flatten(2)[..., None] * by_points) @ at.d_points.flatten(2, 3)
    sums.add_rows(rows, weighted.flatten(2))


def _add_contact(sums: LocalSums, at: LinearizationPoint, item: WeightedTerm) -> None:
    """Chain a residual along the planes' normals; vertices behind their plane have none."""
    evidence = at.low_evidence
    if evidence.contact_joint is None or evidence.contact_normal is None:
        return
    root, weighted = at.weighted(item)
    by_vertex = contact_jacobian(at.low, at.low_points, at.d_points, evidence)
    rows = -2 * (evidence.contact_normal[..., None, :] @ by_vertex)[..., 0, :] * (weighted != 0)
    sums.add_rows(root * rows, weighted.flatten(2))


def _moved(motion: Motion, d: Tensor) -> Motion:
    """Turn and move every frame by a very small d [B, T, 6 or 51] (rotation left, translation, pose right)."""
    turned = motion.global_R + rotations.hat(d[..., :3]) @ motion.global_R
    moved = replace(motion, global_R=turned, transl=motion.transl + d[..., 3:6])
    if d.shape[-1] > RIGID:
        bent = motion.hand_R @ rotations.hat(d[..., 6:].unflatten(-1, (15, 3)))
        moved = replace(moved, hand_R=motion.hand_R + bent)
    return moved


def _add_frame(sums: LocalSums, at: LinearizationPoint, item: WeightedTerm) -> None:
    root, weighted = at.weighted(item)
    full = sums.local.shape[-1]
    size = full - SHAPE
    if item.term.slopes is not None:
        by_frame = item.term.slopes(at.low, at.low_evidence, item.options)[..., :size]
    else:
        zero = at.low.transl.new_zeros(*at.low.transl.shape[:2], size)
        by_frame = at.slopes(item, lambda d: (_moved(at.low, d), at.low_points), zero, _each_number).movedim(0, 2)
    by_frame = root.expand_as(weighted).flatten(2)[..., None] * by_frame
    rows = by_frame.new_zeros(*by_frame.shape[:-1], full)
    rows[..., :RIGID], rows[..., RIGID + SHAPE :] = by_frame[..., :RIGID], by_frame[..., RIGID:]
    sums.add_rows(rows, weighted.flatten(2))


def _add_step(sums: LocalSums, at: LinearizationPoint, item: WeightedTerm) -> None:
    """Differentiate every other step at once: no frame then belongs to two of them."""
    frames = at.motion.transl.shape[1]
    if frames < 2:
        return
    root, weighted = at.weighted(item)
    zero = at.low.transl.new_zeros(*at.low.transl.shape[:2], sums.size)
    both = at.slopes(item, lambda d: (_moved(at.low, d), at.low_points), zero, _each_of_every_other)
    by_even, by_odd = both.movedim(0, 2).chunk(2, dim=2)
    even = (torch.arange(frames - 1, device=zero.device) % 2 == 0)[:, None, None]
    root = root.expand_as(weighted).flatten(2)[..., None]
    first = root * torch.where(even, by_even[:, :-1], by_odd[:, :-1])
    second = root * torch.where(even, by_even[:, 1:], by_odd[:, 1:])
    r = weighted.flatten(2)[..., None]
    sums.first += first.mT @ first
    sums.second += second.mT @ second
    sums.cross += first.mT @ second
    sums.g_first += (first.mT @ r)[..., 0]
    sums.g_second += (second.mT @ r)[..., 0]


def _add_betas(sums: LocalSums, at: LinearizationPoint, item: WeightedTerm) -> None:
    root, weighted = at.weighted(item)
    slopes = at.slopes(item, lambda b: (replace(at.low, betas=b), at.low_points), at.low.betas, _each_number)
    rows = root.expand_as(weighted).flatten(1)[..., None] * slopes.movedim(0, 1)
    sums.betas += rows.mT @ rows
    sums.g_betas += (rows.mT @ weighted.flatten(1)[..., None])[..., 0]


def _add_latent(sums: LocalSums, at: LinearizationPoint, item: WeightedTerm) -> None:
    root, weighted = at.weighted(item)
    latent = at.low.latent
    assert latent is not None
    by_latent = at.slopes(item, lambda z: (replace(at.low, latent=z), at.low_points), latent, _each_coordinate)
    slope = root * by_latent.movedim(0, -1)
    sums.latent_diagonal += (slope**2).sum(-1)
    sums.g_latent += (slope * weighted).sum(-1)


def _add_overlap(sums: LocalSums, at: LinearizationPoint, item: WeightedTerm) -> None:
    root, weighted = at.weighted(item)
    sums.overlap += (root**2)[..., 0]
    sums.g_overlap += (root * weighted)[..., 0]


_ADD: dict[str, Callable[[LocalSums, LinearizationPoint, WeightedTerm], None]] = {
    "point": _add_point,
    "points": _add_points,
    "contact": _add_contact,
    "frame": _add_frame,
    "step": _add_step,
    "betas": _add_betas,
    "latent": _add_latent,
    "overlap": _add_overlap,
}
