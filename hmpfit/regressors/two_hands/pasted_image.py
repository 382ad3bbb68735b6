"""Two pictures of one hand each as one picture of both: the geometry that training (`pasted`) and runs share.

Separate from both, which must paste alike. A tile is a square picture around a hand; the middle of its width is kept.
"""

import numpy as np

from hmpfit.geometry.cameras import rotation_from_optical_axis
from hmpfit.records import Floats
from hmpfit.regressors.samples import Images

KEPT = 0.68  # of a tile's width
MARGIN = 1.9  # of a tile around its hand, as rendered clips have it: a hand fills about half


def join_images(first: Images, second: Images) -> Images:
    """Return tiles [F, s, s, 3] as pictures [F, s, w, 3], `first` on the left."""
    cut = _kept(first.shape[2])
    return np.concatenate((first[:, :, cut], second[:, :, cut]), axis=2)


def offset(size: int, place: int) -> Floats:
    """Return where in the joined picture the corner of the first (0) or second (1) tile would be, pixels [2]."""
    cut = _kept(size)
    return np.array([place * (cut.stop - cut.start) - cut.start, 0.0])


def camera(size: int, focal: float) -> Floats:
    """Return K [3, 3] of a joined picture, whose optical axis goes through the seam."""
    cut = _kept(size)
    return np.array([[focal, 0, cut.stop - cut.start], [0, focal, size / 2], [0, 0, 1.0]])


def ray_rotation(size: int, place: int, K: Floats) -> Floats:
    """Return R [3, 3] from the axes of a tile's own camera, centered on it, into those of camera K."""
    ray = np.linalg.solve(K, np.array([*(np.full(2, size / 2) + offset(size, place)), 1.0]))
    return rotation_from_optical_axis(ray / np.linalg.norm(ray))


def _kept(size: int) -> slice:
    kept = round(size * KEPT)
    return slice((size - kept) // 2, (size - kept) // 2 + kept)
