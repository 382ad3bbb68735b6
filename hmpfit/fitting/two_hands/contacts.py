"""Where two fitted hands meet: planes between their surfaces that neither may cross, found anew now and then.

Hands are problems of their own in a batch, so a collision of two is split in the middle: each vertex that is inside the
other hand (or near it) gets the plane half way to the other's surface, and both hands have to get behind it, by turning
and bending: planes stay with the wrist. Pairs are searched coarse to fine; frames whose hands are apart cost a
comparison of two boxes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hmpfit.fitting.term import Evidence, Motion
from hmpfit.geometry.enclosure import inside, packed
from hmpfit.hands.collision import boxes_meet
from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model import HandModel, HandModels
from hmpfit.hands.watertight import HandSurface
from hmpfit.records import HandMotion
from hmpfit.skeleton import MANO16_TO_OPENPOSE, MANO_PARENTS

NEAR_M = 0.03  # between the boxes of two hands' landmarks, within which meshes are looked at
MARGIN_M = 0.004  # outside the other hand, within which a vertex gets a plane it does not cross yet
ASKED = 240  # vertices of a hand that are looked at
TARGETS = 480  # vertices among which their nearest is sought
SLOTS = 40  # planes of a frame and direction that are kept, deepest first
MANO_VERTICES = 778.0  # the paper sums over so many; the vertices asked stand for them
_TOUCHING_M = 2e-4


@dataclass(frozen=True)
class Body:
    """One side's hand as the search needs it."""

    mano: ManoHand
    surface: HandSurface
    asked: Tensor  # [ASKED] vertices spread evenly over the hand
    targets: Tensor  # [TARGETS] likewise
    owner: Tensor  # [V] the joint that moves a vertex most

    @classmethod
    def of(cls, model: HandModel, device: torch.device | str) -> "Body":
        """Prepare a hand model."""
        owner = torch.as_tensor(model.weights.argmax(1), device=device)
        spread = torch.as_tensor(_spread(model.v_template, TARGETS), device=device)
        surface = HandSurface.of(model, device)
        return cls(ManoHand(model, torch.float32, device), surface, spread[:ASKED], spread, owner)


