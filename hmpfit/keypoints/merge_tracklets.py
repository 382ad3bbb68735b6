"""Merge tracklets that continue one another: fewer, longer tracklets, whose votes about the side weigh more.

Separate from `tracklets` (certain from positions alone) and from `assignment` (a matter of plausibility). No pixels.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hmpfit.keypoints.appearance import differ
from hmpfit.keypoints.extend_tracklets import TrackletExtension
from hmpfit.keypoints.moving_cost import BREAK, break_cost
from hmpfit.keypoints.tracklets import Tracklet, distance, gather
from hmpfit.records import HandDetections

_FOLLOWED_FRAMES = 3  # seen by following alone, from which both ways outweigh opposed votes
_FOLLOWED_SHARE = 0.5  # what a frame in which a hand was only followed weighs, beside one in which it was found
_RARELY_FOUND = 4  # frames of following for each detection, from which following counts: the detector misses that hand
_SAME = 0.25  # two sightings this near in one frame are one hand, in hand boxes' diagonals


def merge_tracklets(
    detections: HandDetections, tracklets: Sequence[Tracklet], extensions: Sequence[TrackletExtension]
) -> tuple[list[Tracklet], list[TrackletExtension]]:
    """Join tracklets along unbroken arrivals and return them, ordered by first frame, with extensions renumbered.

    What was followed both ways over some frames is joined first, then what speaks less clearly; of each the shorter
    ways first. Tracklets, and groups of them, whose consistent votes name different sides are joined last, and only
    along a way of the first kind that has no rival: a chain of short tracklets joins no right hand to a left one.
    Nothing is joined that would put one hand at two places at once.
    """
    extensions = _without_outvoted(detections, tracklets, extensions)
    group = list(range(len(tracklets)))
    rows = {n: tracklet.rows for n, tracklet in enumerate(tracklets)}
    doubtful = contested(detections, tracklets, extensions)
    links = [link for link in _links(extensions) if link not in doubtful]
    sure = [link for link in links if _surely_followed(extensions, *link)]
    unsure = [link for link in links if link not in sure]
    for some, opposed_too in ((sure, False), (unsure, False), (sure, True)):
        for before, after in some:
            a, b = group[before], group[after]
            if a == b or not _compatible(detections, rows[a], rows[b]):
                continue
            pairs = (rows[a], rows[b]), (tracklets[before].rows, tracklets[after].rows)
            if not opposed_too and any(_opposed(detections, *pair) for pair in pairs):
                continue
            rows[a] = np.concatenate((rows[a], rows.pop(b)))
            group = [a if g == b else g for g in group]
    joined = {g: gather(detections, _one_a_frame(detections, r)) for g, r in rows.items()}
    for g, tracklet in joined.items():
        own = [extension for extension in extensions if group[extension.tracklet] == g]
        joined[g] = replace(tracklet, weight=tracklet.weight + _FOLLOWED_SHARE * _followed(tracklet, own))
    order = sorted(joined, key=lambda g: (joined[g].frames[0], joined[g].rows[0]))
    place = {g: n for n, g in enumerate(order)}
    renumbered = [
        replace(t, tracklet=place[group[t.tracklet]], arrived=None if t.arrived is None else place[group[t.arrived]])
        for t in extensions
    ]
    return [joined[g] for g in order], renumbered


def _followed(tracklet: Tracklet, extensions: Sequence[TrackletExtension]) -> float:
    """Sum up how surely a hand that is rarely found was seen in the frames in which it was only followed."""
    seen: dict[int, float] = {}
    for extension in extensions:
        for frame, presence in zip(extension.frames, extension.presence, strict=True):
            seen[frame] = max(seen.get(frame, 0.0), presence)
    found = set(tracklet.frames.tolist())
    only = [presence for frame, presence in seen.items() if frame not in found]
    return sum(only) if len(only) >= _RARELY_FOUND * len(found) else 0.0


def contested(
    detections: HandDetections, tracklets: Sequence[Tracklet], extensions: Sequence[TrackletExtension]
) -> set[tuple[int, int]]:
    """Return the pairs (before, after) that motion has to decide: where hands meet, following may change hands.

    Such are those that one of two rivals claims: the one was followed to the other's rival, too. A pair that was
    followed both ways over some frames is certain. And where no frame lies between the two, following only says that
    they are in one place, which a hand that breaks off its motion there speaks against. Only where colors are known,
    that is among several people: elsewhere following says more than motion (`cups.mp4` would fall into four hands).
    """
    if detections.color is None:
        return set()
    found = _followed_links(extensions)
    out = set()
    for (before, after), lengths in found.items():
        rival = any((before == a) != (after == b) for a, b in found)
        breaks = max(lengths) == 0 and break_cost(detections, tracklets[before], tracklets[after]) > BREAK
        if (rival and (len(lengths) < 2 or min(lengths) == 0)) or breaks:
            out.add((before, after))
    return out


def _links(extensions: Sequence[TrackletExtension]) -> list[tuple[int, int]]:
    found = _followed_links(extensions)
    return sorted(found, key=lambda pair: (-len(found[pair]), min(found[pair]), pair))


def _followed_links(extensions: Sequence[TrackletExtension]) -> dict[tuple[int, int], list[int]]:
    """Return for each pair (before, after) the frames of the unbroken extensions from one to the other."""
    found: dict[tuple[int, int], list[int]] = {}
    for extension in extensions:
        if extension.arrived is not None and extension.unbroken:
            pair = extension.tracklet, extension.arrived
            found.setdefault(pair if extension.onward else pair[::-1], []).append(len(extension.frames))
    return found


def _opposed(detections: HandDetections, a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether consistent votes, or colors where they are known, of two sets of rows speak for two hands."""
    color = detections.color
    if color is not None and differ(color[a], color[b]):
        return True
    one, other = gather(detections, a), gather(detections, b)
    return one.consistent and other.consistent and one.right_log_odds * other.right_log_odds < 0


