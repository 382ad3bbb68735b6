"""Linear algebra of the fit: the damped normal equations, factored along time.

Per window segment the inner frames are eliminated (`elimination.py`, Schur complement); what is left is a chain over
(last frame, latent) of each segment with the shape as a border. Cost and memory are linear in the number of frames. The
same factor gives the marginal covariances that the uncertainty needs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from hmpfit.fitting.linearize import SHAPE, Blocks
from hmpfit.fitting.solvers.elimination import Cut, Inner, eliminate, last_frames


@dataclass(frozen=True)
class Step:
    """A solution in the unknowns' order: `frame` [B, T, F], `betas` [B, 10], `latent` [B, W, L]."""

    frame: Tensor
    betas: Tensor
    latent: Tensor


@dataclass(frozen=True)
class ArrowFactor:
    """The factored system: solve once or ask for covariances. `ok` [B] is False where it is not positive definite."""

    cut: Cut
    width: int
    inner: Inner | None
    diagonal: tuple[Tensor, ...]  # lower Cholesky factors of the chain's blocks
    coupling: tuple[Tensor, ...]  # L_s^-1 E_s to the next block
    border: tuple[Tensor, ...]  # L_s^-1 B_s
    corner: Tensor  # Cholesky factor of the shape's Schur complement
    right: tuple[Tensor, ...]
    corner_right: Tensor
    ok: Tensor

    def solve(self) -> Step:
        """Return the solution of (H + damping) x = -gradient."""
        betas = torch.cholesky_solve(self.corner_right, self.corner)
        count = len(self.cut.segments)
        chain: list[Tensor] = [betas] * count
        for s in reversed(range(count)):
            rest = self.right[s] - self.border[s] @ betas
            if s + 1 < count:
                rest = rest - self.coupling[s] @ chain[s + 1]
            chain[s] = torch.linalg.solve_triangular(self.diagonal[s].mT, rest, upper=True)
        outer = torch.stack(chain, dim=1)
        last = last_frames(self.cut, outer.device)
        frame = outer.new_zeros(len(outer), self.cut.segments[-1][1], self.width)
        frame[:, last] = outer[..., : self.width, 0]
        if self.inner is not None:
            inner = self.inner
            before = torch.cat((torch.zeros_like(outer[:, :1]), outer[:, :-1]), dim=1)
            tail = inner.own.shape[2] - inner.previous.shape[2]
            own = torch.cat((outer, betas[:, None].expand(-1, count, -1, -1)), dim=2)
            rows = -inner.own[..., -1:] - inner.own[..., :-1] @ own[:, :, None]
            rows[:, :, tail:] -= inner.previous @ before[:, :, None]
            solved = inner.back(rows).flatten(1).unflatten(1, (-1, self.width))
            frame[:, inner.plan.at] = solved[:, inner.plan.slots]
        return Step(frame, betas[..., 0], outer[..., self.width :, 0])

    @cached_property
    def shape_covariance(self) -> Tensor:
        """Covariance of the shape, [B, 10, 10]."""
        eye = torch.eye(self.corner.shape[-1], dtype=self.corner.dtype, device=self.corner.device)
        return torch.cholesky_solve(eye.expand_as(self.corner), self.corner)

    def outer_covariances(self) -> Iterator[Tensor]:
        """Yield the joint covariance of (previous, current, shape) of each segment, last first, [B, 2m + 10, 2m + 10].

        Selected inversion, backwards along the chain; the previous block of the first segment does not exist and is 0.
        """
        shape = self.shape_covariance
        m = self.diagonal[0].shape[-1]
        eye = torch.eye(m, dtype=shape.dtype, device=shape.device)
        later: tuple[Tensor, Tensor] | None = None  # of the next segment: its covariance, and that with the shape
        for s in reversed(range(len(self.cut.segments))):
            inverse = torch.linalg.solve_triangular(self.diagonal[s].mT, eye, upper=True)
            to_b = inverse @ self.border[s]
            if later is None:
                to_shape = -to_b @ shape
                own = inverse @ inverse.mT - to_b @ to_shape.mT
            else:
                to_n = inverse @ self.coupling[s]
                to_shape = -(to_n @ later[1] + to_b @ shape)
                to_next = -(to_n @ later[0] + to_b @ later[1].mT)
                own = inverse @ inverse.mT - to_n @ to_next.mT - to_b @ to_shape.mT
                yield _joint(own, to_next, to_shape, *later, shape)
            later = own, to_shape
        assert later is not None
        zero = torch.zeros_like(later[0])
        yield _joint(zero, zero, torch.zeros_like(later[1]), *later, shape)


def _joint(
    before: Tensor, cross: Tensor, before_shape: Tensor, own: Tensor, own_shape: Tensor, shape: Tensor
) -> Tensor:
    rows = (before, cross, before_shape), (cross.mT, own, own_shape), (before_shape.mT, own_shape.mT, shape)
    return torch.cat([torch.cat(row, -1) for row in rows], -2)


