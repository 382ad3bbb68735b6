"""Meshes and their light: normals, and the colors that a lamp gives them.

Separate from `renderer`, whose two backends read this and never the renderer itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

NEAR_M, FAR_M = 0.02, 20.0  # nothing nearer or farther is drawn


@dataclass(frozen=True)
class Mesh:
    """A surface in camera-frame meters (x right, y down, z forward); faces turn counter-clockwise seen from outside."""

    vertices: Floats  # [V, 3]
    faces: NDArray[np.integer]  # [F, 3]
    colors: Floats  # [V, 3] or [3], RGB in 0..1


@dataclass(frozen=True)
class Light:
    """One lamp far away, and light from everywhere. `towards` points from the scene to the lamp, camera axes."""

    towards: tuple[float, float, float] = (-0.35, -0.75, -0.6)
    ambient: float = 0.45
    diffuse: float = 0.6
    gloss: float = 0.06


def join_meshes(meshes: Sequence[Mesh]) -> Mesh:
    """Return the meshes as one."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return Mesh(
        vertices=np.concatenate([mesh.vertices for mesh in meshes]),
        faces=np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts)]),
        colors=np.concatenate([np.broadcast_to(mesh.colors, (len(mesh.vertices), 3)) for mesh in meshes]),
    )


def vertex_normals(mesh: Mesh) -> NDArray[np.float64]:
    """Return unit outward normals [V, 3]: the area-weighted mean over the faces around each vertex."""
    first, second, third = (mesh.vertices[mesh.faces[:, corner]].T for corner in range(3))
    (ax, ay, az), (bx, by, bz) = second - first, third - first
    across = (ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)  # np.cross takes four times as long
    count, around = len(mesh.vertices), mesh.faces.T.ravel()
    normals = np.stack([np.bincount(around, np.tile(part, 3), minlength=count) for part in across], axis=1)
    return normals / np.maximum(np.sqrt(np.square(normals).sum(axis=1, keepdims=True)), 1e-20)


def shade(colors: Floats, normals: Floats, vertices: Floats, light: Light) -> NDArray[np.float64]:
    """Return lit colors [N, 3] in 0..1: ambient, Lambert and a Blinn highlight; normals that face away are flipped."""
    to_eye = -vertices / np.maximum(np.linalg.norm(vertices, axis=1, keepdims=True), 1e-9)
    normals = normals * np.where((normals * to_eye).sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    lamp = np.asarray(light.towards) / np.linalg.norm(light.towards)
    half = to_eye + lamp
    half /= np.maximum(np.linalg.norm(half, axis=1, keepdims=True), 1e-9)
    lambert = np.maximum(normals @ lamp, 0)[:, None]
    gloss = np.maximum((normals * half).sum(axis=1, keepdims=True), 0) ** 24 * light.gloss
    return np.clip(colors * (light.ambient + light.diffuse * lambert) + gloss, 0, 1)
