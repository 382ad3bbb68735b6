"""Planes between the surfaces of two hands: where their meshes overlap, and the way out.

A vertex inside the other hand (or near it) gets the plane half way to the other's surface. Vertices are searched coarse
to fine: the boxes of a hand's parts first, then the nearest vertex, then a ray through the closed mesh.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from hmpfit.geometry.enclosure import inside, pack_indices
from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model import HandModel
from hmpfit.hands.watertight import HandSurface

MARGIN_M = 0.004  # outside the other hand, within which a vertex gets a plane it does not cross yet
QUERY_VERTICES = 240  # vertices of a hand that are tested
TARGET_VERTICES = 480  # vertices among which their nearest is sought
MAX_PLANES = 40  # planes of a frame and direction that are kept, deepest first
MANO_VERTICES = 778.0  # the paper sums over so many; the query vertices stand for them
_TOUCHING_M = 2e-4


@dataclass(frozen=True)
class CollisionHand:
    """One side's hand as the search needs it."""

    mano: ManoHand
    surface: HandSurface
    query: Tensor  # [QUERY_VERTICES] vertices spread evenly over the hand
    targets: Tensor  # [TARGET_VERTICES] likewise
    owner: Tensor  # [V] the joint that moves a vertex most

    @classmethod
    def of(cls, model: HandModel, device: torch.device | str) -> "CollisionHand":
        """Prepare a hand model."""
        owner = torch.as_tensor(model.weights.argmax(1), device=device)
        spread = torch.as_tensor(_farthest_points(model.v_template, TARGET_VERTICES), device=device)
        surface = HandSurface.of(model, device)
        return cls(ManoHand(model, torch.float32, device), surface, spread[:QUERY_VERTICES], spread, owner)


