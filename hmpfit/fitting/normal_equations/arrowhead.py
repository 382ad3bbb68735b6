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

from hmpfit.fitting.clip_part import ClipPart
from hmpfit.fitting.normal_equations.blocks import ArrowheadSystem
from hmpfit.fitting.normal_equations.elimination import (
    Eliminated,
    InnerFactor,
    Segmentation,
    columns_of,
    eliminate,
    last_frames,
)
from hmpfit.fitting.normal_equations.linearize import SHAPE
from hmpfit.fitting.normal_equations.outer_blocks import OuterBlocks, damped, outer_blocks
from hmpfit.fitting.problem import mean_by_first

FRAMES = {"cpu": 384, "cuda": 65536}  # gone through together: a CPU keeps to its cache, a GPU wants many


@dataclass(frozen=True)
class LinearSolution:
    """A solution in the unknowns' order: `frame` [B, T, F], `betas` [B, 10], `latent` [B, W, L]."""

    frame: Tensor
    betas: Tensor
    latent: Tensor


@dataclass(frozen=True)
class SegmentRun:
    """Segments first..last, which are gone through together: their inner frames' factor, None where there are none."""

    first: int
    last: int
    inner: InnerFactor | None


@dataclass(frozen=True)
class ArrowheadFactor:
    """The factored system, for solutions and covariances. `ok` [B] is False where it is not positive definite.

    Of the inner frames it keeps their factor only; the far larger columns are made anew a run of segments at a time.
    """

    blocks: ArrowheadSystem
    damping: Tensor
    cut: Segmentation
    runs: tuple[SegmentRun, ...]
    diagonal: Tensor  # [S, B, m, m] lower Cholesky factors of the chain's blocks
    coupling: Tensor  # [S - 1, B, m, m] L_s^-1 E_s to the next block
    border: tuple[Tensor, ...]  # L_s^-1 B_s
    corner: Tensor  # Cholesky factor of the shape's Schur complement
    right: tuple[Tensor, ...]
    corner_right: Tensor
    ok: Tensor
    backwards: bool = False  # whether the chain was factored from its last segment to its first

    @property
    def width(self) -> int:
        """Unknowns of a frame of its own, F."""
        return self.blocks.frame.shape[-1]

    def solve(self) -> LinearSolution:
        """Return the solution of (H + damping) x = -gradient."""
        betas = torch.cholesky_solve(self.corner_right, self.corner)
        count = len(self.cut.segments)
        chain: list[Tensor] = [betas] * count  # in the order in which it was factored
        for s in reversed(range(count)):
            rest = self.right[s] - self.border[s] @ betas
            if s + 1 < count:
                rest = rest - self.coupling[s] @ chain[s + 1]
            chain[s] = torch.linalg.solve_triangular(self.diagonal[s].mT, rest, upper=True)
        outer = torch.stack(chain[::-1] if self.backwards else chain, dim=1)
        frame = outer.new_zeros(len(outer), self.cut.segments[-1][1], self.width)
        frame[:, last_frames(self.cut, outer.device)] = outer[..., : self.width, 0]
        before = torch.cat((torch.zeros_like(outer[:, :1]), outer[:, :-1]), dim=1)
        for run in self.runs:
            if run.inner is not None:
                here, start = slice(run.first, run.last), self.cut.segments[run.first][0]
                found = self._inner(run, run.inner, outer[:, here], before[:, here], betas)
                frame[:, start + run.inner.plan.at] = found.flatten(1).unflatten(1, (-1, self.width))[
                    :, run.inner.plan.slots
                ]
        return LinearSolution(frame, betas[..., 0], outer[..., self.width :, 0])

    def _inner(self, run: SegmentRun, inner: InnerFactor, outer: Tensor, before: Tensor, betas: Tensor) -> Tensor:
        """Return the solution in the inner frames of a run, given that of its segments' ends, [B, S, n, G, 1]."""
        columns, previous = columns_of(self.blocks.slice_segments(self.cut.segments, run.first, run.last), inner.plan)
        tail = columns.shape[2] - previous.shape[2]
        own = torch.cat((outer, betas[:, None].expand(-1, outer.shape[1], -1, -1)), dim=2)
        rows = -columns[..., -1:] - columns[..., :-1] @ own[:, :, None]
        rows[:, :, tail:] -= previous @ before[:, :, None]
        return inner.back(inner.forward(rows))

    def eliminated(self, segment: int) -> Eliminated | None:
        """Return the inner frames of one segment as they were eliminated."""
        part, cut = (
            self.blocks.slice_segments(self.cut.segments, segment, segment + 1),
            self.cut.slice_segments(segment, segment + 1),
        )
        return eliminate(part, damped(part.frame, self.damping), cut)[0]

    @cached_property
    def shape_covariance(self) -> Tensor:
        """Covariance of the shape, [B, 10, 10]."""
        eye = torch.eye(self.corner.shape[-1], dtype=self.corner.dtype, device=self.corner.device)
        return torch.cholesky_solve(eye.expand_as(self.corner), self.corner)

    def outer_covariances(self) -> Iterator[Tensor]:
        """Yield the joint covariance of (previous, current, shape) of each segment, last first, [B, 2m + 10, 2m + 10].

        Selected inversion, backwards along the chain; the previous block of the first segment does not exist and is 0.
        """
        assert not self.backwards
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


def segment_frames(frames: int, every: int) -> Segmentation:
    """Cut a clip into segments of at most `every` frames."""
    return Segmentation(tuple((a, min(a + every, frames)) for a in range(0, frames, every)))


