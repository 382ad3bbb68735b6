"""How far a hand is, by the outline of its palm alone.

A fitted hand weighs the detector's depths too, and those may tilt its palm by 20 degrees; a palm that is seen
foreshortened for nothing seems nearer. Its largest extent in the picture does not depend on the tilt, so that the five
landmarks of a rigid palm tell a distance of their own.
"""

import numpy as np

from hmpfit.records import Floats

# Weight of the palm's own distance. Beside the size's error the fit's distance is off by 3.1 %, the palm's by 2.2 % and
# this mean by 2.1 % (standard deviations over the eleven hands of shared/inputs/truth; benchmarks/palm_distance.py).
SHARE = 0.6
_FEWEST = 8  # frames


def distance_ratio(palm: Floats, xy: Floats) -> float:
    """Return the palm's own distance over that of the fit: the median over a clip, 1 where too few frames tell.

    `palm` [T, 5, 3] are the fitted palm's points before the camera, `xy` [T, 5, 2] their landmarks on the plane at
    depth 1, the lens undone; NaN where not seen. From the fitted pose the palm is turned and moved to the least squares
    of distances in the picture (OpenCV's Levenberg-Marquardt).
    """
    import cv2

    found = []
    for points, seen in zip(palm, xy):
        if not (np.isfinite(points).all() and np.isfinite(seen).all()):
            continue
        center = points.mean(axis=0)
        good, _, place = cv2.solvePnP(
            points - center, np.ascontiguousarray(seen, dtype=np.float64), np.eye(3), np.zeros(4),
            np.zeros((3, 1)), center[:, None].copy(), useExtrinsicGuess=True, flags=cv2.SOLVEPNP_ITERATIVE,
        )  # fmt: skip
        if good and place[2, 0] > 0:
            found.append(place[2, 0] / center[2])
    return float(np.median(found)) if len(found) >= _FEWEST else 1.0
