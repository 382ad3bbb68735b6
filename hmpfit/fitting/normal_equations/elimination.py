"""The inner frames of the fit's segments, eliminated from the normal equations.

Separate from `arrowhead`, which solves what is left. All segments are swept at once, from their end to their start, so
that the window before, which reaches only a segment's first frames, stays out of most of the work.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from hmpfit.fitting.normal_equations.blocks import ArrowheadSystem
from hmpfit.fitting.normal_equations.linearize import SHAPE

BLOCK = 48  # unknowns eliminated at a time: few steps of the sweep, each big enough to be worth its call


@dataclass(frozen=True)
class Segmentation:
    """Where the frames are cut: half-open `segments`, and the most frames of one that the window before reaches."""

    segments: tuple[tuple[int, int], ...]
    reach: int = 0

    def slice_segments(self, first: int, last: int) -> "Segmentation":
        """Return the cut of the segments first..last alone, whose first frame is then 0."""
        start = self.segments[first][0]
        return Segmentation(tuple((a - start, z - start) for a, z in self.segments[first:last]), self.reach)

    def runs(self, most: int) -> list[tuple[int, int]]:
        """Return runs first..last of consecutive segments of together at most `most` frames, or one segment each."""
        out: list[tuple[int, int]] = []
        first = 0
        for s in range(1, len(self.segments) + 1):
            if s == len(self.segments) or self.segments[s][1] - self.segments[first][0] > most:
                out.append((first, s))
                first = s
        return out


@dataclass(frozen=True)
class SweepLayout:
    """Places of the inner frames (all but a segment's last) in the sweep: S segments x n blocks x g frames.

    A segment's positions run from frame z - 2 down to a; where it is shorter than others, padding comes first.
    """

    n: int
    g: int
    tail: int  # blocks at the end that hold all the frames the window before reaches
    frames: Tensor  # [S, n g], 0 in padding
    exists: Tensor  # [S, n g, 1, 1] bool
    slots: Tensor  # flat positions that are no padding
    at: Tensor  # their frames
    ends: tuple[Tensor, Tensor, Tensor]  # segments with inner frames, their first position, their last frame
    starts: tuple[Tensor, Tensor]  # segments with inner frames, their first frame


@lru_cache(maxsize=64)
def last_frames(cut: Segmentation, device: torch.device) -> Tensor:
    """Return each segment's last frame, [S]; kept on the device, because a copy there makes the host wait."""
    return torch.tensor([z - 1 for _, z in cut.segments]).to(device)


@lru_cache(maxsize=64)
def sweep_layout(cut: Segmentation, width: int, device: torch.device) -> SweepLayout | None:
    """Lay the sweep out; None where no segment has an inner frame."""
    first, last = (torch.tensor(side) for side in zip(*cut.segments))
    most = int((last - first).max()) - 1
    if most == 0:
        return None
    g = max(1, min(BLOCK // width, most))
    n = -(-most // g)
    total = n * g
    frames = first[:, None] + torch.arange(total - 1, -1, -1)
    exists = frames < last[:, None] - 1
    slots = torch.nonzero(exists.flatten()).flatten()
    inner_segments = torch.nonzero(last - first > 1).flatten()
    ends = (inner_segments, total - (last - first - 1)[inner_segments], last[inner_segments] - 1)

    def there(tensor: Tensor) -> Tensor:
        return tensor.to(device)

    return SweepLayout(
        n, g, min(n, -(-max(cut.reach, 1) // g)), there(torch.where(exists, frames, 0)),
        there(exists[:, :, None, None]), there(slots), there(frames.flatten()[slots]),
        (there(ends[0]), there(ends[1]), there(ends[2])), (there(inner_segments), there(first[inner_segments])),
    )  # fmt: skip


@dataclass(frozen=True)
class InnerFactor:
    """The factored inner frames, with G = g F unknowns a block. Padding is the identity.

    `lower` [B, S, n, G, G] Cholesky factors, `link` [B, S, n, G, G] = (lower of the block before)^-1 x coupling.
    """

    plan: SweepLayout
    lower: Tensor
    link: Tensor

    def forward(self, rows: Tensor) -> Tensor:
        """Return factor^-1 rows, [B, S, n, G, c]."""
        out: list[Tensor] = []
        for i in range(rows.shape[2]):
            right = rows[:, :, i]
            if i:
                right = right - self.link[:, :, i].mT @ out[-1]
            out.append(torch.linalg.solve_triangular(self.lower[:, :, i], right, upper=False))
        return torch.stack(out, dim=2)

    def back(self, rows: Tensor) -> Tensor:
        """Return factor^-T rows, [B, S, n, G, c]."""
        out = [rows[:, :, -1]] * rows.shape[2]
        for i in reversed(range(rows.shape[2])):
            right = rows[:, :, i]
            if i + 1 < rows.shape[2]:
                right = right - self.link[:, :, i + 1] @ out[i + 1]
            out[i] = torch.linalg.solve_triangular(self.lower[:, :, i].mT, right, upper=True)
        return torch.stack(out, dim=2)

    def diagonal(self) -> Tensor:
        """Return the diagonal blocks of the inner matrices' inverses, [B, S, n, G, G]."""
        eye = torch.eye(self.lower.shape[-1], dtype=self.lower.dtype, device=self.lower.device)
        out: list[Tensor] = []
        for i in reversed(range(self.lower.shape[2])):
            lower = self.lower[:, :, i]
            inverse = torch.linalg.solve_triangular(lower, eye, upper=False)
            block = inverse.mT @ inverse
            if out:
                through = inverse.mT @ self.link[:, :, i + 1]
                block = block + through @ out[-1] @ through.mT
            out.append(block)
        return torch.stack(out[::-1], dim=2)


@dataclass(frozen=True)
class Eliminated:
    """The factor's inverse times the inner frames' columns.

    `own` [B, S, n, G, m + 11] (last frame, latent, shape, gradient) and `previous` [B, S, n', G, m] (the last n'
    blocks: previous frame and latent), m = F + L.
    """

    inner: InnerFactor
    own: Tensor
    previous: Tensor

    def widened(self) -> Tensor:
        """Return the columns (previous, own without the gradient) with the zeros that `previous` leaves out."""
        missing = self.own.shape[2] - self.previous.shape[2]
        previous = torch.nn.functional.pad(self.previous, (0, 0, 0, 0, missing, 0))
        return torch.cat((previous, self.own[..., :-1]), dim=-1)


def eliminate(blocks: ArrowheadSystem, frame: Tensor, cut: Segmentation) -> tuple[Eliminated | None, Tensor]:
    """Eliminate the inner frames, whose damped diagonal blocks are `frame`; also return Cholesky's complaints, [B].

    `blocks` are those of some segments (`ArrowheadSystem.slice_segments`).
    """
    width = frame.shape[-1]
    m = width + blocks.latent.shape[-1]
    bad = torch.zeros(len(frame), dtype=torch.int32, device=frame.device)
    plan = sweep_layout(cut, width, frame.device)
    if plan is None:
        return None, bad
    after = blocks.before[:, plan.frames[:, :-1]] * (plan.exists[:, 1:] & plan.exists[:, :-1])
    steps = torch.nn.functional.pad(after, (0, 0, 0, 0, 0, 1)).unflatten(2, (plan.n, plan.g))
    matrix = _diagonal_blocks(frame, steps, plan)
    columns, previous = columns_of(blocks, plan)
    lowers: list[Tensor] = []
    links: list[Tensor] = []
    own: list[Tensor] = []
    reach: list[Tensor] = []
    for i in range(plan.n):
        d, right = matrix[:, :, i], columns[:, :, i]
        link = torch.zeros_like(d)
        if i:
            link[..., -width:, :width] = steps[:, :, i - 1, -1].mT  # the block before (rows), this block (columns)
            link = torch.linalg.solve_triangular(lowers[-1], link, upper=False)
            d = d - link.mT @ link
            right = right - link.mT @ own[-1]
        rights = [right]
        if i >= plan.n - plan.tail:
            rights.append(previous[:, :, i - (plan.n - plan.tail)])
            if reach:
                rights[1] = rights[1] - link.mT @ reach[-1]
        lower, info = torch.linalg.cholesky_ex(d)
        bad = bad + info.sum(1)
        solved = torch.linalg.solve_triangular(lower, torch.cat(rights, dim=-1), upper=False)
        lowers.append(lower)
        links.append(link)
        own.append(solved[..., : m + SHAPE + 1])
        if len(rights) > 1:
            reach.append(solved[..., m + SHAPE + 1 :])
    stacked = [torch.stack(parts, dim=2) for parts in (lowers, links, own, reach)]
    return Eliminated(InnerFactor(plan, stacked[0], stacked[1]), stacked[2], stacked[3]), bad


def columns_of(blocks: ArrowheadSystem, plan: SweepLayout) -> tuple[Tensor, Tensor]:
    """Return what couples the inner frames to the rest, as `Eliminated` has it but before the factor's inverse."""
    m = blocks.frame.shape[-1] + blocks.latent.shape[-1]
    return _own_columns(blocks, plan, m), _previous_columns(blocks, plan, m)


def _diagonal_blocks(frame: Tensor, steps: Tensor, plan: SweepLayout) -> Tensor:
    """Return the blocks of the sweep, [B, S, n, G, G]: frames on the diagonal, their steps beside it."""
    eye = torch.eye(frame.shape[-1], dtype=frame.dtype, device=frame.device)
    own = torch.where(plan.exists, frame[:, plan.frames], eye).unflatten(2, (plan.n, plan.g))
    place = torch.arange(plan.g, device=frame.device)
    out = frame.new_zeros(*own.shape[:4], own.shape[4], plan.g, own.shape[5])
    out[:, :, :, place, :, place] = own.movedim(3, 0)
    if plan.g > 1:
        beside = steps[:, :, :, :-1].movedim(3, 0)
        out[:, :, :, place[1:], :, place[:-1]] = beside
        out[:, :, :, place[:-1], :, place[1:]] = beside.mT
    return out.flatten(5, 6).flatten(3, 4)


def _own_columns(blocks: ArrowheadSystem, plan: SweepLayout, m: int) -> Tensor:
    """Return what couples the inner frames to (last frame, latent, shape) and their gradient, [B, S, n, G, m + 11]."""
    width = blocks.frame.shape[-1]
    b, (segments, positions, last) = len(blocks.frame), plan.ends
    out = blocks.frame.new_zeros(b, *plan.frames.shape, width, m + SHAPE + 1)
    if m > width:
        out[..., width:m] = blocks.frame_latent[:, plan.frames, 0]
    out[..., m : m + SHAPE] = blocks.frame_betas[:, plan.frames]
    out[..., -1] = blocks.g_frame[:, plan.frames]
    out *= plan.exists
    out[:, segments, positions, :, :width] = blocks.before[:, last]
    return out.unflatten(2, (plan.n, plan.g)).flatten(3, 4)


def _previous_columns(blocks: ArrowheadSystem, plan: SweepLayout, m: int) -> Tensor:
    """Return what couples the last blocks' frames to (last frame, latent) of the segment before, [B, S, n', G, m]."""
    width, reached = blocks.frame.shape[-1], slice((plan.n - plan.tail) * plan.g, None)
    frames, (segments, first) = plan.frames[:, reached], plan.starts
    out = blocks.frame.new_zeros(len(blocks.frame), *frames.shape, width, m)
    if m > width:
        out[..., width:] = blocks.frame_latent[:, frames, 1] * plan.exists[:, reached]
    out[:, segments, -1, :, :width] = blocks.before[:, first].mT
    return out.unflatten(2, (plan.tail, plan.g)).flatten(3, 4)