def _without_outvoted(
    detections: HandDetections, tracklets: Sequence[Tracklet], extensions: Sequence[TrackletExtension]
) -> list[TrackletExtension]:
    """Return the extensions without arrivals that votes contradict where they do not contradict a rival arrival.

    Where one hand covers another, both are followed to the one in front, and from there back to either.
    """
    found = _followed_links(extensions)
    opposed = {pair for pair in found if _opposed(detections, *(tracklets[n].rows for n in pair))}
    outvoted = {
        (before, after)
        for before, after in opposed
        if any((before == a) != (after == b) for a, b in found.keys() - opposed)
    }
    return [
        replace(one, arrived=None) if {(one.tracklet, one.arrived), (one.arrived, one.tracklet)} & outvoted else one
        for one in extensions
    ]


def _surely_followed(extensions: Sequence[TrackletExtension], before: int, after: int) -> bool:
    ways = [
        extension.onward
        for extension in extensions
        if extension.unbroken
        and len(extension.frames) >= _FOLLOWED_FRAMES
        and (extension.tracklet, extension.arrived) == ((before, after) if extension.onward else (after, before))
    ]
    return len(set(ways)) == 2


def _compatible(detections: HandDetections, a: np.ndarray, b: np.ndarray) -> bool:
    common, in_a, in_b = np.intersect1d(detections.frame[a], detections.frame[b], return_indices=True)
    if len(common) == 0:
        return True
    return bool((distance(detections.xy_px[a[in_a]], detections.xy_px[b[in_b]]) < _SAME).all())


def _one_a_frame(detections: HandDetections, rows: np.ndarray) -> np.ndarray:
    """Order rows by frame and keep the most certain of each frame."""
    ordered = rows[np.lexsort((-detections.score[rows], detections.frame[rows]))]
    return np.asarray(ordered[np.unique(detections.frame[ordered], return_index=True)[1]])
