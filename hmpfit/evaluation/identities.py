"""IDF1 of tracks: whether hands found in a clip keep the identities of the true ones.

Source: Ristani et al. 2016, "Performance measures and a data set for multi-target, multi-camera tracking".
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

from hmpfit.records import Bools, Floats

SAME = 0.5  # of the true hand's diagonal: a found hand nearer than this, on average over its landmarks, is a match


def idf1(found_px: Floats, true_px: Floats, in_sight: Bools) -> float:
    """Return IDF1: true hands and tracks are paired once over the whole clip so that most frames agree (Ristani 2016).

    Found [G, T, 21, 2] (NaN where unseen), true [H, T, 21, 2], in sight [H, T]; found frames of hands that are out of
    sight, and on none in sight, count neither way.
    """
    size = np.linalg.norm(np.ptp(true_px, axis=2), axis=-1)
    apart = np.linalg.norm(found_px[:, None] - true_px[None], axis=-1).mean(-1) / size
    agree = (apart < SAME) & in_sight[None]
    rows, columns = linear_sum_assignment(-agree.sum(-1))
    hits = int(agree.sum(-1)[rows, columns].sum())
    excused = ((apart < SAME) & ~in_sight[None]).any(1) & ~agree.any(1)
    found = int((np.isfinite(found_px[:, :, 0, 0]) & ~excused).sum())
    return 2 * hits / (found + int(in_sight.sum()))
