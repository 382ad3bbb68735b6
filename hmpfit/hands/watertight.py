"""Hands without the hole at the wrist: the mesh's open edges are found and capped, whatever model it is.

Separate from the models, which stay as their files have them, and from what closed hands are good for.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from hmpfit.hands.model import HandModel

Indices = NDArray[np.int64]
_BUNDLE = 128  # faces


def open_rims(faces: NDArray[np.integer]) -> list[Indices]:
    """Return the vertices around each hole of a mesh of faces [F, 3], in the order of its faces, longest first."""
    edges = np.asarray(faces, dtype=np.int64)[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    known = set(map(tuple, edges.tolist()))
    following = {a: b for a, b in edges.tolist() if (b, a) not in known}
    loops: list[list[int]] = []
    while following:
        start, current = next(iter(following.items()))
        loop = [start]
        del following[start]
        while current != start and current in following:
            loop.append(current)
            current = following.pop(current)
        loops.append(loop)
    return [np.array(loop, dtype=np.int64) for loop in sorted(loops, key=len, reverse=True)]


@dataclass(frozen=True)
class HandSurface:
    """A hand model's mesh without holes: each rim gets a vertex at its center and a fan of triangles.

    For MANO that is 779 vertices and 1554 faces. `parts` are the vertices that each of the 16 joints moves most,
    with their neighbors; `bundles` are faces that lie together: what the broad phase of collisions has boxes of.
    """

    vertices: int  # V, of the open mesh
    rims: tuple[Tensor, ...]
    faces: Tensor  # [F + sum of the rims' lengths, 3]; the rims' centers are the vertices V, V + 1, ...
    parts: tuple[Tensor, ...]
    bundles: tuple[Tensor, ...]

    @classmethod
    def of(cls, model: "HandModel", device: torch.device | str = "cpu") -> "HandSurface":
        """Close a hand model's mesh."""
        return cls.close_faces(model.faces, model.v_template, model.weights.argmax(1), device)

    @classmethod
    def close_faces(
        cls,
        faces: NDArray[np.integer],
        template: NDArray[np.floating],
        owner: NDArray[np.integer] | None = None,
        device: torch.device | str = "cpu",
    ) -> "HandSurface":
        """Close any mesh of faces [F, 3] over a template [V, 3]; `owner` [V] names the part each vertex moves with."""
        vertices = len(template)
        rims = open_rims(faces)
        fans = [
            np.stack((np.roll(rim, -1), rim, np.full(len(rim), vertices + place)), axis=1)
            for place, rim in enumerate(rims)
        ]
        closed = np.concatenate([np.asarray(faces, np.int64), *fans])
        centers = [template[rim].mean(0, keepdims=True) for rim in rims]
        owner = np.zeros(vertices, np.int64) if owner is None else np.asarray(owner)
        owner = np.concatenate((owner, [owner[rim[0]] for rim in rims])).astype(np.int64)
        # A part's box must hold every triangle that touches it.
        parts = [np.unique(closed[(owner[closed] == part).any(1)]) for part in np.unique(owner)]
        middles = np.concatenate((template, *centers))[closed].mean(1)

        def tensors(arrays: list[Indices]) -> tuple[Tensor, ...]:
            return tuple(torch.as_tensor(array, device=device) for array in arrays)

        bundles = _halved(np.arange(len(closed)), middles)
        return cls(vertices, tensors(rims), torch.as_tensor(closed, device=device), tensors(parts), tensors(bundles))

    def closed(self, vertices: Tensor) -> Tensor:
        """Append the rims' centers to posed vertices [..., V, 3]."""
        return torch.cat((vertices, *(vertices[..., rim, :].mean(-2, keepdim=True) for rim in self.rims)), dim=-2)

    def normals(self, vertices: Tensor) -> Tensor:
        """Return outward unit normals [T, V, 3] of posed vertices [T, V, 3], each triangle counting by its area.

        A mirrored hand's faces turn the other way; the sign of its volume tells.
        """
        whole = self.closed(vertices)
        whole = whole - whole.mean(-2, keepdim=True)
        a, b, c = (whole[..., self.faces[:, corner], :] for corner in range(3))
        face = torch.linalg.cross(b - a, c - a)
        outward = (face * a).sum((-1, -2)).sign()[..., None, None]
        sums = torch.zeros_like(whole)
        for corner in range(3):
            sums.index_add_(-2, self.faces[:, corner], face)
        return torch.nn.functional.normalize(sums[..., : self.vertices, :] * outward, dim=-1)


def _halved(faces: Indices, middles: NDArray[np.floating]) -> list[Indices]:
    """Cut faces [N] along the longest side of their middles' box until a bundle holds no more than `_BUNDLE`."""
    if len(faces) <= _BUNDLE:
        return [faces]
    points = middles[faces]
    axis = int(np.argmax(np.ptp(points, axis=0)))
    order = faces[np.argsort(points[:, axis], kind="stable")]
    return [bundle for half in np.array_split(order, 2) for bundle in _halved(half, middles)]
