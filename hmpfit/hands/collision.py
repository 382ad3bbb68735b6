"""Penetration of two hands: which vertices of one lie inside the other, and its cost, in batches over frames.

Coarse to fine, so that hands apart cost next to nothing: boxes of the hands, boxes of the parts of a hand, and
rays only for the vertices that are left. What the fit, the networks' training, the metric and the made clips share.
"""

import torch
from torch import Tensor

from hmpfit.geometry.enclosure import inside, pack_indices
from hmpfit.hands.watertight import HandSurface

PAPER_ALPHA_M = 0.02  # STC, equation 6


def boxes_meet(first: Tensor, second: Tensor, margin_m: float = 0.0) -> Tensor:
    """Return in which frames the boxes around points [T, N, 3] and [T, M, 3] are within a margin, bool [T]."""
    gap = torch.maximum(first.amin(-2) - second.amax(-2), second.amin(-2) - first.amax(-2))
    return (gap <= margin_m).all(-1)


def vertices_inside(vertices: Tensor, other: Tensor, surface: HandSurface) -> Tensor:
    """Return which vertices [T, V, 3] of one hand lie inside another's open mesh [T, W, 3] of `surface`, bool [T, V].

    Exact: a ray is cast from every vertex inside the box of one of the other hand's parts, the rule is "winding".
    """
    found = torch.zeros(vertices.shape[:2], dtype=torch.bool, device=vertices.device)
    near = boxes_meet(vertices, other).nonzero()[:, 0]
    if len(near) == 0:
        return found
    points, closed = vertices[near], surface.closed(other[near])
    candidates = torch.zeros(points.shape[:2], dtype=torch.bool, device=points.device)
    for part in surface.parts:
        candidates |= _in_box(points, closed[:, part])
    picked, kept = pack_indices(candidates)
    if picked.shape[1] == 0:
        return found
    rays = points.gather(1, picked[..., None].expand(-1, -1, 3))
    hit = inside(rays, closed, surface.faces, "winding", surface.bundles) & kept
    found[near] = torch.zeros_like(candidates).scatter(1, picked, hit) & candidates
    return found


def interpenetration(
    vertices: Tensor,
    other: Tensor,
    surface: HandSurface,
    other_surface: HandSurface,
    alpha_m: float = PAPER_ALPHA_M,
) -> Tensor:
    """Return STC's L_inter of each frame, [T]: hands' meshes [T, V, 3] and [T, W, 3], meters.

    The sum over the vertices v of either hand that lie inside the other of alpha tanh(d / alpha), d being the distance
    to the other hand's nearest vertex (equation 6, whose second argument must be the other hand). Which vertices are
    inside is not differentiated, d is, towards both hands; frames without a collision cost no distance table.
    """
    total = vertices.new_zeros(len(vertices))
    for here, there, closed_by in ((vertices, other, other_surface), (other, vertices, surface)):
        with torch.no_grad():
            picked, kept = pack_indices(vertices_inside(here, there, closed_by))
            hit = kept.any(1).nonzero()[:, 0]
        if len(hit) == 0:
            continue
        points = here[hit].gather(1, picked[hit][..., None].expand(-1, -1, 3))
        with torch.no_grad():
            nearest = torch.cdist(points, there[hit]).argmin(-1)
        gap = points - there[hit].gather(1, nearest[..., None].expand(-1, -1, 3))
        distance = (gap**2).sum(-1).clamp_min(1e-16).sqrt()
        cost = torch.where(kept[hit], alpha_m * torch.tanh(distance / alpha_m), 0.0).sum(-1)
        total = total.index_add(0, hit, cost)
    return total


def _in_box(points: Tensor, cloud: Tensor) -> Tensor:
    return ((points >= cloud.amin(-2, keepdim=True)) & (points <= cloud.amax(-2, keepdim=True))).all(-1)