def cut_frames(frames: int, every: int) -> Cut:
    """Cut a clip into segments of at most `every` frames."""
    return Cut(tuple((a, min(a + every, frames)) for a in range(0, frames, every)))


def factor(blocks: Blocks, cut: Cut, damping: Tensor) -> ArrowFactor:
    """Factor the blocks with Levenberg-Marquardt damping [B]: the diagonal times (1 + damping), plus a floor of 1e-9.

    The cut follows the windows' own frames; where no latent is free any cut of the frames will do. Problems whose
    damped matrix is not positive definite are marked in `ok`, nothing is raised and the device is not waited for.
    """
    segments, count = cut.segments, len(cut.segments)
    width, size = blocks.frame.shape[-1], blocks.latent.shape[-1]
    m = width + size
    frame = _damped(blocks.frame, damping)
    inner, bad = eliminate(blocks, frame, cut)
    corner = _damped(blocks.betas, damping)
    corner_right = -blocks.g_betas[..., None]
    last = last_frames(cut, frame.device)
    diagonal = frame.new_zeros(len(frame), count, m, m)
    diagonal[..., :width, :width] = frame[:, last]
    border, right = blocks.frame_betas[:, last], -blocks.g_frame[:, last, :, None]
    coupling = frame.new_zeros(len(frame), count, m, m)  # rows: this segment's block, columns: the previous one's
    if size:
        border = torch.cat((border, blocks.latent_betas), dim=2)
        right = torch.cat((right, -blocks.g_latent[..., None]), dim=2)
        latent, own = _damped(blocks.latent, damping), blocks.frame_latent[:, last]
        diagonal[..., width:, width:] = latent
        diagonal[..., :width, width:], diagonal[..., width:, :width] = own[:, :, 0], own[:, :, 0].mT
        coupling[..., width:, width:] = blocks.latent_previous
        coupling[..., :width, width:] = own[:, :, 1]
    for s, (a, z) in enumerate(segments):  # a segment of one frame has no inner frame between it and the one before
        if s and z - a == 1:
            coupling[:, s, :width, :width] = blocks.next[:, a - 1].mT
    if inner is not None:
        o, p = inner.own.flatten(2, 3), inner.previous.flatten(2, 3)
        tail = o[:, :, o.shape[2] - p.shape[2] :]
        oo, pp, po = o[..., :-1].mT @ o, p.mT @ p, p.mT @ tail
        diagonal = diagonal - oo[..., :m, :m]
        border, right = border - oo[..., :m, m:-1], right + oo[..., :m, -1:]
        corner, corner_right = corner - oo[..., m:, m:-1].sum(1), corner_right + oo[..., m:, -1:].sum(1)
        coupling = coupling - po[..., :m].mT
        diagonal[:, :-1] -= pp[:, 1:]
        border[:, :-1] -= po[:, 1:, :, m:-1]
        right[:, :-1] += po[:, 1:, :, -1:]
    return _chain(cut, width, inner, diagonal, coupling.mT, border, right, corner, corner_right, bad)


def _chain(
    cut: Cut, width: int, inner: Inner | None, diagonal: Tensor, to_next: Tensor, border: Tensor, right: Tensor,
    corner: Tensor, corner_right: Tensor, bad: Tensor,
) -> ArrowFactor:  # fmt: skip
    """Factor the chain of segments; `to_next[:, s]` couples segment s - 1 (rows) with s (columns)."""
    lowers: list[Tensor] = []
    couplings: list[Tensor] = []
    borders: list[Tensor] = []
    rights: list[Tensor] = []
    m, count = diagonal.shape[-1], diagonal.shape[1]
    for s in range(count):
        d, b, r = diagonal[:, s], border[:, s], right[:, s]
        if s:
            e = couplings[-1]
            d, b, r = d - e.mT @ e, b - e.mT @ borders[-1], r - e.mT @ rights[-1]
        lower, info = torch.linalg.cholesky_ex(d)
        bad = bad + info
        columns = [b, r] if s + 1 == count else [b, r, to_next[:, s + 1]]
        solved = torch.linalg.solve_triangular(lower, torch.cat(columns, dim=-1), upper=False)
        lowers.append(lower)
        borders.append(solved[..., :SHAPE])
        rights.append(solved[..., SHAPE : SHAPE + 1])
        if s + 1 < count:
            couplings.append(solved[..., SHAPE + 1 : SHAPE + 1 + m])
        corner = corner - borders[-1].mT @ borders[-1]
        corner_right = corner_right - borders[-1].mT @ rights[-1]
    corner_lower, info = torch.linalg.cholesky_ex(corner)
    return ArrowFactor(
        cut, width, inner, tuple(lowers), tuple(couplings), tuple(borders), corner_lower, tuple(rights), corner_right,
        bad + info == 0,
    )  # fmt: skip


def _damped(matrix: Tensor, damping: Tensor) -> Tensor:
    diagonal = torch.diagonal(matrix, dim1=-2, dim2=-1)
    extra = diagonal * damping.to(diagonal).reshape(-1, *[1] * (diagonal.ndim - 1)) + 1e-9
    return matrix + torch.diag_embed(extra)
