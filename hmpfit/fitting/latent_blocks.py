"""From what the terms say about finger poses to the blocks of the latents, through the decoder's Jacobian.

Windows are taken a group at a time and their Jacobians dropped again, so that memory does not grow with the clip.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hmpfit.fitting.local_sums import POSE, RIGID, SHAPE, LocalSums
from hmpfit.fitting.pose_field import Group, PoseField

POSES = slice(RIGID + SHAPE, RIGID + SHAPE + POSE)


@dataclass(frozen=True)
class LatentBlocks:
    """The blocks of `linearize.Blocks` that the latents take part in."""

    frame_latent: Tensor  # [B, T, 2, F, L]
    latent: Tensor  # [B, W, L, L]
    latent_previous: Tensor  # [B, W, L, L]
    latent_betas: Tensor  # [B, W, L, 10]
    g_latent: Tensor  # [B, W, L]


@dataclass(frozen=True)
class _Tail:
    """What the next window needs of the one before: its Jacobian in the frames that both cover, n of them."""

    code: Tensor  # [B, n, 90, C]
    d_pose: Tensor  # [B, n, 45, C]
    path: Tensor | None  # [n, C, L]


def latent_blocks(field: PoseField, latent: Tensor, six: Tensor, sums: LocalSums) -> LatentBlocks:
    """Chain the sums over poses and overlaps to the latents [B, W, L], decoded to `six` [B, T, 2, 90]."""
    b, t = sums.local.shape[:2]
    windows, size = latent.shape[1:]
    to_pose = field.blend_jacobian(six)
    new = sums.local.new_zeros
    out = LatentBlocks(
        new(b, t, 2, RIGID, size), torch.diag_embed(sums.latent_diagonal), new(b, windows, size, size),
        new(b, windows, size, SHAPE), sums.g_latent.clone(),
    )  # fmt: skip
    tail: _Tail | None = None
    for group in field.groups:
        tail = _add_group(out, field, latent, to_pose, sums, group, tail)
    return out


def _add_group(
    out: LatentBlocks, field: PoseField, latent: Tensor, to_pose: Tensor, sums: LocalSums, group: Group,
    tail: _Tail | None,
) -> _Tail | None:  # fmt: skip
    code, path = field.jacobian(latent, group)  # [B, G, N, 90, C], [N, C, L]
    frames, share, at = group.frames, group.share, group.windows
    d_pose = (to_pose[:, frames] @ code.unflatten(3, (15, 6))).flatten(3, 4) * share[..., None, None]
    pulled = (sums.overlap[:, frames] * group.sign.abs()[..., None])[..., None] * code
    weighted = sums.local[..., POSES, POSES][:, frames] @ d_pose
    out.latent[:, at] += _gram(d_pose, weighted, code, pulled, path)
    by_rest = sums.local[..., : RIGID + SHAPE, POSES][:, frames] @ d_pose
    push = sums.g_local[..., None, POSES][:, frames] @ d_pose
    push = push + (group.sign[..., None] * sums.g_overlap[:, frames])[..., None, :] @ code
    rows = _lift_sum(torch.cat((by_rest[..., RIGID:, :], push), dim=-2), path)
    out.latent_betas[:, at] += rows[..., :SHAPE, :].mT
    out.g_latent[:, at] += rows[..., SHAPE, :]
    by_frame = _lift(by_rest[..., :RIGID, :], path)
    following: _Tail | None = tail
    for row in range(group.count):
        w = group.first + row
        (a, end), (_, stop) = field.layout.segments[w], field.layout.windows[w]
        own, before = end - a, field.layout.windows[w - 1][1] - a if w else 0
        out.frame_latent[:, a:end, 0] = by_frame[:, row, :own]
        out.frame_latent[:, end:stop, 1] = by_frame[:, row, own : stop - a]
        if before > 0 and following is not None:
            left = None if path is None else path[:before]
            here = weighted[:, row, :before], pulled[:, row, :before]
            out.latent_previous[:, w] += _between(*here, left, following)
        shared = slice(own, stop - a)
        following = _Tail(code[:, row, shared], d_pose[:, row, shared], None if path is None else path[shared])
    return following


def _lift(rows: Tensor, path: Tensor | None) -> Tensor:
    """Turn derivatives by the code [B, G, N, R, C] into derivatives by the latent [B, G, N, R, L]."""
    return rows if path is None else rows @ path


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
    parts = [_pressed(rows, path) for rows in (middle.split(1) if middle.device.type == "cpu" else (middle,))]
    return torch.cat(parts).unflatten(0, code.shape[:2])


def _pressed(middle: Tensor, path: Tensor) -> Tensor:
    """Return the sum over frames of path' middle path, [R, N, C, C] and [N, C, L] to [R, L, L].

    Rows go beside one another in one product a frame: as a batch each would get its own copy of the path.
    """
    right = (middle.transpose(0, 1).flatten(1, 2) @ path).unflatten(1, (len(middle), -1)).transpose(1, 2)
    return (path.flatten(0, 1).T @ right.flatten(2).flatten(0, 1)).unflatten(1, (len(middle), -1)).transpose(0, 1)


def _between(weighted: Tensor, pulled: Tensor, path: Tensor | None, before: _Tail) -> Tensor:
    """Return what couples a window (rows) with the one before over the frames that both cover, [B, L, L]."""
    if path is None:
        here, there = (part.flatten(1, 2) for part in (weighted, before.d_pose))
        return here.mT @ there - pulled.flatten(1, 2).mT @ before.code.flatten(1, 2)
    assert before.path is not None
    middle = weighted.mT @ before.d_pose - pulled.mT @ before.code
    return path.flatten(0, 1).T @ (middle @ before.path).flatten(1, 2)
