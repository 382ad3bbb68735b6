"""From detections to tracks: any number of right and left hands, with landmarks wherever each was seen.

Separate from `tracklets`, `following`, `assignment` and `earning`, whose answers it puts together. No pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import NoHandError, UnknownNameError
from hmpfit.keypoints.assignment import Hand, assign
from hmpfit.keypoints.extend_tracklets import TrackletExtension
from hmpfit.keypoints.merge_tracklets import merge_tracklets
from hmpfit.keypoints.persons import group_hands
from hmpfit.keypoints.tracklet_evidence import TrackletEvidence, rejection_reason, tracklet_evidence
from hmpfit.keypoints.tracklets import LONGEST_GAP_S, Tracklet, distance, link, split_by_vote
from hmpfit.records import Bools, DroppedHand, Floats, HandDetections

HANDS = ("auto", "left", "right", "both")

_NONE_IN_PICTURE = "No hand was found in the picture; check that it shows one, large and sharp enough."
_NONE_IN_VIDEO = (
    "No hand was found in any frame; check that the video shows a hand that is large and sharp enough, "
    "and that --frames and --hide-keypoints leave some of it."
)
_NO_PART = "too short, and no part of a hand that was followed"
_SAME_HAND = 0.25  # a followed hand this close to another hand's sighting has lost its own


@dataclass(frozen=True)
class HandTracks:
    """Hands followed through the clip, most seen first: their landmarks where they were seen."""

    xy_px: Floats  # [H, T, 21, 2], NaN where unseen
    seen: Bools  # [H, T]
    is_right: Bools  # [H]
    right_log_odds: Floats  # [H] the vote: mean over the track's detections, positive for a right hand
    agreement: Floats  # [H] share of the detections that vote for the hand's side
    times_s: Floats  # [T]
    hand_id: NDArray[np.int64]  # [H] in order of the first sighting
    person_id: NDArray[np.int64]  # [H] in order of the persons' first hands
    dropped: tuple[DroppedHand, ...] = ()
    color: Floats | None = None  # [H, 3] median color of the palm (see `appearance`)
    arm_right: Floats | None = None  # [H] 1 where a body's right arm holds the hand, 0 its left arm, NaN unknown


def track(
    detections: HandDetections,
    tracklets: Sequence[Tracklet] | None = None,
    extensions: Sequence[TrackletExtension] = (),
    hands: str = "auto",
    max_hands: int | None = None,
    frames_hidden: Bools | None = None,
) -> HandTracks:
    """Follow the hands of a clip, at most `max_hands`; most seen first.

    `tracklets` are the detections' tracklets, `extensions` where they were followed to (see `extend_tracklets`). No
    hand is seen in hidden frames [T].
    `hands`: "auto" keeps whatever earns it (see `earning`); "both" keeps a right and a left hand however rarely seen
    (half of `max_hands` each); "left" and "right" keep hands of one side, and trust the user about it when only
    others are found. Raises NoHandError and UnknownNameError.
    """
    if hands not in HANDS:
        raise UnknownNameError("choice of hands", hands, HANDS)
    if len(detections.frame) == 0:
        raise NoHandError(_NONE_IN_PICTURE if len(detections.times_s) == 1 else _NONE_IN_VIDEO)
    tracklets = split_by_vote(detections, link(detections)) if tracklets is None else tracklets
    tracklets, extensions = merge_tracklets(detections, tracklets, extensions)
    found = assign(detections, tracklets, extensions, max_hands if hands == "auto" else None)
    rows = [_rows_by_frame(detections, tracklets, hand.tracklets) for hand in found]
    order = sorted(range(len(found)), key=lambda n: -int((rows[n] >= 0).sum()))
    found, rows = [found[n] for n in order], [rows[n] for n in order]
    evidence = [tracklet_evidence(detections, row) for row in rows]
    presence = [_followed(hand, extensions, len(detections.times_s)) for hand in found]
    why = [
        rejection_reason(one, followed, detections.times_s, expected=hands != "auto")
        for one, followed in zip(evidence, presence, strict=True)
    ]
    kept, labels, why = _chosen(found, why, hands, max_hands)
    if not kept:
        raise NoHandError(_explain_rejections(evidence, why))
    table = np.stack([rows[n] for n in kept])
    seen = table >= 0
    xy = np.where(seen[..., None, None], detections.xy_px[table], np.nan)
    owner = {tracklet: h for h, n in enumerate(kept) for tracklet in found[n].tracklets}
    owners = [owner.get(n, -1) for n in range(len(tracklets))]
    xy = fill(xy, tracklets, owners, extensions, detections.times_s, frames_hidden)
    seen = np.isfinite(xy[:, :, 0, 0])
    votes = [evidence[n] for n in kept]
    ids = _in_order_of_appearance(seen, xy)
    color = _colors(detections, table)
    return HandTracks(
        xy_px=xy,
        seen=seen,
        is_right=labels,
        right_log_odds=np.array([vote.right_log_odds for vote in votes]),
        agreement=np.array([vote.agreement_with(bool(side)) for vote, side in zip(votes, labels, strict=True)]),
        times_s=detections.times_s,
        hand_id=ids,
        person_id=group_hands(xy, labels, ids, color=color),
        dropped=_dropped(detections, tracklets, found, evidence, why, max_hands if hands == "auto" else None),
        color=color,
    )


def with_sides(tracks: HandTracks, is_right: Bools) -> HandTracks:
    """Return the tracks with other sides [H]; the agreement is that with the new ones."""
    agreement = np.where(is_right == tracks.is_right, tracks.agreement, 1 - tracks.agreement)
    return replace(tracks, is_right=is_right, agreement=agreement)


def _colors(detections: HandDetections, table: NDArray[np.int64]) -> Floats | None:
    """Return the median color [H, 3] of hands whose detections are `table` [H, T], -1 for none."""
    known = detections.color
    return None if known is None else np.stack([np.median(known[rows[rows >= 0]], axis=0) for rows in table])


def _chosen(
    found: Sequence[Hand], why: Sequence[str | None], hands: str, most: int | None
) -> tuple[list[int], Bools, list[str | None]]:
    """Choose among hands, most seen first: which are kept, their sides, and why the others are not."""
    why = list(why)
    kept = [n for n, reason in enumerate(why) if reason is None]
    sides = {n: found[n].is_right for n in kept}
    if hands in ("left", "right"):
        right = hands == "right"
        own = [n for n in kept if sides[n] == right] or kept[:1]  # the user's choice overrides the votes
        why = _with_reason(
            why, [n for n in kept if n not in own], f"not a {hands} hand, which --hands {hands} asks for"
        )
        kept, sides = own, dict.fromkeys(own, right)
    elif hands == "both":
        each = 1 if most is None else max(1, most // 2)
        own = sorted(n for right in (True, False) for n in [n for n in kept if sides[n] == right][:each])
        why = _with_reason(why, [n for n in kept if n not in own], f"more than {each} of its side, and --hands is both")
        kept = own
    if most is not None:
        why = _with_reason(why, kept[most:], _too_many(most))
        kept = kept[:most]
    return kept, np.array([sides[n] for n in kept], dtype=bool), why


def _followed(hand: Hand, extensions: Sequence[TrackletExtension], frames: int) -> Floats:
    """Return how surely a hand was seen in the frames [T] in which one of its tracklets was followed, 0 elsewhere."""
    presence = np.zeros(frames)
    for extension in extensions:
        if extension.tracklet in hand.tracklets:
            presence[extension.frames] = np.maximum(presence[extension.frames], extension.presence)
    return presence


def _with_reason(why: Sequence[str | None], hands: Sequence[int], reason: str) -> list[str | None]:
    return [reason if n in hands else known for n, known in enumerate(why)]


def _too_many(most: int) -> str:
    return f"more than --max-hands {most}, and seen less than the others"


def _explain_rejections(evidence: Sequence[TrackletEvidence], why: Sequence[str | None]) -> str:
    seen = f"was {why[0]}" if evidence else "was seen in too few frames"
    return (
        f"No hand was found: what looked like one {seen}. Check that the video shows a hand that is large and sharp "
        "enough; --hands both keeps hands that are rarely seen."
    )


def _in_order_of_appearance(seen: Bools, xy_px: Floats) -> NDArray[np.int64]:
    """Number hands by their first frame, those of one frame from left to right."""
    first = seen.argmax(axis=1)
    left = [float(xy_px[h, frame, :, 0].mean()) for h, frame in enumerate(first)]
    ids = np.zeros(len(seen), dtype=np.int64)
    ids[np.lexsort((left, first))] = np.arange(len(seen))
    return ids


def _dropped(
    detections: HandDetections,
    tracklets: Sequence[Tracklet],
    found: Sequence[Hand],
    evidence: Sequence[TrackletEvidence],
    why: Sequence[str | None],
    most: int | None,
) -> tuple[DroppedHand, ...]:
    """List what was seen and not kept: hands that were refused, and tracklets of none of the (at most `most`) hands."""
    used, unfollowed = {tracklet for hand in found for tracklet in hand.tracklets}, np.zeros(len(detections.times_s))
    out = [one.dropped(reason) for one, reason in zip(evidence, why, strict=True) if reason is not None]
    for n, tracklet in enumerate(tracklets):
        if n not in used:
            rows = np.full(len(detections.times_s), -1, dtype=np.int64)
            rows[tracklet.frames] = tracklet.rows
            one = tracklet_evidence(detections, rows)
            earned = rejection_reason(one, unfollowed, detections.times_s, expected=False) is None
            out.append(one.dropped(_too_many(most) if most is not None and earned else _NO_PART))
    return tuple(sorted(out, key=lambda one: (one.first_frame, one.last_frame, one.center_px)))


def fill(
    xy_px: Floats,
    tracklets: Sequence[Tracklet],
    hand: Sequence[int],
    extensions: Sequence[TrackletExtension],
    times_s: Floats,
    hidden: Bools | None = None,
) -> Floats:
    """Fill unseen frames [H, T, 21, 2] with sightings of followed tracklets; `hand` is each tracklet's row or -1.

    Of several sightings the one nearest in time to its tracklet wins. Short gaps inside a tracklet, which the detector
    leaves in hands that are in full sight, are laid on straight lines: close enough for a crop, which shows whether
    there is a hand; those of `hidden` frames [T] stay. A sighting that lies on another hand's is none.
    """
    filled = xy_px.copy()
    steps = np.full(xy_px.shape[:2], np.inf)
    for extension in extensions:
        h, tracklet = hand[extension.tracklet], tracklets[extension.tracklet]
        if h < 0:
            continue
        origin = tracklet.frames[-1] if extension.onward else tracklet.frames[0]
        for frame, seen in zip(extension.frames, extension.xy_px, strict=True):
            away = abs(frame - origin)
            if np.isnan(xy_px[h, frame, 0, 0]) and away < steps[h, frame]:
                filled[h, frame], steps[h, frame] = seen, away
    for h, frame, xy in _on_lines(xy_px, tracklets, hand, times_s):
        if np.isnan(filled[h, frame, 0, 0]) and not (hidden is not None and hidden[frame]):
            filled[h, frame], steps[h, frame] = xy, 0
    for frame in np.flatnonzero(np.isfinite(filled[:, :, 0, 0]).sum(axis=0) > 1):
        guessed = np.flatnonzero(np.isfinite(steps[:, frame]))
        for h in sorted(guessed, key=lambda h: -steps[h, frame]):
            others = np.delete(filled[:, frame], h, axis=0)
            if np.nanmin(distance(filled[h, frame], others), initial=np.inf) < _SAME_HAND:
                filled[h, frame] = np.nan
    return filled


def _on_lines(
    xy_px: Floats, tracklets: Sequence[Tracklet], hand: Sequence[int], times_s: Floats
) -> Iterator[tuple[int, int, Floats]]:
    """Yield hand, frame and landmarks [21, 2] on the line between detections of a tracklet that are close in time."""
    for tracklet, h in zip(tracklets, hand, strict=True):
        for a, b in pairwise(tracklet.frames if h >= 0 else ()):
            lasts = times_s[b] - times_s[a]
            if lasts <= LONGEST_GAP_S + 1e-9 and np.isfinite(xy_px[h, [a, b], 0, 0]).all():
                for frame in range(a + 1, b):
                    share = (times_s[frame] - times_s[a]) / lasts
                    yield h, frame, (1 - share) * xy_px[h, a] + share * xy_px[h, b]


def _rows_by_frame(detections: HandDetections, tracklets: Sequence[Tracklet], own: Sequence[int]) -> NDArray[np.int64]:
    """Return each frame's detection of one hand's tracklets, -1 where there is none; of two the more certain."""
    rows = np.full(len(detections.times_s), -1, dtype=np.int64)
    for n in own:
        for frame, row in zip(tracklets[n].frames, tracklets[n].rows, strict=True):
            if rows[frame] < 0 or detections.score[row] > detections.score[rows[frame]]:
                rows[frame] = row
    return rows
