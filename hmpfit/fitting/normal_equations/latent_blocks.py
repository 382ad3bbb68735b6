"""Blocks of the latents, from the terms' derivatives by finger poses and the decoder's Jacobian.

Windows are taken a group at a time and their Jacobians dropped again, so that memory does not grow with the clip.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hmpfit.fitting.normal_equations.blocks import ArrowheadSystem
from hmpfit.fitting.normal_equations.local_sums import POSE, RIGID, SHAPE, LocalSums
from hmpfit.fitting.pose_field import WindowGroup
from hmpfit.interfaces.term import Motion

_TILE = 96  # rows of a symmetric product made at a time
POSES = slice(RIGID + SHAPE, RIGID + SHAPE + POSE)


@dataclass(frozen=True)
class PreviousWindow:
    """What the next window needs of the one before: its Jacobian in the frames that both cover, n of them."""

    code: Tensor  # [B, n, 90, C]
    d_pose: Tensor  # [B, n, 45, C]
    path: Tensor | None  # [n, C, L]


def add_latents(
    blocks: ArrowheadSystem, seen: Motion, sums: LocalSums, group: WindowGroup, start: int, tail: PreviousWindow | None
) -> PreviousWindow | None:
    """Chain the sums over poses and overlaps to a group's latents, into the blocks; pass on what the next one needs.

    `seen` is the motion in the frames of the sums, which begin with frame `start` of the clip and include all that the
    group's windows cover. Groups come in order.
    """
    field, latent, rot6d = blocks.field, seen.latent, seen.rot6d
    assert field is not None and latent is not None and rot6d is not None
    to_pose = field.blend_jacobian(rot6d, start)
    code, path = field.jacobian(latent, group)  # [B, G, N, 90, C], [N, C, L]
    frames, share, at = group.frames - start, group.share, group.windows
    d_pose = (to_pose[:, frames] @ code.unflatten(3, (15, 6))).flatten(3, 4) * share[..., None, None]
    pulled = (sums.overlap[:, frames] * group.sign.abs()[..., None])[..., None] * code
    weighted = sums.local[..., POSES, POSES][:, frames] @ d_pose
    blocks.latent[:, at] += _gram(d_pose, weighted, code, pulled, path)
    by_rest = sums.local[..., : RIGID + SHAPE, POSES][:, frames] @ d_pose
    push = sums.g_local[..., None, POSES][:, frames] @ d_pose
    push = push + (group.sign[..., None] * sums.g_overlap[:, frames])[..., None, :] @ code
    rows = _lift_sum(torch.cat((by_rest[..., RIGID:, :], push), dim=-2), path)
    blocks.latent_betas[:, at] += rows[..., :SHAPE, :].mT
    blocks.g_latent[:, at] += rows[..., SHAPE, :]
    following: PreviousWindow | None = tail
    for row in range(group.count):
        w = group.first + row
        (a, end), (_, stop) = field.layout.segments[w], field.layout.windows[w]
        own, before = end - a, field.layout.windows[w - 1][1] - a if w else 0
        blocks.frame_code[:, a:end, 0] = by_rest[:, row, :own, :RIGID]
        blocks.frame_code[:, end:stop, 1] = by_rest[:, row, own : stop - a, :RIGID]
        if before > 0 and following is not None:
            left = None if path is None else path[:before]
            here = weighted[:, row, :before], pulled[:, row, :before]
            blocks.latent_previous[:, w] += _between(*here, left, following)
        shared = slice(own, stop - a)
        following = PreviousWindow(code[:, row, shared], d_pose[:, row, shared], None if path is None else path[shared])
    return (
        None if following is None else replace(following, code=following.code.clone(), d_pose=following.d_pose.clone())
    )


def _lift_sum(rows: Tensor, path: Tensor | None) -> Tensor:
    """Do what `_lift` does and sum over the frames, [B, G, R, L], as one product."""
    if path is None:
        return rows.sum(2)
    return rows.transpose(2, 3).flatten(3) @ path.flatten(0, 1)


def _gram(d_pose: Tensor, weighted: Tensor, code: Tensor, pulled: Tensor, path: Tensor | None) -> Tensor:
    """Return the sum over frames of d_pose' weighted + code' pulled, by the latent, [B, G, L, L]."""
    if path is None:
        return d_pose.flatten(2, 3).mT @ weighted.flatten(2, 3) + code.flatten(2, 3).mT @ pulled.flatten(2, 3)
    middle = d_pose.mT @ weighted + code.mT @ pulled
    middle = middle.flatten(0, 1)
    # On a CPU a window at a time stays in the cache; a GPU wants them all.
    parts = (
        [_pressed(row, path)[None] for row in middle] if middle.device.type == "cpu" else [_all_pressed(middle, path)]
    )
    return torch.cat(parts).unflatten(0, code.shape[:2])


def _pressed(middle: Tensor, path: Tensor) -> Tensor:
    """Return the sum over frames of path' middle path, [N, C, C] and [N, C, L] to [L, L]; only half is computed."""
    left, right = path.flatten(0, 1), (middle @ path).flatten(0, 1)
    out = left.new_zeros(left.shape[1], left.shape[1])
    for first in range(0, len(out), _TILE):
        last = first + _TILE
        out[first:last, :last] = left[:, first:last].T @ right[:, :last]
    return out.tril() + out.tril(-1).mT


def _all_pressed(middle: Tensor, path: Tensor) -> Tensor:
    """Do the same for windows [R, N, C, C]: rows side by side, because as a batch each would copy the path."""
    right = (middle.transpose(0, 1).flatten(1, 2) @ path).unflatten(1, (len(middle), -1)).transpose(1, 2)
    return (path.flatten(0, 1).T @ right.flatten(2).flatten(0, 1)).unflatten(1, (len(middle), -1)).transpose(0, 1)


def _between(weighted: Tensor, pulled: Tensor, path: Tensor | None, before: PreviousWindow) -> Tensor:
    """Return what couples a window (rows) with the one before over the frames that both cover, [B, L, L]."""
    if path is None:
        here, there = (part.flatten(1, 2) for part in (weighted, before.d_pose))
        return here.mT @ there - pulled.flatten(1, 2).mT @ before.code.flatten(1, 2)
    assert before.path is not None
    middle = weighted.mT @ before.d_pose - pulled.mT @ before.code
    return path.flatten(0, 1).T @ (middle @ before.path).flatten(1, 2)
