"""The heaviest chain of frames between which a hand turns and moves no faster than hands do.

In blur and behind things the detector turns a palm round for a few frames, with no landmark of any confidence or
with a few. Single frames do not show which of two poses is wrong; a path through them does. Separate from the
initializers, whose frames it judges.
"""

from dataclasses import replace

import numpy as np
import torch

from hmpfit.geometry import rotations
from hmpfit.recipes.schema import SpeedSettings
from hmpfit.records import DETECTED, EXTRAPOLATED, Bools, Floats, HandMotion, KeypointTracks


def drop_inconsistent(motion: HandMotion, tracks: KeypointTracks, speeds: SpeedSettings) -> HandMotion:
    """Return the motion with detected frames set to status 0 where one hand cannot have them between the others."""
    kept = consistent_frames(motion, tracks.confidence, tracks.times_s, speeds)
    return replace(motion, status=np.where(kept, motion.status, EXTRAPOLATED).astype(np.uint8))


def without_rejected_frames(tracks: KeypointTracks, motion: HandMotion, least_landmarks: int) -> KeypointTracks:
    """Return the tracks without the frames that were dropped: known by enough landmarks to be posed, and not
    detected.
    """
    known = np.isfinite(tracks.xy_px).all(-1)
    if tracks.world_m is not None:
        known &= np.isfinite(tracks.world_m).all(-1)
    dropped = tracks.seen & (known.sum(-1) >= least_landmarks) & (motion.status != DETECTED)
    return tracks.accept_frames(~dropped) if dropped.any() else tracks


LEAST_WEIGHT = 0.05  # of a frame whose landmarks have no confidence


def consistent_frames(motion: HandMotion, confidence: Floats, times_s: Floats, speeds: SpeedSettings) -> Bools:
    """Return the detected frames [H, T] of the chain with the largest sum of mean confidence [H, T, 21]."""
    kept = np.zeros(motion.status.shape, dtype=bool)
    for hand, status in enumerate(motion.status):
        frames = np.flatnonzero(status == DETECTED)
        if len(frames):
            weight = np.maximum(confidence[hand, frames].mean(-1), LEAST_WEIGHT)
            R = rotations.exp(torch.as_tensor(motion.global_orient[hand, frames])).numpy()
            kept[hand, frames[_chain(R, motion.transl[hand, frames], times_s[frames], weight, speeds)]] = True
    return kept


def _possible(speeds: SpeedSettings, turn: Floats, move: Floats, distance: Floats, elapsed_s: Floats) -> Bools:
    """Return whether one hand can have two poses that are so far from each other in time and place."""
    turns = turn <= speeds.turn_rad + speeds.turn_rad_s * elapsed_s
    moves = move <= speeds.move_share * distance + speeds.move_m_s * elapsed_s
    return np.asarray(turns & moves)


def _chain(R: Floats, transl: Floats, times_s: Floats, weight: Floats, speeds: SpeedSettings) -> list[int]:
    """Return the heaviest chain of frames of which each two neighbors are possible together.

    A frame looks back until a half turn is possible, and on from the best chain before that.
    """
    reach = max((np.pi - speeds.turn_rad) / speeds.turn_rad_s, 0.0)
    best, before = weight.copy(), np.full(len(R), -1)
    for n in range(1, len(R)):
        first = int(np.searchsorted(times_s, times_s[n] - reach))
        near = np.arange(min(first, n), n)
        turn = np.arccos(np.clip((np.einsum("kij,ij->k", R[near], R[n]) - 1) / 2, -1, 1))
        move = np.linalg.norm(transl[near] - transl[n], axis=-1)
        fits = _possible(speeds, turn, move, np.abs(transl[n, 2]) + 0 * move, times_s[n] - times_s[near])
        options = near[fits].tolist()
        if first > 0:
            options.append(int(best[:first].argmax()))
        if options:
            before[n] = max(options, key=lambda k: best[k])
            best[n] = best[before[n]] + weight[n]
    chain = [int(best.argmax())]
    while before[chain[-1]] >= 0:
        chain.append(int(before[chain[-1]]))
    return chain[::-1]
