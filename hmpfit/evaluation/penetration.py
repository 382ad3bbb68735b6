"""Penetration depth of two hands: MMPD (STC).

Separate from the two-hand protocols because it needs meshes' faces. Inside is decided on the closed mesh as in the fit
(`hands.collision`); the depth is the distance to the skin itself.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from hmpfit.geometry.enclosure import surface_distance
from hmpfit.hands.collision import vertices_inside
from hmpfit.hands.watertight import HandSurface

Points = NDArray[np.floating]
Faces = NDArray[np.integer]

_MM = 1000.0


def penetration_depths(intruder: Points, vertices: Points, faces: Faces) -> Points:
    """Return how deep the deepest of points [T, N, 3] inside meshes [T, V, 3] with faces [F, 3] is, meters, [T].

    The distance to the nearest triangle; 0 where no point is inside. Holes, such as the wrist's, are closed first.
    """
    points, mesh = (torch.as_tensor(np.asarray(part, dtype=np.float64)) for part in (intruder, vertices))
    found = np.zeros(len(points))
    if not len(points):
        return found
    within = vertices_inside(points, mesh, HandSurface.close_faces(faces, np.asarray(vertices)[0]))
    skin = torch.as_tensor(np.asarray(faces, dtype=np.int64).copy())
    for frame in within.any(1).nonzero()[:, 0].tolist():
        there = slice(frame, frame + 1)
        found[frame] = float(surface_distance(points[there, within[frame]], mesh[there], skin).max())
    return found


def mmpd_mm(right: Points, left: Points, left_faces: Faces) -> float:
    """Return the mean over frames of the depth of right hands [T, V, 3] in left hands [T, V, 3], mm (STC's MMPD).

    Frames without a collision count 0; NaN without frames.
    """
    return float(penetration_depths(right, left, left_faces).mean() * _MM) if len(right) else float("nan")