@dataclass(frozen=True)
class ContactPlanes:
    """K pairs of vertices a frame, right hand's and left hand's, and the direction in which the right one has to go."""

    vertex: tuple[Tensor, Tensor]  # [N, K] each
    place: tuple[Tensor, Tensor]  # [N, K, 3] each, camera's frame
    normal: Tensor  # [N, K, 3]
    gap: Tensor  # [N, K] meters that the surfaces are in each other along the normal; negative where apart
    real: Tensor  # [N, K]
    share: float  # MANO's vertices that one of these stands for

    @property
    def touching(self) -> bool:
        """Whether any vertex is inside the other hand."""
        return bool((self.gap > _TOUCHING_M).any())

    def residual_rows(
        self, frames: Tensor, clearance_m: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return (frame, way of both hands [6] that lessens the depth, depth, share) of each real plane, flat."""
        frame = frames[:, None].expand_as(self.real)[self.real]
        ways = torch.cat((self.normal, -self.normal), dim=-1)[self.real]
        depth = self.gap[self.real] + clearance_m
        arrays = [part.double().cpu().numpy() for part in (frame, ways, depth)]
        return arrays[0], arrays[1], arrays[2], np.full(len(arrays[2]), self.share)


@dataclass(frozen=True)
class CloseFrames:
    """Two hands that are near: rows of the batch (right, left), N frames, meshes [N, V, 3] in the camera's frame."""

    rows: tuple[int, int]
    frames: Tensor
    meshes: tuple[Tensor, Tensor]
    normals: tuple[Tensor, Tensor]  # [N, V, 3], outwards

    def moved(self, move: Tensor) -> "CloseFrames":
        """Return the same after translations [T, 6] of the right and the left hand."""
        by = move[self.frames.cpu()].to(self.meshes[0])[:, None]
        return replace(self, meshes=(self.meshes[0] + by[..., :3], self.meshes[1] + by[..., 3:]))

    def planes(self, hands: tuple[CollisionHand, CollisionHand]) -> ContactPlanes:
        """Find the planes between the hands, from both sides."""
        return _find_planes(self.meshes, self.normals, hands)

    def select_frames(self, chosen: Tensor) -> "CloseFrames":
        """Keep some of the frames."""
        meshes, normals = ((part[0][chosen], part[1][chosen]) for part in (self.meshes, self.normals))
        return CloseFrames(self.rows, self.frames[chosen], meshes, normals)


def _find_planes(
    meshes: tuple[Tensor, Tensor], normals: tuple[Tensor, Tensor], hands: tuple[CollisionHand, CollisionHand]
) -> ContactPlanes:
    """Find the planes between two hands' meshes [N, V, 3] from both sides."""
    parts = [
        _planes_of(meshes[side], meshes[1 - side], normals[1 - side], hands[side], hands[1 - side]) for side in (0, 1)
    ]
    (own, other, normal, gap, real), (own_l, other_l, normal_l, gap_l, real_l) = parts
    vertex = (torch.cat((own, other_l), 1), torch.cat((other, own_l), 1))
    place = tuple(mesh.gather(1, index[..., None].expand(-1, -1, 3)) for mesh, index in zip(meshes, vertex))
    share = MANO_VERTICES / len(hands[0].query)
    return ContactPlanes(
        vertex, (place[0], place[1]), torch.cat((normal, -normal_l), 1), torch.cat((gap, gap_l), 1),
        torch.cat((real, real_l), 1), share,
    )  # fmt: skip


def _planes_of(
    mesh: Tensor, other: Tensor, other_normals: Tensor, hand: CollisionHand, other_hand: CollisionHand
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return vertices of a hand in or near another: (vertex, the other's nearest, its normal, depth, real), [N, K]."""
    query = mesh[:, hand.query]
    closed = other_hand.surface.closed(other)
    near = torch.zeros(query.shape[:2], dtype=torch.bool, device=query.device)
    for part in other_hand.surface.parts:
        corner = closed[:, part]
        low, high = corner.amin(1, keepdim=True) - MARGIN_M, corner.amax(1, keepdim=True) + MARGIN_M
        near |= ((query > low) & (query < high)).all(-1)
    picked, kept = pack_indices(near)
    points = query.gather(1, picked[..., None].expand(-1, -1, 3))
    distance, at = _nearest(points, other[:, other_hand.targets])
    nearest = other_hand.targets[at]
    at = nearest[..., None].expand(-1, -1, 3)
    normal = other_normals.gather(1, at)
    gap = (normal * (other.gather(1, at) - points)).sum(-1)
    below, held = pack_indices(kept & (gap > 0))  # what lies outside the nearest plane is not deep
    rays = points.gather(1, below[..., None].expand(-1, -1, 3))
    bundles = other_hand.surface.bundles
    hit = inside(rays, closed, other_hand.surface.faces, "winding", bundles) & held
    deep = torch.zeros_like(kept).scatter(1, below, hit)
    real = kept & (deep | ((gap < 0) & (distance < MARGIN_M)))
    gap = torch.where(real, torch.where(deep, gap.clamp_min(0), gap), -torch.inf)
    best = torch.topk(gap, min(MAX_PLANES, gap.shape[1]), dim=1).indices
    chosen = hand.query[picked].gather(1, best)
    return (
        chosen, nearest.gather(1, best), normal.gather(1, best[..., None].expand(-1, -1, 3)),
        gap.gather(1, best), real.gather(1, best),
    )  # fmt: skip


def _nearest(points: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distance to and the index of the nearest of others [N, M, 3] for points [N, K, 3]."""
    if points.shape[1] == 0:
        return points[..., 0], points[..., 0].long()
    middle = others.mean(1, keepdim=True)  # near the origin float32 is exact enough for squares
    p, q = points - middle, others - middle
    squared = torch.baddbmm((q**2).sum(-1)[:, None], p, q.mT, alpha=-2.0)
    least, at = squared.min(-1)
    return (least + (p**2).sum(-1)).clamp_min(0).sqrt(), at


def _farthest_points(points: np.ndarray, count: int) -> np.ndarray:
    """Choose vertices far from each other, farthest first."""
    chosen = [int(np.argmin(points[:, 0]))]
    distance = np.full(len(points), np.inf)
    while len(chosen) < min(count, len(points)):
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(1))
        chosen.append(int(distance.argmax()))
    return np.array(chosen)
