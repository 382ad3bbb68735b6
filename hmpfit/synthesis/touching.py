"""Lay two hands against each other without going into each other: the truth of clips with contact.

Separate from the scenes, which say where the hands want to be; here meshes decide how near they can come. Hands come
from outside, step by step no farther than is free, so what is farther out is free as well.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d
from scipy.spatial import cKDTree

from hmpfit.hands.collision import vertices_inside
from hmpfit.hands.watertight import HandSurface
from hmpfit.records import Floats

Surfaces = tuple[HandSurface, HandSurface]  # of the right and the left hand
Frames = NDArray[np.integer]
Meshes = Callable[[Floats, Frames], tuple[Floats, Floats]]  # grip [N] at frames [N] -> meshes [N, V, 3], right and left

_NEAR_M, _STEPS = 0.0028, 12  # vertices this near are surfaces that touch: the open hand's are 4 mm apart
_SMOOTH_FRAMES, _REACH_FRAMES = 2.0, 5
_EVERY, _HALVINGS = 4, 4  # frames between closings of the fingers, and halvings to find how far they close
_BACK_M = 0.0007  # drawn back at a time where a vertex is inside all the same


def free_distance(right: Floats, left: Floats, way: Floats) -> Floats:
    """Return how far the left hand must be moved along `way` [3] for the hands to touch or be apart, [T] meters.

    Meshes [T, V, 3] where the scene wants them. Coming from beyond each other's boxes, the left hand is brought nearer
    by the free distance again and again, until the surfaces touch or it is where it was wanted (0). Smooth over frames
    and never less than what a frame needs.
    """
    gone = np.zeros(len(right))
    for frame, (fixed, moving) in enumerate(zip(right, left, strict=True)):
        at = (fixed @ way).max() - (moving @ way).min() + _NEAR_M
        if at <= 0:
            continue
        tree = cKDTree(fixed)
        for _ in range(_STEPS):
            free = tree.query(moving + way * at)[0].min() - _NEAR_M
            at -= max(free, 0.0)
            if free < 0.1 * _NEAR_M or at <= 0:
                break
        gone[frame] = max(at, 0.0)
    return np.asarray(gaussian_filter1d(maximum_filter1d(gone, _REACH_FRAMES), _SMOOTH_FRAMES, mode="nearest"))


def close_fingers(meshes: Meshes, frames: int, surfaces: Surfaces) -> Floats:
    """Return how far fingers can close in each frame without going into the other hand, [T] in 0..1, smooth."""
    keys = np.unique(np.append(np.arange(0, frames, _EVERY), frames - 1))
    closed, step = np.zeros(len(keys)), 0.5
    for _ in range(_HALVINGS):
        free = ~overlapping(*meshes(closed + step, keys), surfaces)
        closed = np.where(free, closed + step, closed)
        step /= 2
    known = gaussian_filter1d(minimum_filter1d(closed, 3), 0.8, mode="nearest")
    return np.asarray(np.interp(np.arange(frames), keys, np.minimum(known, closed)))


def draw_back(meshes: Meshes, grip: Floats, way: Floats, surfaces: Surfaces) -> tuple[Floats, Floats]:
    """Return the extra distance [T] along `way` of the left hand, and the grip [T], that leave no vertex inside."""
    back, bad = np.zeros(len(grip)), np.arange(len(grip))
    while len(bad):
        right, left = meshes(grip[bad], bad)
        bad = bad[overlapping(right, left + np.multiply.outer(back[bad], way)[:, None], surfaces)]
        if len(bad):
            bump = np.zeros(len(grip))
            bump[bad] = 1.0
            bump = np.maximum(gaussian_filter1d(maximum_filter1d(bump, _REACH_FRAMES), _SMOOTH_FRAMES), bump)
            back, grip = back + _BACK_M * bump, grip * (1 - 0.15 * bump)
            bad = np.flatnonzero(bump > 1e-3)
    return back, grip


def overlapping(right: Floats, left: Floats, surfaces: Surfaces) -> NDArray[np.bool_]:
    """Return in which frames any vertex of either hand [T, V, 3] is inside the other, bool [T]."""
    here, there = (torch.as_tensor(mesh, dtype=torch.float32) for mesh in (right, left))
    inside = vertices_inside(here, there, surfaces[1]).any(1) | vertices_inside(there, here, surfaces[0]).any(1)
    return np.asarray(inside.numpy())
