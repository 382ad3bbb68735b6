"""Masks of hands and forearms from the hands' landmarks; the static scene is everything else."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmpfit.geometry.near_in_time import nearest
from hmpfit.records import Floats, KeypointTracks
from hmpfit.skeleton import OPENPOSE_WRIST, openpose

_MARGIN = 0.2  # around the landmarks, as a share of the hand's box diagonal
_FOREARM_HANDS, _FOREARM_WIDTH = 8.0, 1.2  # length and width of the forearm, in palm lengths
_HELD_S = 0.5  # how long a hand that is no longer seen is still taken to be where it was


@dataclass(frozen=True)
class HandMasks:
    """Landmarks of every hand at every frame, held for a moment where a hand is not seen."""

    xy_px: Floats  # [H, T, 21, 2], NaN where there is no hand

    @classmethod
    def of(cls, tracks: KeypointTracks) -> "HandMasks":
        """Take the landmarks from tracks; in short gaps the nearest frame's are used."""
        xy = np.where(tracks.seen[..., None, None], tracks.xy_px, np.nan)
        for hand, seen in enumerate(tracks.seen):
            known = np.flatnonzero(seen)
            if not len(known):
                continue
            times = tracks.times_s
            at = known[nearest(times[known], times)]
            near = np.abs(times[at] - times) <= _HELD_S
            xy[hand, near] = xy[hand, at[near]]
        return cls(xy)

    def outside(self, frame: int, width: int, height: int, scale: float) -> NDArray[np.uint8]:
        """Return 255 where no hand is, 0 on hands and forearms, [height, width] of an image `scale` times as large."""
        import cv2

        out = np.full((height, width), 255, np.uint8)
        for points in self.xy_px[:, frame] * scale:
            points = points[np.isfinite(points).all(-1)]
            if len(points) < 3:
                continue
            diagonal = float(np.linalg.norm(np.ptp(points, axis=0)))
            hull = cv2.convexHull(points.astype(np.float32)).astype(np.int32)
            cv2.fillPoly(out, [hull], (0.0,))
            cv2.polylines(out, [hull], True, (0.0,), max(int(2 * _MARGIN * diagonal), 1))
        for wrist, middle in self.xy_px[:, frame, [OPENPOSE_WRIST, openpose("middle1")]] * scale:
            palm = wrist - middle
            length = float(np.linalg.norm(palm))
            if not np.isfinite(length) or length < 1:
                continue
            end = wrist + _FOREARM_HANDS * palm
            width_px = max(int(_FOREARM_WIDTH * length), 1)
            ends = [tuple(int(v) for v in np.clip(point, -20000, 20000)) for point in (wrist, end)]
            cv2.line(out, ends[0], ends[1], (0.0,), width_px)
        return out