@dataclass(frozen=True)
class Pairs:
    """Which rows of a batch are two hands of one clip (right row, left row)."""

    rows: tuple[tuple[int, int], ...]
    models: HandModels
    flips: Tensor  # [B, 3] from a row's right-hand form to the camera's frame

    @classmethod
    def of(cls, start: HandMotion, models: HandModels, evidence: Evidence) -> "Pairs | None":
        """Pair the right and the left hand of each person of one clip; None where nobody has both.

        `start` says sides and persons; of several hands of a side of one person the first counts.
        """
        rows = []
        for person in np.unique(start.person_id):
            own = start.person_id == person
            right, left = np.flatnonzero(own & start.is_right), np.flatnonzero(own & ~start.is_right)
            if len(right) and len(left):
                rows.append((int(right[0]), int(left[0])))
        if not rows:
            return None
        flips = torch.ones(len(start.is_right), 3, device=evidence.xy_px.device)
        flips[torch.as_tensor(~start.is_right), 0] = -1
        return cls(tuple(rows), models, flips)

    def each(self) -> Iterator["Pairs"]:
        """Yield every pair alone."""
        yield from (replace(self, rows=(pair,)) for pair in self.rows)

    @cached_property
    def bodies(self) -> tuple[Body, Body]:
        """The right and the left hand's meshes, prepared when hands first come near."""
        right = Body.of(self.models.right, self.flips.device)
        return right, right if self.models.left is self.models.right else Body.of(self.models.left, self.flips.device)

    def of_one_shape(self, evidence: Evidence, motion: Motion) -> Evidence:
        """Return the evidence with the middle of both shapes, to which each hand is drawn."""
        middle, weight = motion.betas.clone(), motion.betas.new_zeros(len(motion.betas))
        for right, left in self.rows:
            middle[right] = middle[left] = (motion.betas[right] + motion.betas[left]) / 2
            weight[right] = weight[left] = 1.0
        return replace(evidence, pair_betas=middle, pair_weight=weight)

    def meetings(self, motion: Motion, points: Tensor) -> list["Meeting"]:
        """Return the pairs whose hands are near in some frames, with their meshes there.

        `points` are the landmark points [B, T, 21, 3] of the motion.
        """
        found = []
        for rows in self.rows:
            seen = [points[row].float() * self.flips[row] for row in rows]
            frames = boxes_meet(seen[0], seen[1], NEAR_M).nonzero()[:, 0]
            if len(frames):
                right, left = (self._mesh(side, row, motion, frames) for side, row in enumerate(rows))
                normals = (self.bodies[0].surface.normals(right), self.bodies[1].surface.normals(left))
                found.append(Meeting(rows, frames, (right, left), normals))
        return found

    def planes(self, evidence: Evidence, motion: Motion, points: Tensor) -> tuple[Evidence, bool]:
        """Return the evidence with planes where two hands are near, and whether any vertex is inside the other hand."""
        found = [(one, one.planes(self.bodies)) for one in self.meetings(motion, points)]
        if not any(bool(planes.real.any()) for _, planes in found):
            return replace(evidence, contact_joint=None), False
        return self._attached(evidence, motion, points, found), any(planes.touching for _, planes in found)

    def _mesh(self, side: int, row: int, motion: Motion, frames: Tensor) -> Tensor:
        """Return a hand's vertices [N, V, 3] in the camera's frame at some frames."""
        rotations = torch.cat((motion.global_R[row, frames, None], motion.hand_R[row, frames]), dim=1).float()
        posed = self.bodies[side].mano.skin(rotations, motion.betas[row].float(), motion.transl[row, frames].float())
        return posed * self.flips[row]

    def _attached(
        self, evidence: Evidence, motion: Motion, points: Tensor, found: list[tuple["Meeting", "Planes"]]
    ) -> Evidence:
        """Fix each plane's vertex to the joint that moves it most, in every row's own right-hand form."""
        batch, count = points.shape[:2]
        most = max(planes.gap.shape[1] for _, planes in found)
        new = points.new_zeros
        joint = torch.zeros(batch, count, most, dtype=torch.long, device=points.device)
        offset, plane, normal = (new(batch, count, most, 3) for _ in range(3))
        weight = new(batch, count, most)
        turns, wrist = joint_rotations(motion), points[:, :, :1]
        for meeting, planes in found:
            k, frames = slice(0, planes.gap.shape[1]), meeting.frames
            for side, row in enumerate(meeting.rows):
                flip = self.flips[row].to(points)
                owner = self.bodies[side].owner[planes.vertex[side]]
                at = planes.place[side].to(points) * flip
                start = points[row, frames].gather(1, _landmark(owner)[..., None].expand(-1, -1, 3))
                turn = turns[row, frames].gather(1, owner[..., None, None].expand(-1, -1, 3, 3))
                joint[row, frames, k] = owner
                offset[row, frames, k] = (turn.mT @ (at - start)[..., None])[..., 0]
                middle = (planes.place[0] + planes.place[1]).to(points) / 2
                plane[row, frames, k] = middle * flip - wrist[row, frames]
                normal[row, frames, k] = planes.normal.to(points) * flip * (1.0 if side == 0 else -1.0)
                weight[row, frames, k] = planes.real.to(points) * planes.share
        return replace(
            evidence, contact_joint=joint, contact_offset=offset, contact_plane=plane, contact_normal=normal,
            contact_weight=weight,
        )  # fmt: skip


