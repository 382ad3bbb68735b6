"""Hands that the landmark network doubts when it sees them turned, scaled and shifted: paws, claws, misplaced poses.

Separate from `tracklet_evidence`, which knows detections only: there a dog's paw scores 0.86. In a video it costs
nothing, because the views are drawn for the confidence of landmarks; where there are few frames, more views are drawn.
"""

import logging
from dataclasses import replace

import numpy as np

from hmpfit.keypoints.regions import Regions
from hmpfit.keypoints.tracking import HandTracks
from hmpfit.keypoints.tracklets import sizes
from hmpfit.records import Bools, DroppedHand, Floats, KeypointTracks

log = logging.getLogger("hmpfit")

FEW_FRAMES = 5  # with views, below which `wide_views` are looked at

# In videos, over a quarter of the frames: 21 tracks of hands on the shared clips reach 0.96, pictures of hands that
# were panned 0.93, of paws at most 0.91. In photos 50 of 52 hands reach 0.91, five of six paws 0.88 at most.
_LEAST, _LEAST_OF_FEW = 0.92, 0.885
_PERCENTILE = 75  # over the frames of a hand: those that something covers do not count against it

_TURNS = (-0.5, -0.25, 0.25, 0.5)  # radians
_SCALES = (0.8, 1.25, 1.6)
_SHIFT = 0.12  # sides of the region


def wide_views(region: Regions) -> Regions:
    """Return the region (axes []) with eleven views of it, [12]: turned, scaled, shifted."""
    shifts = _SHIFT * region.side_px * np.array([(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)])
    count = 1 + len(_TURNS) + len(_SCALES) + len(shifts)
    center, side, angle = (
        np.tile(region.center_px, (count, 1)),
        np.full(count, region.side_px),
        np.full(count, region.angle),
    )
    first = 1 + len(_TURNS)
    angle[1:first] += _TURNS
    side[first : first + len(_SCALES)] *= _SCALES
    center[-len(shifts) :] += shifts
    return Regions(center, side, angle)


def sureness(view_presence: Floats) -> tuple[Floats, Floats]:
    """Return how surely H hands are hands and what they must reach, both [H].

    `view_presence` [H, T] is the median presence over a frame's crop and its views, NaN where none were drawn; a hand
    is as sure as a quarter of its frames, NaN where there are none.
    """
    known = [row[np.isfinite(row)] for row in view_presence]
    sure = [np.percentile(row, _PERCENTILE) if len(row) else np.nan for row in known]
    return np.array(sure), np.array([_LEAST if len(row) >= FEW_FRAMES else _LEAST_OF_FEW for row in known])


def drop_doubtful(measured: KeypointTracks, tracks: HandTracks, view_presence: Floats) -> KeypointTracks:
    """Return the measured hands without the doubtful ones, which it lists among the dropped.

    `tracks` are the same hands as they were followed. A hand without views is kept.
    """
    sure, least = sureness(view_presence)
    log.debug("sureness of the hands over their views: %s", np.round(sure, 3).tolist())
    kept = ~(sure < least)
    if kept.all():
        return measured
    doubtful = [_dropped(tracks, hand, float(sure[hand]), float(least[hand])) for hand in np.flatnonzero(~kept)]
    listed = sorted((*measured.dropped, *doubtful), key=lambda one: (one.first_frame, one.last_frame, one.center_px))
    return _select(measured, kept, tuple(listed))


def _dropped(tracks: HandTracks, hand: int, sure: float, least: float) -> DroppedHand:
    frames = np.flatnonzero(tracks.seen[hand])
    xy_px = tracks.xy_px[hand, frames]
    center = np.median(xy_px.mean(axis=1), axis=0)
    return DroppedHand(
        int(frames[0]), int(frames[-1]), len(frames), bool(tracks.is_right[hand]), sure,
        (float(center[0]), float(center[1])), float(np.median(sizes(xy_px))),
        f"doubtful: its presence is {sure:.2f} over turned and scaled views, and hands reach {least:.2f}",
    )  # fmt: skip


def _select(tracks: KeypointTracks, kept: Bools, dropped: tuple[DroppedHand, ...]) -> KeypointTracks:
    """Return the kept hands in the same order; hands and persons are numbered without gaps."""
    some = tracks.select_hands(np.flatnonzero(kept))
    hand_id, person_id = (np.unique(ids, return_inverse=True)[1] for ids in (some.hand_id, some.person_id))
    return replace(some, hand_id=hand_id.astype(np.int64), person_id=person_id.astype(np.int64), dropped=dropped)
