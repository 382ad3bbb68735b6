"""The alignments of the official benchmark scripts, vectorized over samples.

Apart from `geometry.alignment`, which aligns properly: some scripts allow mirror images or scale by one bone, and a
number is only comparable when that is done the same way. Source: the data set's own tools.
"""

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.alignment import similarity_aligned

Points = NDArray[np.floating]


def procrustes_aligned(points: Points, target: Points, reflection: bool = True) -> Points:
    """Return points [S, N, 3] after HO3D's, FreiHAND's and DexYCB's `align_w_scale` onto targets [S, N, 3].

    Both are centered and divided by their norms plus 1e-8; the orthogonal matrix of least squares may be a reflection.
    With `reflection` False it is a proper rotation, as HMP and HaMeR do.
    """
    points, target = np.asarray(points, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if not reflection:
        return similarity_aligned(points, target)
    center, goal_center = points.mean(-2, keepdims=True), target.mean(-2, keepdims=True)
    source, goal = points - center, target - goal_center
    size, goal_size = (np.linalg.norm(part, axis=(-2, -1), keepdims=True) + 1e-8 for part in (source, goal))
    source, goal = source / size, goal / goal_size
    left, stretch, right = np.linalg.svd(np.swapaxes(goal, -1, -2) @ source)
    turned = source @ np.swapaxes(left @ right, -1, -2)
    return turned * stretch.sum(-1)[..., None, None] * goal_size + goal_center


def scale_and_translation_aligned(points: Points, target: Points, root: int, tip_of_bone: int) -> Points:
    """Return points [S, N, 3] scaled so that one bone has the target's length, then moved root onto root.

    HO3D's `sc_tr` with root = wrist, tip = middle MCP; ITH-3D's and IntagHand's with root = middle MCP, tip = wrist. A
    bone of length zero counts as one meter, as in HO3D's script. The order of operations is that script's, so that the
    root meets the target's without rounding, and errors of 0 are the same ones.
    """
    length, goal = (
        np.sqrt(np.square(part[:, tip_of_bone] - part[:, root]).sum(-1))[:, None, None] for part in (points, target)
    )
    scaled = points / np.where(length > 0, length, 1.0) * goal
    return (scaled - scaled[:, root, None]) + target[:, root, None]


def root_aligned(points: Points, target: Points, root: int) -> Points:
    """Return points [S, N, 3] moved so that one of them meets the target's, that one without rounding."""
    return (points - points[:, root, None]) + target[:, root, None]
