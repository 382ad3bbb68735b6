"""Linear algebra of the fit: the damped normal equations, factored along time.

Per window segment the inner frames are eliminated by a dense Cholesky factor of their small banded block (Schur
complement), which leaves a chain over (last frame, latent) of each segment with the shape as a border. Cost and memory
are linear in the number of frames. The same factor gives the marginal covariances that the uncertainty needs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hmpfit.fitting.linearize import Blocks

Segments = tuple[tuple[int, int], ...]
FREE_POSE_SEGMENT = 8


@dataclass(frozen=True)
class Step:
    """A solution in the unknowns' order: `frame` [B, T, F], `betas` [B, 10], `latent` [B, W, L]."""

    frame: Tensor
    betas: Tensor
    latent: Tensor


@dataclass(frozen=True)
class Eliminated:
    """One segment after its inner frames are gone; m = F + L, border = 10.

    `response` [B, inner, 2m + 10 + 1]: inner block inverse times its coupling to (previous, current, shape) and to the
    gradient. `factor`: lower Cholesky factor of the inner block.
    """

    factor: Tensor
    response: Tensor
    schur: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class ArrowFactor:
    """The factored system: solve once or ask for covariances."""

    segments: Segments
    width: int
    latent_size: int
    eliminated: tuple[Eliminated, ...]
    diagonal: tuple[Tensor, ...]  # lower Cholesky factors of the chain's blocks
    coupling: tuple[Tensor, ...]  # L_s^-1 E_s to the next block
    border: tuple[Tensor, ...]  # L_s^-1 B_s
    corner: Tensor  # Cholesky factor of the shape's Schur complement
    right: tuple[Tensor, ...]
    corner_right: Tensor

    def solve(self) -> Step:
        """Return the solution of (H + damping) x = -gradient."""
        betas = torch.cholesky_solve(self.corner_right, self.corner)
        count = len(self.segments)
        chain: list[Tensor] = [betas] * count
        for s in reversed(range(count)):
            rest = self.right[s] - self.border[s] @ betas
            if s + 1 < count:
                rest = rest - self.coupling[s] @ chain[s + 1]
            chain[s] = torch.linalg.solve_triangular(self.diagonal[s].mT, rest, upper=True)
        frames, latents = [], []
        for s in range(count):
            previous = chain[s - 1] if s else torch.zeros_like(chain[s])
            outer = torch.cat((previous, chain[s], betas), dim=-2)
            response = self.eliminated[s].response
            inner = response[..., -1:] - response[..., :-1] @ outer
            frames.append(
                torch.cat((inner[..., 0], chain[s][..., : self.width, 0]), -1).unflatten(-1, (-1, self.width))
            )
            latents.append(chain[s][..., self.width :, 0])
        return Step(torch.cat(frames, dim=1), betas[..., 0], torch.stack(latents, dim=1))

    def outer_covariances(self) -> Iterator[Tensor]:
        """Yield the joint covariance of (previous, current, shape) of each segment, [B, 2m + 10, 2m + 10].

        Selected inversion, backwards along the chain; the previous block of the first segment does not exist and is 0.
        """
        eye = torch.eye(self.corner.shape[-1], dtype=self.corner.dtype, device=self.corner.device)
        shape = torch.cholesky_solve(eye.expand_as(self.corner), self.corner)
        m, count = self.diagonal[0].shape[-1], len(self.segments)
        own: list[Tensor] = [shape] * count
        to_shape: list[Tensor] = [shape] * count
        to_next: list[Tensor] = [shape] * count
        for s in reversed(range(count)):
            inverse = torch.linalg.solve_triangular(
                self.diagonal[s].mT, torch.eye(m, dtype=shape.dtype, device=shape.device), upper=True
            )
            to_b = inverse @ self.border[s]
            if s + 1 < count:
                to_n = inverse @ self.coupling[s]
                to_shape[s] = -(to_n @ to_shape[s + 1] + to_b @ shape)
                to_next[s] = -(to_n @ own[s + 1] + to_b @ to_shape[s + 1].mT)
                own[s] = inverse @ inverse.mT - to_n @ to_next[s].mT - to_b @ to_shape[s].mT
            else:
                to_shape[s] = -to_b @ shape
                own[s] = inverse @ inverse.mT - to_b @ to_shape[s].mT
        for s in range(count):
            zero = torch.zeros_like(own[s])
            previous, cross = (own[s - 1], to_next[s - 1]) if s else (zero, zero)
            p_shape = to_shape[s - 1] if s else torch.zeros_like(to_shape[s])
            yield torch.cat(
                (
                    torch.cat((previous, cross, p_shape), -1),
                    torch.cat((cross.mT, own[s], to_shape[s]), -1),
                    torch.cat((p_shape.mT, to_shape[s].mT, shape), -1),
                ),
                -2,
            )


