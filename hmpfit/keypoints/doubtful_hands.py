"""Hands that the landmark network doubts when it sees them turned, scaled and shifted: paws, claws, misplaced poses.

Separate from `tracklet_evidence`, which knows detections only: there a dog's paw scores 0.86. In a video it costs
nothing, because the views are drawn for the confidence of landmarks; where there are few frames, more views are drawn.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from hmpfit.keypoints.regions import Regions
from hmpfit.keypoints.tracking import HandTracks
from hmpfit.keypoints.tracklets import sizes
from hmpfit.records import Bools, DroppedHand, Floats, KeypointTracks

log = logging.getLogger("hmpfit")

FEW_FRAMES = 5  # with views, below which `wide_views` are looked at

# In videos, over a quarter of the frames: 21 tracks of hands on the shared clips reach 0.96, pictures of hands that
# were panned 0.93, of six paws four 0.91 at most. In photos 52 of 53 hands reach 0.89, four of six paws 0.88 at most.
_LEAST, _LEAST_OF_FEW = 0.92, 0.885
_PERCENTILE = 75  # over the frames of a hand: those that something covers do not count against it
# A hand below this needs landmarks that its views agree on: over a tenth of its frames the mean confidence of panned
# hands reaches 0.07, of two paws 0.01.
_SURE, _LEAST_CONFIDENCE = 0.96, 0.03
_CONFIDENCE_PERCENTILE = 90
# A hand of a video below this needs a palm that the palm detector confirms close up (`close_up`): a dog's paws, which
# reach 0.974, mostly have 0.25 to 0.6, the one real hand of the shared clips below it (0.967) has 0.94.
_CONFIRMED, _LEAST_PALM = 0.985, 0.6
# And a better one where its landmarks look covered in nine tenths of the frames (a mean probability of this or more):
# paws (of which one had a palm of 0.75) have 0.24 to 0.62 in their clearest tenth, that real hand 0.00, rendered hands
# that hold something and are so unsure 0.01 to 0.10.
_COVERED, _COVERED_PERCENTILE, _LEAST_PALM_COVERED = 0.2, 10, 0.8

PalmScores = Callable[[Sequence[int]], Mapping[int, float]]

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


def doubtful_so_far(view_presence: Sequence[float]) -> bool:
    """Return whether the views of a hand that is still being followed, one median a look, say that it is none."""
    return len(view_presence) >= FEW_FRAMES and float(np.percentile(view_presence, _PERCENTILE)) < _LEAST


def doubts(view_presence: Floats, confidence: Floats, seen: Bools) -> list[str | None]:
    """Return why each of H hands is doubtful, None where it is not or has no views.

    `confidence` [H, T, 21] is that of its landmarks in the frames in which it is `seen` [H, T].
    """
    sure, least = sureness(view_presence)
    log.debug("sureness of the hands over their views: %s", np.round(sure, 3).tolist())
    why: list[str | None] = [None] * len(sure)
    for hand in np.flatnonzero(np.isfinite(sure)):
        over_views = f"doubtful: its presence is {sure[hand]:.2f} over turned and scaled views"
        if sure[hand] < least[hand]:
            why[hand] = f"{over_views}, and hands reach {least[hand]:.2f}"
        elif (
            least[hand] == _LEAST
            and sure[hand] < _SURE
            and _best_confidence(confidence[hand], seen[hand]) < _LEAST_CONFIDENCE
        ):
            why[hand] = f"{over_views}, which agree on no landmark"
    return why


def unconfirmed(
    sure: Floats, least: Floats, why: Sequence[str | None], palm_scores: PalmScores, covered: Floats | None = None
) -> list[str | None]:
    """Return `why` with reasons for those hands of videos, unsure and not doubtful yet, that show no palm close up.

    `covered` [H] is how much of each hand looks covered at its clearest; such hands need a clearer palm.
    """
    asked = [h for h, reason in enumerate(why) if reason is None and least[h] == _LEAST and sure[h] < _CONFIRMED]
    out = list(why)
    for hand, score in (palm_scores(asked) if asked else {}).items():
        needed = _LEAST_PALM if covered is None or covered[hand] < _COVERED else _LEAST_PALM_COVERED
        log.debug("palm of hand %d close up: %.3f of %.1f", hand, score, needed)
        if score < needed:
            out[hand] = (
                f"doubtful: its presence is {sure[hand]:.2f} over turned and scaled views, and the palm detector "
                f"scores it {score:.2f} close up (such hands: {needed:.1f} or more)"
            )
    return out


def _covered_at_best(covered: Floats | None, seen: Bools) -> Floats | None:
    """Return the mean probability [H] that something covers a landmark in the clearest tenth of the seen frames."""
    if covered is None:
        return None
    rows = [one[frames].mean(axis=-1) for one, frames in zip(covered, seen, strict=True)]
    return np.array([np.percentile(row, _COVERED_PERCENTILE) if len(row) else 0.0 for row in rows])


def _best_confidence(confidence: Floats, seen: Bools) -> float:
    return float(np.percentile(confidence[seen].mean(axis=-1), _CONFIDENCE_PERCENTILE)) if seen.any() else 0.0


def drop_doubtful(
    measured: KeypointTracks, tracks: HandTracks, view_presence: Floats, palm_scores: PalmScores
) -> KeypointTracks:
    """Return the measured hands without the doubtful ones, which it lists among the dropped.

    `tracks` are the same hands as they were followed; `palm_scores` looks at some of them close up.
    """
    sure, least = sureness(view_presence)
    covered = _covered_at_best(measured.covered, measured.seen)
    why = unconfirmed(sure, least, doubts(view_presence, measured.confidence, measured.seen), palm_scores, covered)
    kept = np.array([reason is None for reason in why])
    if kept.all():
        return measured
    doubtful = [_dropped(tracks, hand, float(sure[hand]), reason) for hand, reason in enumerate(why) if reason]
    listed = sorted((*measured.dropped, *doubtful), key=lambda one: (one.first_frame, one.last_frame, one.center_px))
    return _select(measured, kept, tuple(listed))


def _dropped(tracks: HandTracks, hand: int, sure: float, reason: str) -> DroppedHand:
    frames = np.flatnonzero(tracks.seen[hand])
    xy_px = tracks.xy_px[hand, frames]
    center = np.median(xy_px.mean(axis=1), axis=0)
    return DroppedHand(
        int(frames[0]), int(frames[-1]), len(frames), bool(tracks.is_right[hand]), sure,
        (float(center[0]), float(center[1])), float(np.median(sizes(xy_px))), reason,
    )  # fmt: skip


def _select(tracks: KeypointTracks, kept: Bools, dropped: tuple[DroppedHand, ...]) -> KeypointTracks:
    """Return the kept hands in the same order; hands and persons are numbered without gaps."""
    some = tracks.select_hands(np.flatnonzero(kept))
    hand_id, person_id = (np.unique(ids, return_inverse=True)[1] for ids in (some.hand_id, some.person_id))
    return replace(some, hand_id=hand_id.astype(np.int64), person_id=person_id.astype(np.int64), dropped=dropped)
