"""What is left of a run of segments when its inner frames are eliminated: blocks of the chain.

Separate from `arrowhead`, which factors the chain.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hmpfit.fitting.normal_equations.blocks import ArrowheadSystem
from hmpfit.fitting.normal_equations.elimination import Eliminated, Segmentation, last_frames
from hmpfit.fitting.normal_equations.linearize import SHAPE


@dataclass(frozen=True)
class OuterBlocks:
    """What is left of a run of S segments: its part of the chain and what it takes from its surroundings, m = F + L."""

    diagonal: Tensor  # [B, S, m, m]
    before: Tensor  # [B, S, m, m] between the previous segment (rows) and this one (columns)
    border: Tensor  # [B, S, m, 10]
    right: Tensor  # [B, S, m, 1]
    corner: Tensor  # [B, 10, 10] to take from the shape's block
    corner_right: Tensor  # [B, 10, 1]
    previous: tuple[Tensor, Tensor, Tensor] | None  # to take from the previous run's last diagonal, border and right


def outer_blocks(
    part: ArrowheadSystem, frame: Tensor, cut: Segmentation, damping: Tensor, eliminated: Eliminated | None
) -> OuterBlocks:
    """Set up the chain of a run's segments and take the inner frames out of it."""
    segments, count = cut.segments, len(cut.segments)
    width, size = part.frame.shape[-1], part.latent.shape[-1]
    m = width + size
    last = last_frames(cut, frame.device)
    diagonal = frame.new_zeros(len(frame), count, m, m)
    diagonal[..., :width, :width] = frame[:, last]
    border, right = part.frame_betas[:, last], -part.g_frame[:, last, :, None]
    coupling = frame.new_zeros(len(frame), count, m, m)  # rows: this segment's block, columns: the previous one's
    if size:
        border = torch.cat((border, part.latent_betas), dim=2)
        right = torch.cat((right, -part.g_latent[..., None]), dim=2)
        own = part.frame_latent[:, last]
        diagonal[..., width:, width:] = damped(part.latent, damping)
        diagonal[..., :width, width:], diagonal[..., width:, :width] = own[:, :, 0], own[:, :, 0].mT
        coupling[..., width:, width:] = part.latent_previous
        coupling[..., :width, width:] = own[:, :, 1]
    for s, (a, z) in enumerate(segments):  # a segment of one frame has no inner frame between it and the one before
        if z - a == 1:
            coupling[:, s, :width, :width] = part.before[:, a].mT
    if eliminated is None:
        zero = border.new_zeros(len(border), SHAPE, SHAPE + 1)
        return OuterBlocks(diagonal, coupling.mT, border, right, zero[..., :-1], zero[..., -1:], None)
    o, p = eliminated.own.flatten(2, 3), eliminated.previous.flatten(2, 3)
    tail = o[:, :, o.shape[2] - p.shape[2] :]
    oo, pp, po = o[..., :-1].mT @ o, p.mT @ p, p.mT @ tail
    diagonal -= oo[..., :m, :m]
    border, right = border - oo[..., :m, m:-1], right + oo[..., :m, -1:]
    coupling -= po[..., :m].mT
    diagonal[:, :-1] -= pp[:, 1:]
    border[:, :-1] -= po[:, 1:, :, m:-1]
    right[:, :-1] += po[:, 1:, :, -1:]
    before = pp[:, 0], po[:, 0, :, m:-1], po[:, 0, :, -1:]
    return OuterBlocks(diagonal, coupling.mT, border, right, oo[..., m:, m:-1].sum(1), oo[..., m:, -1:].sum(1), before)


def damped(matrix: Tensor, damping: Tensor) -> Tensor:
    """Return matrices with their diagonals times (1 + damping [B]), and a floor of 1e-9 added."""
    diagonal = torch.diagonal(matrix, dim1=-2, dim2=-1)
    extra = diagonal * damping.to(diagonal).reshape(-1, *[1] * (diagonal.ndim - 1)) + 1e-9
    return matrix + torch.diag_embed(extra)
