"""A forearm for rendered hands: hand meshes end in an open wrist, and detectors do not know cut-off hands.

Separate from the clips because it is geometry alone. On plain renders of the open hand (8 poses, 6 sides, 4 settings)
MediaPipe found 107 of 192 hands that end at the wrist, and 159 of the same hands with this forearm.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

RINGS = 12
LENGTH_M = 0.22
# The arm is this much thicker at the elbow's end than at the wrist.
THICKENING = 0.35


@dataclass(frozen=True)
class Forearm:
    """The mesh of a hand with an arm grown from its wrist's edge: `faces` are those of hand and arm together."""

    edge: NDArray[np.int64]  # [B] vertices around the open wrist, in order
    faces: NDArray[np.int64]  # [F + 2 B RINGS, 3]

    @classmethod
    def of(cls, faces: NDArray[np.integer], vertices: int) -> "Forearm":
        """Find the longest open edge of a mesh of `vertices` vertices and plan the arm's faces.

        A mesh without an open edge gets no arm.
        """
        edge = _longest_open_edge(np.asarray(faces))
        rows, count = [np.asarray(faces, dtype=np.int64)], len(edge)
        before = edge
        for ring in range(RINGS if count else 0):
            after = vertices + ring * count + np.arange(count)
            ahead, ahead_after = np.roll(before, -1), np.roll(after, -1)
            rows += [np.stack((ahead, before, after), axis=1), np.stack((ahead, after, ahead_after), axis=1)]
            before = after
        return cls(edge, np.concatenate(rows))

    def attach(self, vertices: Floats, hand_axis: Floats, elbow_axis: Floats | None = None) -> Floats:
        """Return hand and arm vertices [..., V + B RINGS, 3] of posed hands [..., V, 3], meters.

        `hand_axis` [..., 3] points from the palm to the arm: the hand's +x, the first column of its global rotation.
        The arm leaves the wrist along it and turns to `elbow_axis` [..., 3] (the same where it is not given).
        """
        if not len(self.edge):
            return vertices
        start = _unit(np.asarray(hand_axis))
        end = start if elbow_axis is None else _unit(np.asarray(elbow_axis))
        rim = vertices[..., self.edge, :]
        center = rim.mean(axis=-2)
        spokes = rim - center[..., None, :]
        # Flatten the slanted rim into the plane across the arm, ring by ring.
        lean = np.sum(spokes * start[..., None, :], axis=-1, keepdims=True) * start[..., None, :]
        rings, at = [vertices], center
        for ring in range(1, RINGS + 1):
            share = ring / RINGS
            turned = min(1.0, 2.0 * share)
            along = _unit((1 - turned) * start + turned * end)
            at = at + along * (LENGTH_M / RINGS)
            radii = (spokes - min(1.0, 3.0 * share) * lean) * (1 + THICKENING * share)
            radii = radii - np.sum(radii * along[..., None, :], axis=-1, keepdims=True) * along[..., None, :] * turned
            rings.append(at[..., None, :] + radii)
        return np.concatenate(rings, axis=-2)


def _longest_open_edge(faces: NDArray[np.integer]) -> NDArray[np.int64]:
    directed = {(int(a), int(b)) for face in faces for a, b in zip(face, np.roll(face, -1))}
    following = {a: b for a, b in directed if (b, a) not in directed}
    longest: list[int] = []
    while following:
        start = min(following)
        loop, vertex = [], start
        while vertex in following:
            loop.append(vertex)
            vertex = following.pop(vertex)
        if vertex == start and len(loop) > len(longest):
            longest = loop
    return np.array(longest, dtype=np.int64)


def _unit(vector: Floats) -> Floats:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)
