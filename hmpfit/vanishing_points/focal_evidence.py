"""Log-likelihood of a camera's focal length, over a grid, from straight lines of the scene."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hmpfit.process_copies import Send, side_by_side
from hmpfit.records import Floats
from hmpfit.vanishing_points.manhattan import Frames, Segments, fit_frame, refine_frames

# Lenses: bends of the division model, in longer sides, from none outwards; the deviation of lenses sold without a label
# is that of webcams and action cameras.
_BARREL, _PINCUSHION, _BEND_STD = (-0.25, -0.5, -0.75, -1.0), (0.25,), 0.4
_SEARCH_MARGIN = 5.0  # a bend whose log-likelihood is so much lower ends the search to its side
_TRIPLES, _FEWEST_SEGMENTS = 300, 50  # among fewer, arms and chance pass for a third direction
# Segments of one edge are not independent, and a scene with few aligned segments carries little evidence.
_TRUST, _ORDERLESS, _ORDERLY = 0.5, 0.2, 0.6
_SEED = 0


@dataclass(frozen=True)
class LineEvidence:
    """Log-likelihood [F] of focal lengths in longer sides, 0 at its best.

    `order` is the share of the segments that run along the three directions.
    """

    focals: Floats
    log_likelihood: Floats
    order: float


def focal_evidence(views: list[Floats], focals: Floats) -> LineEvidence:
    """Weigh focal lengths [F], ascending and in longer sides, by the segments [N, 2, 2] of views of a scene.

    For each the likeliest Manhattan frame and lens are looked for; Laplace's method integrates over the frame's
    rotation, which a scene that faces the camera leaves the freer the shorter the lens is. Views count as their mean.
    Deterministic.
    """
    usable = [ends for ends in views if len(ends) >= _FEWEST_SEGMENTS]
    if not usable:
        return LineEvidence(focals, np.zeros(len(focals)), 0.0)
    parts = [_of_view(ends, focals) for ends in usable]
    curve, volume = (np.mean([getattr(part, name) for part in parts], axis=0) for name in ("likely", "volume"))
    order = float(np.mean([part.order for part in parts]))
    share = float(np.clip((order - _ORDERLESS) / (_ORDERLY - _ORDERLESS), 0, 1))
    found = share * (_TRUST * curve + volume)
    return LineEvidence(focals, found - found.max(), order)


@dataclass(frozen=True)
class _View:
    """Log-likelihoods [F] of one view and lens, or of all lenses; log-volumes [F] of rotations; share with an order."""

    likely: Floats
    volume: Floats
    order: float


def _of_view(ends: Floats, focals: Floats) -> _View:
    """Weigh focal lengths by one view, lenses summed over; volume and order are those of the likeliest lens."""
    random = np.random.default_rng(_SEED)
    weight = Segments.of(ends, 1.0).weight
    triples = random.choice(len(ends), (_TRIPLES, 3), p=weight / weight.sum())

    def through(bend: float, _: Send) -> _View:
        return _of_lens(ends, focals, triples, bend)

    sides = (_BARREL, _PINCUSHION)
    straight, *bent = side_by_side([partial(through, bend) for bend in (0.0, *(side[0] for side in sides))])
    found = [straight]
    for side, first in zip(sides, bent, strict=True):
        best = straight.likely.max()
        for bend in side:
            found.append(first if bend == side[0] else _of_lens(ends, focals, triples, bend))
            if found[-1].likely.max() < best - _SEARCH_MARGIN:
                break
            best = max(best, found[-1].likely.max())
    curves = np.stack([one.likely for one in found])
    top, likeliest = curves.max(), max(found, key=lambda one: float(one.likely.max()))
    return _View(np.log(np.exp(curves - top).sum(axis=0)) + top, likeliest.volume, likeliest.order)


def _of_lens(ends: Floats, focals: Floats, triples: NDArray[np.int64], bend: float) -> _View:
    """Weigh focal lengths by one view through one lens, the lens's prior included."""
    frames: list[Frames] = []
    for focal in focals:
        before = [frames[-1].axes] if frames else []
        frames.append(fit_frame(Segments.of(ends, focal, bend), triples, before))
    for i in range(len(focals) - 2, -1, -1):  # what fits one focal length nearly fits the next
        again = refine_frames(Segments.of(ends, focals[i], bend), frames[i + 1].axes)
        frames[i] = max(frames[i], again, key=lambda found: float(found.log_likelihood[0]))
    likely = np.array([found.log_likelihood[0] for found in frames]) - 0.5 * (bend / _BEND_STD) ** 2
    volume = np.array([found.log_volume[0] for found in frames])
    return _View(likely, volume, float(frames[int(likely.argmax())].shares.sum()))
