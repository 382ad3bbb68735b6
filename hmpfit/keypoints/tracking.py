"""From detections to tracks: at most one left and one right hand, with landmarks wherever each was seen.

Separate from `tracklets`, `following` and `assignment`, whose answers it puts together. No pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import NoHandError, UnknownNameError
from hmpfit.keypoints.assignment import LEFT, RIGHT, assign
from hmpfit.keypoints.extend_tracklets import Trail
from hmpfit.keypoints.merge_tracklets import join
from hmpfit.keypoints.tracklets import Tracklet, distance, link, log_odds
from hmpfit.records import Bools, Floats, HandDetections

HANDS = ("auto", "left", "right", "both")

_LEAST_FRAMES, _LEAST_SHARE = 5, 0.05  # a second hand seen less than this is spurious
_SAME_HAND = 0.25  # a followed hand this close to the other hand's sighting has lost its own


@dataclass(frozen=True)
class HandTracks:
    """Hands followed through the clip: their landmarks where they were seen."""

    xy_px: Floats  # [H, T, 21, 2], NaN where unseen
    seen: Bools  # [H, T]
    is_right: Bools  # [H]
    right_log_odds: Floats  # [H] the vote: mean over the track's detections, positive for a right hand
    times_s: Floats  # [T]


def track(
    detections: HandDetections,
    pieces: Sequence[Tracklet] | None = None,
    trails: Sequence[Trail] = (),
    hands: str = "auto",
) -> HandTracks:
    """Follow at most one left and one right hand through the clip; most seen first.

    `pieces` are the detections' tracklets, `trails` where they were followed to (see `following`). `hands`: "auto" and
    "both" follow what is there (a rarely seen second hand is spurious to "auto"); "left" and "right" keep one hand, and
    trust the user about its side when only one is found. Raises NoHandError and UnknownNameError.
    """
    if hands not in HANDS:
        raise UnknownNameError("choice of hands", hands, HANDS)
    if len(detections.frame) == 0:
        raise NoHandError(
            "No hand was found in any frame; check that the video shows a hand that is large and sharp enough, "
            "and that --frames and --hide-keypoints leave some of it."
        )
    pieces = link(detections) if pieces is None else pieces
    pieces, trails = join(detections, pieces, trails)
    sides = assign(detections, pieces, trails)
    rows = {side: _rows_by_frame(detections, pieces, sides, side) for side in (RIGHT, LEFT)}
    counts = {side: int((rows[side] >= 0).sum()) for side in rows}
    order = sorted(rows, key=lambda side: (-counts[side], -side))
    least = 1.0 if hands == "both" else max(min(_LEAST_FRAMES, counts[order[0]]), _LEAST_SHARE * counts[order[0]])
    kept = [side for side in order if counts[side] >= least]
    labels = np.array([side == RIGHT for side in kept])
    if hands in ("left", "right"):
        wanted = RIGHT if hands == "right" else LEFT
        kept = [wanted] if wanted in kept else kept[:1]
        labels = np.array([wanted == RIGHT])
    table = np.stack([rows[side] for side in kept])
    seen = table >= 0
    xy = np.where(seen[..., None, None], detections.xy_px[table], np.nan)
    odds = [log_odds(detections.right_probability[table[h][seen[h]]]).mean() for h in range(len(kept))]
    xy = fill(xy, pieces, [kept.index(side) if side in kept else -1 for side in sides], trails)
    return HandTracks(xy, np.isfinite(xy[:, :, 0, 0]), labels, np.array(odds), detections.times_s)


def fill(xy_px: Floats, pieces: Sequence[Tracklet], hand: Sequence[int], trails: Sequence[Trail]) -> Floats:
    """Fill unseen frames [H, T, 21, 2] with sightings of followed tracklets; `hand` is each tracklet's row or -1.

    Of several sightings the one nearest in time to its tracklet wins. A sighting that lies on another hand's is none.
    """
    filled = xy_px.copy()
    steps = np.full(xy_px.shape[:2], np.inf)
    for trail in trails:
        h, piece = hand[trail.tracklet], pieces[trail.tracklet]
        if h < 0:
            continue
        origin = piece.frames[-1] if trail.onward else piece.frames[0]
        for frame, seen in zip(trail.frames, trail.xy_px, strict=True):
            away = abs(frame - origin)
            if np.isnan(xy_px[h, frame, 0, 0]) and away < steps[h, frame]:
                filled[h, frame], steps[h, frame] = seen, away
    for frame in np.flatnonzero(np.isfinite(filled[:, :, 0, 0]).sum(axis=0) > 1):
        guessed = np.flatnonzero(np.isfinite(steps[:, frame]))
        for h in sorted(guessed, key=lambda h: -steps[h, frame]):
            others = np.delete(filled[:, frame], h, axis=0)
            if np.nanmin(distance(filled[h, frame], others), initial=np.inf) < _SAME_HAND:
                filled[h, frame] = np.nan
    return filled


def _rows_by_frame(
    detections: HandDetections, pieces: Sequence[Tracklet], sides: Sequence[int], side: int
) -> NDArray[np.int64]:
    """Return each frame's detection of one hand, -1 where there is none; of two sightings the more certain."""
    rows = np.full(len(detections.times_s), -1, dtype=np.int64)
    for piece, given in zip(pieces, sides, strict=True):
        if given != side:
            continue
        for frame, row in zip(piece.frames, piece.rows, strict=True):
            if rows[frame] < 0 or detections.score[row] > detections.score[rows[frame]]:
                rows[frame] = row
    return rows