def factor(blocks: Blocks, segments: Segments, damping: Tensor) -> ArrowFactor:
    """Factor the blocks with Levenberg-Marquardt damping [B]: the diagonal times (1 + damping), plus a floor of 1e-9.

    `segments` are the windows' own frames; where no latent is free any cut of the frames will do.
    Raises torch.linalg.LinAlgError when the damped matrix is not positive definite.
    """
    width, size = blocks.frame.shape[-1], blocks.latent.shape[-1]
    m = width + size
    local = [_local_system(blocks, segments, s, damping) for s in range(len(segments))]
    eliminated = tuple(_eliminate(matrix, gradient, m) for matrix, gradient in local)
    corner = _damped(blocks.betas, damping)
    corner_right = -blocks.g_betas[..., None]
    for item in eliminated:
        corner = corner + item.schur[..., 2 * m :, 2 * m :]
        corner_right = corner_right - item.gradient[..., 2 * m :, None]
    diagonal: list[Tensor] = []
    coupling: list[Tensor] = []
    border: list[Tensor] = []
    right: list[Tensor] = []
    count = len(segments)
    for s, item in enumerate(eliminated):
        d = item.schur[..., m : 2 * m, m : 2 * m]
        b = item.schur[..., m : 2 * m, 2 * m :]
        r = -item.gradient[..., m : 2 * m, None]
        if s + 1 < count:
            following = eliminated[s + 1]
            d = d + following.schur[..., :m, :m]
            b = b + following.schur[..., :m, 2 * m :]
            r = r - following.gradient[..., :m, None]
        if s:
            e = coupling[-1]
            d = d - e.mT @ e
            b = b - e.mT @ border[-1]
            r = r - e.mT @ right[-1]
        lower = torch.linalg.cholesky(d)
        border.append(torch.linalg.solve_triangular(lower, b, upper=False))
        right.append(torch.linalg.solve_triangular(lower, r, upper=False))
        diagonal.append(lower)
        if s + 1 < count:
            e = eliminated[s + 1].schur[..., :m, m : 2 * m]
            coupling.append(torch.linalg.solve_triangular(lower, e, upper=False))
        corner = corner - border[-1].mT @ border[-1]
        corner_right = corner_right - border[-1].mT @ right[-1]
    return ArrowFactor(
        segments, width, size, eliminated, tuple(diagonal), tuple(coupling), tuple(border),
        torch.linalg.cholesky(corner), tuple(right), corner_right,
    )  # fmt: skip


def cut_frames(frames: int, every: int) -> Segments:
    """Cut a clip into segments of at most `every` frames."""
    return tuple((a, min(a + every, frames)) for a in range(0, frames, every))


def _damped(matrix: Tensor, damping: Tensor) -> Tensor:
    diagonal = torch.diagonal(matrix, dim1=-2, dim2=-1)
    extra = diagonal * damping.reshape(-1, *[1] * (diagonal.ndim - 1)) + 1e-9
    return matrix + torch.diag_embed(extra)


def _local_system(blocks: Blocks, segments: Segments, s: int, damping: Tensor) -> tuple[Tensor, Tensor]:
    """Return a segment's share of the system in the order (previous frame, previous latent, frames, latent, shape)."""
    a, z = segments[s]
    width, size = blocks.frame.shape[-1], blocks.latent.shape[-1]
    m, n = width + size, z - a
    first = m
    latent = m + n * width
    shape = latent + size
    total = shape + blocks.betas.shape[-1]
    b = blocks.frame.shape[0]
    matrix = blocks.frame.new_zeros(b, total, total)
    gradient = blocks.frame.new_zeros(b, total)
    device = matrix.device
    at = first + torch.arange(n, device=device)[:, None] * width + torch.arange(width, device=device)
    matrix[:, at[:, :, None], at[:, None, :]] = _damped(blocks.frame[:, a:z], damping)
    gradient[:, first:latent] = blocks.g_frame[:, a:z].flatten(1)
    before = torch.cat((torch.arange(width, device=device)[None], at[:-1])) if a else at[:-1]
    after = at if a else at[1:]
    if len(after):
        links = blocks.next[:, a - 1 : z - 1] if a else blocks.next[:, : z - 1]
        matrix[:, before[:, :, None], after[:, None, :]] = links
        matrix[:, after[:, :, None], before[:, None, :]] = links.mT
    _set(matrix, slice(first, latent), slice(shape, total), blocks.frame_betas[:, a:z].flatten(1, 2))
    if size:
        own, previous = slice(latent, shape), slice(width, m)
        _set(matrix, slice(first, latent), own, blocks.frame_latent[:, a:z, 0].flatten(1, 2))
        matrix[:, own, own] = _damped(blocks.latent[:, s], damping)
        _set(matrix, own, slice(shape, total), blocks.latent_betas[:, s])
        gradient[:, own] = blocks.g_latent[:, s]
        if s:
            _set(matrix, slice(first, latent), previous, blocks.frame_latent[:, a:z, 1].flatten(1, 2))
            _set(matrix, own, previous, blocks.latent_previous[:, s])
    return matrix, gradient


def _set(matrix: Tensor, rows: slice, columns: slice, block: Tensor) -> None:
    matrix[:, rows, columns] = block
    matrix[:, columns, rows] = block.mT


def _eliminate(matrix: Tensor, gradient: Tensor, m: int) -> Eliminated:
    """Eliminate the inner frames: all of the segment's but its last."""
    total = matrix.shape[-1]
    shape = total - 10
    inner_end = shape - m
    inner = slice(m, inner_end)
    outer = torch.cat((torch.arange(m), torch.arange(inner_end, total))).to(matrix.device)
    to_outer = matrix[:, inner][:, :, outer]
    lower = torch.linalg.cholesky(matrix[:, inner, inner])
    response = torch.cholesky_solve(torch.cat((to_outer, -gradient[:, inner, None]), dim=-1), lower)
    schur = matrix[:, outer][:, :, outer] - to_outer.mT @ response[..., :-1]
    reduced = gradient[:, outer] + (to_outer.mT @ response[..., -1:])[..., 0]
    return Eliminated(lower, response, schur, reduced)
