"""Rigid transforms as 4x4 matrices in numpy: build, invert, apply, interpolate.

Separate from `rotations`, which works on tensors inside the fit; camera paths are plain arrays.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

Floats = NDArray[np.floating]


def rigid(rotation: Floats, translation: Floats) -> NDArray[np.float64]:
    """Return T [..., 4, 4] of rotations [..., 3, 3] and translations [..., 3]."""
    rotation, translation = np.asarray(rotation, np.float64), np.asarray(translation, np.float64)
    out = np.zeros((*np.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1]), 4, 4))
    out[..., :3, :3], out[..., :3, 3], out[..., 3, 3] = rotation, translation, 1.0
    return out


def inverse(transforms: Floats) -> NDArray[np.float64]:
    """Return the inverses of rigid T [..., 4, 4]."""
    back = np.swapaxes(transforms[..., :3, :3], -1, -2)
    return rigid(back, -(back @ transforms[..., :3, 3, None])[..., 0])


def apply(transforms: Floats, points: Floats) -> NDArray[np.float64]:
    """Return points [..., N, 3] moved by rigid T [..., 4, 4], leading axes broadcast."""
    moved: NDArray[np.float64] = points @ np.swapaxes(transforms[..., :3, :3], -1, -2)
    return moved + transforms[..., None, :3, 3]


def interpolate(transforms: Floats, at_s: Floats, times_s: Floats) -> NDArray[np.float64]:
    """Return T [M, 4, 4] at `times_s` [M] from T [N, 4, 4] at increasing `at_s` [N]; the ends are held.

    Rotations by spherical, translations by linear interpolation.
    """
    if len(at_s) == 1:
        return np.repeat(np.asarray(transforms, np.float64), len(times_s), axis=0)
    times_s = np.clip(times_s, at_s[0], at_s[-1])
    turned = Slerp(at_s, Rotation.from_matrix(transforms[:, :3, :3]))(times_s).as_matrix()
    moved = np.stack([np.interp(times_s, at_s, transforms[:, axis, 3]) for axis in range(3)], axis=-1)
    return rigid(turned, moved)