@dataclass(frozen=True)
class Planes:
    """K pairs of vertices a frame, right hand's and left hand's, and the way the right one has to go."""

    vertex: tuple[Tensor, Tensor]  # [N, K] each
    place: tuple[Tensor, Tensor]  # [N, K, 3] each, camera's frame
    normal: Tensor  # [N, K, 3]
    gap: Tensor  # [N, K] metres that the surfaces are in each other along the normal; negative where apart
    real: Tensor  # [N, K]
    share: float  # MANO's vertices that one of these stands for

    @property
    def touching(self) -> bool:
        """Whether any vertex is inside the other hand."""
        return bool((self.gap > _TOUCHING_M).any())

    def rows(self, frames: Tensor, skin_m: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return (frame, way of both hands [6] that lessens the depth, depth, share) of each real plane, flat."""
        frame = frames[:, None].expand_as(self.real)[self.real]
        ways = torch.cat((self.normal, -self.normal), dim=-1)[self.real]
        depth = self.gap[self.real] + skin_m
        arrays = [part.double().cpu().numpy() for part in (frame, ways, depth)]
        return arrays[0], arrays[1], arrays[2], np.full(len(arrays[2]), self.share)


@dataclass(frozen=True)
class Meeting:
    """Two hands that are near: rows of the batch (right, left), N frames, meshes [N, V, 3] in the camera's frame."""

    rows: tuple[int, int]
    frames: Tensor
    meshes: tuple[Tensor, Tensor]
    normals: tuple[Tensor, Tensor]  # [N, V, 3], outwards

    def moved(self, move: Tensor) -> "Meeting":
        """Return the meeting after moves [T, 6] of the right and the left hand."""
        by = move[self.frames.cpu()].to(self.meshes[0])[:, None]
        return replace(self, meshes=(self.meshes[0] + by[..., :3], self.meshes[1] + by[..., 3:]))

    def planes(self, bodies: tuple[Body, Body]) -> Planes:
        """Find the planes between the hands, from both sides."""
        return _between(self.meshes, self.normals, bodies)

    def some(self, chosen: Tensor) -> "Meeting":
        """Keep some of the frames."""
        meshes, normals = ((part[0][chosen], part[1][chosen]) for part in (self.meshes, self.normals))
        return Meeting(self.rows, self.frames[chosen], meshes, normals)


def joint_rotations(motion: Motion) -> Tensor:
    """Return the global rotations [B, T, 16, 3, 3] of the joints, MANO order."""
    turns = [motion.global_R]
    for joint in range(1, len(MANO_PARENTS)):
        turns.append(turns[MANO_PARENTS[joint]] @ motion.hand_R[..., joint - 1, :, :])
    return torch.stack(turns, dim=-3)


def contact_points(motion: Motion, points: Tensor, evidence: Evidence) -> Tensor:
    """Return where the planes' vertices are now, [B, T, K, 3] from their hand's wrist: each fixed to its joint."""
    arm, start = _arms(joint_rotations(motion), points, evidence)
    return start + arm - points[..., :1, :]


def contact_jacobian(motion: Motion, points: Tensor, d_points: Tensor, evidence: Evidence) -> Tensor:
    """Return the derivatives [B, T, K, 3, C] of `contact_points` by the C columns of d_points [B, T, 21, 3, C].

    Columns as in `kinematics.landmark_jacobian`; C = 16 leaves the finger joints out.
    """
    turns = joint_rotations(motion)
    arm, _ = _arms(turns, points, evidence)
    assert evidence.contact_joint is not None
    owner = evidence.contact_joint.long()
    columns = d_points.shape[-1]
    at = _landmark(owner)[..., None, None].expand(-1, -1, -1, 3, columns)
    out = d_points.gather(2, at) - d_points[:, :, :1]
    eye = torch.eye(3, dtype=points.dtype, device=points.device)
    out[..., :3] += torch.linalg.cross(eye.expand(*arm.shape, 3), arm[..., None].expand(*arm.shape, 3), dim=-2)
    if columns > 16:
        moves = _ABOVE.to(points)[owner]  # [B, T, K, 15]
        axes = turns[:, :, None, 1:].expand(*arm.shape[:-1], 15, 3, 3)
        lever = arm[..., None, :, None].expand(*arm.shape[:-1], 15, 3, 3)
        turned = torch.linalg.cross(axes, lever, dim=-2) * moves[..., None, None]
        out[..., 16:] += turned.movedim(-3, -2).flatten(-2)
    return out


def _arms(turns: Tensor, points: Tensor, evidence: Evidence) -> tuple[Tensor, Tensor]:
    assert evidence.contact_joint is not None and evidence.contact_offset is not None
    owner = evidence.contact_joint.long()
    start = points.gather(2, _landmark(owner)[..., None].expand(*owner.shape, 3))
    turn = turns.gather(2, owner[..., None, None].expand(*owner.shape, 3, 3))
    return (turn @ evidence.contact_offset[..., None])[..., 0], start


def _landmark(owner: Tensor) -> Tensor:
    """Return the landmark point that lies at a joint."""
    return torch.tensor(MANO16_TO_OPENPOSE, device=owner.device)[owner]


def _between(meshes: tuple[Tensor, Tensor], normals: tuple[Tensor, Tensor], bodies: tuple[Body, Body]) -> Planes:
    """Find the planes between two hands' meshes [N, V, 3] from both sides."""
    parts = [
        _crossing(meshes[side], meshes[1 - side], normals[1 - side], bodies[side], bodies[1 - side]) for side in (0, 1)
    ]
    (own, other, normal, gap, real), (own_l, other_l, normal_l, gap_l, real_l) = parts
    vertex = (torch.cat((own, other_l), 1), torch.cat((other, own_l), 1))
    place = tuple(mesh.gather(1, index[..., None].expand(-1, -1, 3)) for mesh, index in zip(meshes, vertex))
    share = MANO_VERTICES / len(bodies[0].asked)
    return Planes(
        vertex, (place[0], place[1]), torch.cat((normal, -normal_l), 1), torch.cat((gap, gap_l), 1),
        torch.cat((real, real_l), 1), share,
    )  # fmt: skip


def _crossing(
    mesh: Tensor, other: Tensor, other_normals: Tensor, body: Body, other_body: Body
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return vertices of a hand in or near another: (vertex, the other's nearest, its normal, depth, real), [N, K]."""
    asked = mesh[:, body.asked]
    closed = other_body.surface.closed(other)
    near = torch.zeros(asked.shape[:2], dtype=torch.bool, device=asked.device)
    for part in other_body.surface.parts:
        corner = closed[:, part]
        low, high = corner.amin(1, keepdim=True) - MARGIN_M, corner.amax(1, keepdim=True) + MARGIN_M
        near |= ((asked > low) & (asked < high)).all(-1)
    picked, kept = packed(near)
    points = asked.gather(1, picked[..., None].expand(-1, -1, 3))
    distance, at = _nearest(points, other[:, other_body.targets])
    nearest = other_body.targets[at]
    at = nearest[..., None].expand(-1, -1, 3)
    normal = other_normals.gather(1, at)
    gap = (normal * (other.gather(1, at) - points)).sum(-1)
    below, held = packed(kept & (gap > 0))  # what lies outside the nearest plane is not deep
    rays = points.gather(1, below[..., None].expand(-1, -1, 3))
    bundles = other_body.surface.bundles
    hit = inside(rays, closed, other_body.surface.faces, "winding", bundles) & held
    deep = torch.zeros_like(kept).scatter(1, below, hit)
    real = kept & (deep | ((gap < 0) & (distance < MARGIN_M)))
    gap = torch.where(real, torch.where(deep, gap.clamp_min(0), gap), -torch.inf)
    best = torch.topk(gap, min(SLOTS, gap.shape[1]), dim=1).indices
    chosen = body.asked[picked].gather(1, best)
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


def _spread(points: np.ndarray, count: int) -> np.ndarray:
    """Choose vertices far from each other, farthest first."""
    chosen = [int(np.argmin(points[:, 0]))]
    distance = np.full(len(points), np.inf)
    while len(chosen) < min(count, len(points)):
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(1))
        chosen.append(int(distance.argmax()))
    return np.array(chosen)


def _above() -> Tensor:
    """Tell which of the 15 finger joints move each of the 16 joints' frames, [16, 15]."""
    out = torch.zeros(16, 15)
    for joint in range(1, 16):
        if MANO_PARENTS[joint] > 0:
            out[joint] = out[MANO_PARENTS[joint]]
        out[joint, joint - 1] = 1.0
    return out


_ABOVE = _above()
