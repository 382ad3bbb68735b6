"""How deep one mesh lies inside another: MMPD of two hands (`specs/regressors.md`, STC).

Inside is told by the generalised winding number (Jacobson et al. 2013), which does not mind that a hand's mesh is open
at the wrist; the libraries that have it bring tens of megabytes for this one sum.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Points = NDArray[np.floating]
Faces = NDArray[np.integer]

_MM = 1000.0
_AT_ONCE = 64  # points whose angles to all triangles are held in memory


def winding_numbers(points: Points, vertices: Points, faces: Faces) -> Points:
    """Return how often a mesh winds around points [N, 3]: about ±1 inside, 0 outside.

    Each triangle's solid angle by the formula of van Oosterom and Strackee (1983), summed over the mesh.
    """
    triangles = np.asarray(vertices, np.float64)[faces]
    numbers = np.empty(len(points))
    for start in range(0, len(points), _AT_ONCE):
        a, b, c = np.moveaxis(triangles[None] - points[start : start + _AT_ONCE, None, None], 2, 0)
        na, nb, nc = (np.linalg.norm(side, axis=-1) for side in (a, b, c))
        volume = np.einsum("nfi,nfi->nf", a, np.cross(b, c))
        spread = na * nb * nc
        spread += np.einsum("nfi,nfi->nf", a, b) * nc
        spread += np.einsum("nfi,nfi->nf", b, c) * na
        spread += np.einsum("nfi,nfi->nf", c, a) * nb
        numbers[start : start + _AT_ONCE] = np.arctan2(volume, spread).sum(-1) / (2 * np.pi)
    return numbers


def depth(intruder: Points, vertices: Points, faces: Faces) -> float:
    """Return how far the deepest of points [N, 3] inside a mesh is from its nearest vertex, metres; 0 if none is."""
    boxed = ((intruder > vertices.min(0)) & (intruder < vertices.max(0))).all(-1)
    if not boxed.any():
        return 0.0
    candidates = intruder[boxed]
    inside = np.abs(winding_numbers(candidates, vertices, faces)) > 0.5
    return float(cKDTree(vertices).query(candidates[inside])[0].max()) if inside.any() else 0.0


def mmpd_mm(right: Points, left: Points, left_faces: Faces) -> float:
    """Return the mean over frames of the depth of right hands [T, V, 3] in left hands [T, V, 3], mm (STC's MMPD).

    Frames without a collision count 0; NaN without frames.
    """
    depths = [depth(one, other, left_faces) for one, other in zip(right, left, strict=True)]
    return float(np.mean(depths) * _MM) if depths else float("nan")
