"""Jitter of the mesh in the image: what is left of its center's path after an 11-frame moving average."""

import numpy as np
import torch

from hmpfit.geometry.cameras import project
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.records import Camera, Floats, HandMotion

WINDOW = 11  # frames
_TOGETHER = 256  # frames whose meshes are in memory at a time


def mesh_center_px(models: HandModels, motion: HandMotion, camera: Camera) -> Floats:
    """Return the projected mean of the vertices, [H, T, 2] pixels."""
    parts = []
    for first in range(0, motion.status.shape[1], _TOGETHER):
        vertices = pose_hands(models, motion.at_frames(slice(first, first + _TOGETHER)), vertices=True).vertices
        assert vertices is not None
        parts.append(vertices.mean(2))
    center = torch.as_tensor(np.concatenate(parts, axis=1), dtype=torch.float64)
    lens = None if camera.distortion is None else torch.as_tensor(np.asarray(camera.distortion, dtype=np.float64))
    return np.asarray(project(center, torch.as_tensor(np.asarray(camera.K, dtype=np.float64)), lens).numpy())


def high_pass_rms(path: Floats, window: int = WINDOW) -> float | None:
    """Return the root mean square of a path [T, D] minus its centered moving average; None for a shorter path."""
    if len(path) < window:
        return None
    sums = np.cumsum(np.concatenate((np.zeros_like(path[:1]), path)), axis=0)
    mean = (sums[window:] - sums[:-window]) / window
    middle = path[window // 2 : len(path) - window // 2]
    return float(np.sqrt(((middle - mean) ** 2).sum(-1).mean()))