def factor(
    blocks: ArrowheadSystem, cut: Segmentation, damping: Tensor, shape_rows: Tensor | None = None,
    part: ClipPart | None = None,
) -> ArrowheadFactor:  # fmt: skip
    """Factor the blocks with Levenberg-Marquardt damping [B]: the diagonal times (1 + damping), plus a floor of 1e-9.

    The cut follows the windows' own frames; where no latent is free any cut of the frames will do. Problems whose
    damped matrix is not positive definite are marked in `ok`, nothing is raised and the device is not waited for.
    Problems of one row in `shape_rows` [B] have one shape, that of the mean of their costs, and one damping. Of a clip
    in two parts the segment that both have comes last: the last part is factored from its end.
    """
    backwards = part is not None and part.is_last
    chain = _Chain(blocks, damping, len(cut.segments), backwards)
    runs, order = [], cut.runs(FRAMES[blocks.frame.device.type])
    for first, last in reversed(order) if backwards else order:
        run, run_cut = blocks.slice_segments(cut.segments, first, last), cut.slice_segments(first, last)
        frame = damped(run.frame, damping)
        eliminated, bad = eliminate(run, frame, run_cut)
        chain.add(outer_blocks(run, frame, run_cut, damping, eliminated), bad)
        runs.append(SegmentRun(first, last, None if eliminated is None else eliminated.inner))
    return chain.close(cut, tuple(runs), shape_rows, part)


class _Chain:
    """The chain of segments as it is factored, run after run, from its start or `backwards` from its end.

    A segment waits for what the next run takes from it; backwards the taken part waits for the segment.

    What stays has its place from the start: laid between what goes again, it would leave holes in the heap.
    """

    def __init__(self, blocks: ArrowheadSystem, damping: Tensor, count: int, backwards: bool = False) -> None:
        b, m = len(blocks.frame), blocks.frame.shape[-1] + blocks.latent.shape[-1]
        new = blocks.frame.new_empty
        self._lowers, self._couplings = new(count, b, m, m), new(count - 1, b, m, m)
        self._settled = 0
        self._blocks, self._damping = blocks, damping
        self._corner, self._corner_right = damped(blocks.betas, damping), -blocks.g_betas[..., None]
        self._bad = torch.zeros(len(damping), dtype=torch.int32, device=damping.device)
        self._borders: list[Tensor] = []
        self._rights: list[Tensor] = []
        self._waiting: tuple[Tensor, Tensor, Tensor] | None = None
        self._backwards = backwards
        self._taken: tuple[Tensor, Tensor, Tensor] | None = None
        self._to_previous: Tensor | None = None  # of the segment that waits

    def add(self, run: OuterBlocks, bad: Tensor) -> None:
        """Add a run of segments."""
        self._bad = self._bad + bad
        self._corner, self._corner_right = self._corner - run.corner, self._corner_right + run.corner_right
        count = run.diagonal.shape[1]
        if not self._backwards:
            self._waiting = _without(self._waiting, run.previous)
        for s in reversed(range(count)) if self._backwards else range(count):
            to_next = run.before[:, s]
            if self._backwards:
                self._to_previous, to_next = to_next.mT, self._to_previous
            self._settle(to_next)
            self._waiting = run.diagonal[:, s], run.border[:, s], run.right[:, s]
            if self._backwards and s == count - 1:
                self._waiting, self._taken = _without(self._waiting, self._taken), run.previous

    def _settle(self, to_next: Tensor | None, part: ClipPart | None = None) -> None:
        """Factor the waiting segment, which hangs together with the next one by `to_next`."""
        if self._waiting is None:
            return
        d, b, r = self._waiting
        here = self._settled
        if here:
            e = self._couplings[here - 1]
            d, b, r = d - e.mT @ e, b - e.mT @ self._borders[-1], r - e.mT @ self._rights[-1]
        if part is not None:
            d, b, r, self._corner, self._corner_right, self._bad = part.total(
                d, b, r, self._corner, self._corner_right, self._bad
            )
        lower, info = torch.linalg.cholesky_ex(d)
        self._bad = self._bad + info
        columns = [b, r] if to_next is None else [b, r, to_next]
        solved = torch.linalg.solve_triangular(lower, torch.cat(columns, dim=-1), upper=False)
        self._lowers[here] = lower
        self._borders.append(solved[..., :SHAPE].clone())
        self._rights.append(solved[..., SHAPE : SHAPE + 1].clone())
        if to_next is not None:
            self._couplings[here] = solved[..., SHAPE + 1 :]
        self._settled += 1
        self._corner = self._corner - self._borders[-1].mT @ self._borders[-1]
        self._corner_right = self._corner_right - self._borders[-1].mT @ self._rights[-1]

    def close(
        self, cut: Segmentation, runs: tuple[SegmentRun, ...], shape_rows: Tensor | None, part: ClipPart | None
    ) -> ArrowheadFactor:
        """Factor the last segment and the shape, what is left of both parts of a clip together."""
        self._settle(None, part)
        bad = self._bad
        if shape_rows is not None:
            parts = (self._corner, self._corner_right, bad)
            self._corner, self._corner_right, bad = (mean_by_first(part, shape_rows) for part in parts)
        corner, info = torch.linalg.cholesky_ex(self._corner)
        return ArrowheadFactor(
            self._blocks.without_latents(), self._damping, cut, runs, self._lowers, self._couplings,
            tuple(self._borders), corner, tuple(self._rights), self._corner_right, bad + info == 0, self._backwards,
        )  # fmt: skip


def _without(
    segment: tuple[Tensor, Tensor, Tensor] | None, taken: tuple[Tensor, Tensor, Tensor] | None
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return a segment's diagonal, border and right side without what the segment after it takes from them."""
    if segment is None or taken is None:
        return segment
    return segment[0] - taken[0], segment[1] - taken[1], segment[2] + taken[2]
