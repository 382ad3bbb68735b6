"""Two hands of one clip as a pair: frames in which they are close, and the evidence that each has of the other.

Hands are problems of their own in a batch, so a contact of two is split in the middle: both have to get behind the
plane half way between their surfaces. Planes stay with the wrist.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hmpfit.fitting.two_hands.contact_planes import CloseFrames, CollisionHand, ContactPlanes
from hmpfit.fitting.two_hands.contact_points import joint_landmark, joint_rotations
from hmpfit.hands.collision import boxes_meet
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.term import Evidence, Motion
from hmpfit.records import HandMotion

NEAR_M = 0.03  # between the boxes of two hands' landmarks, within which meshes are tested


@dataclass(frozen=True)
class HandPairs:
    """Which rows of a batch are two hands of one clip (right row, left row)."""

    rows: tuple[tuple[int, int], ...]
    models: HandModels
    flips: Tensor  # [B, 3] from a row's right-hand form to the camera's frame

    @classmethod
    def of(cls, start: HandMotion, models: HandModels, evidence: Evidence) -> "HandPairs | None":
        """Pair the right and the left hand of each person of one clip; None where no person has both.

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

    def each(self) -> Iterator["HandPairs"]:
        """Yield every pair alone."""
        yield from (replace(self, rows=(pair,)) for pair in self.rows)

    @cached_property
    def hands(self) -> tuple[CollisionHand, CollisionHand]:
        """The right and the left hand's meshes, prepared when hands first come near."""
        right = CollisionHand.of(self.models.right, self.flips.device)
        return right, right if self.models.left is self.models.right else CollisionHand.of(
            self.models.left, self.flips.device
        )

    def first_rows(self) -> Tensor:
        """Return for every hand [B] the first row of its pair, its own for a hand alone."""
        first = torch.arange(len(self.flips), device=self.flips.device)
        for pair in self.rows:
            first[list(pair)] = min(pair)
        return first

    def close_frames(self, motion: Motion, points: Tensor) -> list["CloseFrames"]:
        """Return the pairs whose hands are near in some frames, with their meshes there.

        `points` are the landmark points [B, T, 21, 3] of the motion.
        """
        found = []
        for rows in self.rows:
            seen = [points[row].float() * self.flips[row] for row in rows]
            frames = boxes_meet(seen[0], seen[1], NEAR_M).nonzero()[:, 0]
            if len(frames):
                right, left = (self._mesh(side, row, motion, frames) for side, row in enumerate(rows))
                normals = (self.hands[0].surface.normals(right), self.hands[1].surface.normals(left))
                found.append(CloseFrames(rows, frames, (right, left), normals))
        return found

    def planes(self, evidence: Evidence, motion: Motion, points: Tensor) -> tuple[Evidence, bool]:
        """Return the evidence with planes where two hands are near, and whether any vertex is inside the other hand."""
        found = [(one, one.planes(self.hands)) for one in self.close_frames(motion, points)]
        if not any(bool(planes.real.any()) for _, planes in found):
            return replace(evidence, contact_joint=None), False
        return self._attach(evidence, motion, points, found), any(planes.touching for _, planes in found)

    def _mesh(self, side: int, row: int, motion: Motion, frames: Tensor) -> Tensor:
        """Return a hand's vertices [N, V, 3] in the camera's frame at some frames."""
        rotations = torch.cat((motion.global_R[row, frames, None], motion.hand_R[row, frames]), dim=1).float()
        posed = self.hands[side].mano.skin(rotations, motion.betas[row].float(), motion.transl[row, frames].float())
        return posed * self.flips[row]

    def _attach(
        self, evidence: Evidence, motion: Motion, points: Tensor, found: list[tuple["CloseFrames", "ContactPlanes"]]
    ) -> Evidence:
        """Fix each plane's vertex to the joint that moves it most, in every row's own right-hand form."""
        batch, count = points.shape[:2]
        most = max(planes.gap.shape[1] for _, planes in found)
        new = points.new_zeros
        joint = torch.zeros(batch, count, most, dtype=torch.long, device=points.device)
        offset, plane, normal = (new(batch, count, most, 3) for _ in range(3))
        weight = new(batch, count, most)
        turns, wrist = joint_rotations(motion), points[:, :, :1]
        for close, planes in found:
            k, frames = slice(0, planes.gap.shape[1]), close.frames
            for side, row in enumerate(close.rows):
                flip = self.flips[row].to(points)
                owner = self.hands[side].owner[planes.vertex[side]]
                at = planes.place[side].to(points) * flip
                start = points[row, frames].gather(1, joint_landmark(owner)[..., None].expand(-1, -1, 3))
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
