"""Tracks of the hands that boxes show: followed hands where they fill the boxes, a search inside of the others.

Separate from `box_search`, which searches.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from hmpfit.keypoints.box_files import HandBoxes
from hmpfit.keypoints.box_search import locate
from hmpfit.keypoints.frames import FrameSource
from hmpfit.keypoints.networks import LandmarkNetwork
from hmpfit.keypoints.regions import Regions, box_overlap
from hmpfit.keypoints.tracking import HandTracks
from hmpfit.records import Bools, Floats

SAME = 0.3  # intersection over union from which a followed hand's joints are those of a box


@dataclass(frozen=True)
class FollowedInBoxes:
    """The followed hands of boxes, row for row."""

    xy_px: Floats  # [H, T, 21, 2] where the hand was followed, in its box or in a frame without; NaN elsewhere
    is_right: tuple[bool | None, ...]  # [H] as the boxes say, else as the followed hand's vote, None without either


def tracks_of_boxes(
    clip: FrameSource,
    boxes: HandBoxes,
    tracks: HandTracks | None,
    network: LandmarkNetwork,
    hidden: Bools,
    on_frame: Callable[[int], None],
) -> HandTracks:
    """Return a track for each row of boxes; `tracks` are the hands that were followed without them, if any."""
    followed = follow_in_boxes(tracks, boxes)

    def look(image: NDArray[np.uint8], regions: Regions, mirrored: bool) -> tuple[Floats, Floats, Floats]:
        found = network(image, regions, mirrored)
        return found.xy_px, found.presence, found.right

    found = locate(look, clip, replace(boxes, is_right=followed.is_right), hidden, on_frame, followed.xy_px)
    hands = len(found.is_right)
    return HandTracks(
        found.xy_px, np.isfinite(found.xy_px).all((-1, -2)), found.is_right, np.zeros(hands), np.ones(hands),
        clip.times_s, np.arange(hands), np.zeros(hands, dtype=np.int64),
    )  # fmt: skip


def follow_in_boxes(tracks: HandTracks | None, boxes: HandBoxes) -> FollowedInBoxes:
    """Return the followed hands that fill the boxes in most frames; a followed hand belongs to one row at most."""
    xy = np.full((*boxes.xyxy_px.shape[:2], 21, 2), np.nan)
    sides = list(boxes.is_right)
    if tracks is None:
        return FollowedInBoxes(xy, tuple(sides))
    given = np.isfinite(boxes.xyxy_px).all(-1)
    inside = np.zeros((len(boxes.is_right), *tracks.seen.shape), dtype=bool)
    for row, hand, frame in zip(*np.nonzero(given[:, None] & tracks.seen), strict=True):
        joints = tracks.xy_px[hand, frame]
        around = np.concatenate((joints.min(0), joints.max(0)))
        inside[row, hand, frame] = box_overlap(around, boxes.xyxy_px[row, frame]) >= SAME
    for row, hand in zip(*linear_sum_assignment(-inside.sum(-1)), strict=True):
        if inside[row, hand].any():
            kept = tracks.seen[hand] & (inside[row, hand] | ~given[row])
            xy[row, kept] = tracks.xy_px[hand, kept]
            sides[row] = bool(tracks.is_right[hand]) if sides[row] is None else sides[row]
    return FollowedInBoxes(xy, tuple(sides))
