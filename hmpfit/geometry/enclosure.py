"""Inside or outside of a closed triangle mesh: crossings of a ray, and the distance to its surface.

Separate from the hands because any closed mesh will do. Batches are frames; memory is bounded by cutting the frames and
points into pieces. Everything keeps the dtype and device of its points.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

# A direction that no edge of a hand is likely to be parallel to; the paper's detector casts one fixed generic ray.
RAY = (0.4395, 0.6176, 0.6522)
Rule = Literal["odd", "winding"]
_PAIRS = 4_000_000  # of points and triangles held in memory at once


def inside(
    points: Tensor, vertices: Tensor, faces: Tensor, rule: Rule = "odd", groups: Sequence[Tensor] | None = None
) -> Tensor:
    """Return which points [T, N, 3] lie inside closed meshes of vertices [T, V, 3] and faces [F, 3], bool [T, N].

    Casts one ray from each point (STC, "interpenetration detector"). "odd": an odd number of crossings is inside.
    "winding": what goes in and out is counted with its sign, so that a region which the mesh covers twice (a finger in
    the own palm) is inside too; on a closed mesh this is the winding number. Which way the faces turn does not matter.
    `groups` are the faces' indices in bundles that lie together: a ray only meets bundles whose box it passes.
    """
    crossings = torch.zeros(points.shape[:2], dtype=torch.int32, device=points.device)
    turn = _basis(points)
    center = vertices.mean(-2, keepdim=True)
    turned, p = (vertices - center) @ turn, (points - center) @ turn  # the ray along the third axis
    for group in groups if groups is not None else [slice(None)]:
        corners = turned[:, faces[group]]  # [T, F, 3, 3]
        low, high = corners.amin((1, 2)), corners.amax((1, 2))
        meets = ((p[..., :2] >= low[:, None, :2]) & (p[..., :2] <= high[:, None, :2])).all(-1)
        picked, kept = pack_indices(meets & (p[..., 2] < high[:, None, 2]))
        if picked.shape[1]:
            found = _crossings(p.gather(1, picked[..., None].expand(-1, -1, 3)), corners, rule == "winding")
            crossings.scatter_add_(1, picked, torch.where(kept, found, 0))
    return crossings != 0 if rule == "winding" else crossings % 2 == 1


def _crossings(p: Tensor, corners: Tensor, signed: bool) -> Tensor:
    """Count the triangles [T, F, 3, 3] above points [T, N, 3] along the third axis, [T, N]; signed: up minus down."""
    a, b, c = corners.unbind(-2)
    lines = torch.stack((_line(b, c), _line(c, a), _line(a, b)), dim=1)  # [T, 3, F, 3]: edge functions, linear in p
    area = lines[..., 0].sum(1)
    weights = torch.stack((a[..., 2], b[..., 2], c[..., 2]), dim=1)[..., None]
    height = (lines * weights).sum(1) / torch.where(area == 0, torch.ones_like(area), area)[..., None]
    flat = torch.cat((torch.ones_like(p[..., :1]), p[..., :2]), dim=-1)
    out = torch.zeros(p.shape[:2], dtype=torch.int32, device=p.device)
    for f, n in _pieces(p.shape[0], p.shape[1], corners.shape[1]):
        at = flat[f, n]
        ahead = at @ height[f].mT > p[f, n, 2:]
        first, second, third = (at @ lines[f, edge].mT > 0 for edge in range(3))
        up = (first & second & third & ahead).sum(-1)
        down = (~(first | second | third) & ahead).sum(-1)
        out[f, n] = (up - down if signed else up + down).to(torch.int32)
    return out


def pack_indices(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Return indices [T, K] of the chosen entries of [T, N], K the most of any frame, and which of them are real."""
    most = int(chosen.sum(-1).max()) if chosen.numel() else 0
    order = torch.argsort(chosen.to(torch.int8), dim=-1, descending=True, stable=True)[:, :most]
    return order, chosen.gather(1, order)


def surface_distance(points: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    """Return the distances [T, N] from points [T, N, 3] to the nearest triangle of meshes [T, V, 3], faces [F, 3]."""
    corners = vertices[:, faces]
    out = points.new_zeros(points.shape[:2])
    for f, n in _pieces(points.shape[0], points.shape[1], 8 * len(faces)):
        a, b, c = corners[f][:, None].unbind(-2)
        p = points[f, n][:, :, None]
        squared = torch.stack([_to_segment(p, u, v) for u, v in ((a, b), (b, c), (c, a))]).amin(0)
        normal = torch.linalg.cross(b - a, c - a)
        within = torch.stack(
            [(torch.linalg.cross(v - u, p - u) * normal).sum(-1) >= 0 for u, v in ((a, b), (b, c), (c, a))]
        ).all(0)
        plane = ((p - a) * normal).sum(-1) ** 2 / (normal**2).sum(-1).clamp_min(1e-30)
        out[f, n] = torch.where(within, torch.minimum(plane, squared), squared).amin(-1).sqrt()
    return out


def _basis(like: Tensor) -> Tensor:
    """Return an orthonormal matrix whose third column is the ray's direction."""
    ray = torch.nn.functional.normalize(torch.tensor(RAY, dtype=like.dtype, device=like.device), dim=0)
    first = torch.nn.functional.normalize(torch.linalg.cross(ray, ray.roll(1)), dim=0)
    return torch.stack((first, torch.linalg.cross(ray, first), ray), dim=-1)


def _line(u: Tensor, v: Tensor) -> Tensor:
    """Return the coefficients (1, x, y) of the edge function (u - p) x (v - p) of a point p in the plane, [..., 3]."""
    return torch.stack(
        (u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0], u[..., 1] - v[..., 1], v[..., 0] - u[..., 0]), dim=-1
    )


def _to_segment(p: Tensor, u: Tensor, v: Tensor) -> Tensor:
    edge = v - u
    share = (((p - u) * edge).sum(-1) / (edge**2).sum(-1).clamp_min(1e-30)).clamp(0, 1)
    return ((p - u - share[..., None] * edge) ** 2).sum(-1)


def _pieces(frames: int, points: int, triangles: int) -> Iterator[tuple[slice, slice]]:
    """Cut frames and points so that no piece pairs more than `_PAIRS` points and triangles."""
    if points == 0:
        return
    at_once = max(1, min(points, _PAIRS // max(triangles, 1)))
    frames_at_once = max(1, _PAIRS // (at_once * max(triangles, 1)))
    for f in range(0, frames, frames_at_once):
        for n in range(0, points, at_once):
            yield slice(f, f + frames_at_once), slice(n, n + at_once)
