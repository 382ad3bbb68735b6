"""Classify which landmarks are covered: a small network on inner layers of the landmark network.

Behind an object the landmark network invents a hand and says with confidence that it is there; what it saw at the
landmark tells otherwise. Separate from `confidence`, which knows the spread of views only. Trained by
`benchmarks/train_occlusion.py`; the card beside the weights says on what, and how well it does on clips left out.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from hmpfit.geometry.near_in_time import mean_around
from hmpfit.recipes.schema import OcclusionThresholds
from hmpfit.records import Bools, Floats, KeypointTracks

WEIGHTS = Path(__file__).parent / "weights" / "cover.safetensors"


@dataclass(frozen=True)
class OcclusionClassifier:
    """A network of two layers over the 21 landmarks of a hand at once."""

    weights: dict[str, Floats]

    @staticmethod
    @cache
    def load() -> "OcclusionClassifier":
        """Return the shipped classifier."""
        return OcclusionClassifier({name: values.astype(np.float32) for name, values in load_file(WEIGHTS).items()})

    def __call__(self, features: Floats) -> Floats:
        """Return the probability that something covers each landmark, [..., 21], from features [..., 21, F]."""
        w = self.weights
        own = (features - w["mean"]) / w["std"] @ w["own"] + w["landmark"]
        hand = own.mean(-2, keepdims=True) @ w["hand"]
        hidden = np.maximum(own + hand, 0)
        logit = (hidden @ w["out"])[..., 0] + w["bias"]
        return np.asarray(1 / (1 + np.exp(-logit)))


def weigh_covered(tracks: KeypointTracks, limits: OcclusionThresholds) -> KeypointTracks:
    """Return the tracks in which covered landmarks have the weight `limits.weight`, and all others the weight 1.

    Behind an object the landmarks are wrong one by one, but they still lie about where the hand is.
    """
    if tracks.covered is None:
        return tracks
    doubted = (tracks.covered > limits.landmark) | ~_accepted(tracks, limits)[..., None]
    return replace(tracks, weight=np.where(doubted, limits.weight, 1.0))


def drop_covered(tracks: KeypointTracks, limits: OcclusionThresholds) -> KeypointTracks:
    """Return the tracks without covered landmarks, and without the frames in which too many are.

    A hand without any frame that would stay keeps its own: then it is the classifier that is wrong about this hand.
    """
    if tracks.covered is None:
        return tracks
    frames = _accepted(tracks, limits)
    kept = tracks if (frames == tracks.seen).all() else tracks.accept_frames(frames)
    single = kept.seen[..., None] & (tracks.covered > limits.landmark)
    if not single.any():
        return kept
    return replace(
        kept,
        xy_px=np.where(single[..., None], np.nan, kept.xy_px),
        confidence=np.where(single, 0.0, kept.confidence),
        world_m=None if kept.world_m is None else np.where(single[..., None], np.nan, kept.world_m),
    )


def _accepted(tracks: KeypointTracks, limits: OcclusionThresholds) -> Bools:
    """Return the seen frames [H, T] with few covered landmarks; all seen ones of a hand that would have none."""
    assert tracks.covered is not None
    chance = np.where(tracks.seen[..., None], tracks.covered, np.nan)
    number = np.stack([_averaged(one, tracks.times_s, limits.over_s) for one in chance.sum(-1)])
    frames = tracks.seen & ~(number > limits.landmarks)
    return np.where(frames.any(1, keepdims=True), frames, tracks.seen)


def _averaged(values: Floats, times_s: Floats, over_s: float) -> Floats:
    """Return the mean of values [T] over what is known nearby in time, NaN where a value is unknown."""
    known = np.flatnonzero(np.isfinite(values))
    out = np.full(len(values), np.nan)
    if len(known):
        out[known] = mean_around(values[known], times_s[known], times_s[known], over_s)
    return out
