"""The `blend` source: the detector where it sees the hand, the initializer's projections where it does not.

Source: the HMP poster's blended keypoints; docs/method.md section 4.
"""

from dataclasses import replace

import numpy as np

from hmpfit.errors import InputError
from hmpfit.hands.matching import match_hands
from hmpfit.interfaces.context import RunContext
from hmpfit.interfaces.keypoint_source import KeypointSource, SourceInputs
from hmpfit.keypoints.projected import initial_keypoints, match_tracks
from hmpfit.records import KeypointTracks


def merge_keypoints(primary: KeypointTracks, secondary: KeypointTracks) -> KeypointTracks:
    """Fill the frames that `primary` does not see from `secondary`, hand by hand (see `hands.matching`).

    Whole frames are taken, never single joints. A hand that only `secondary` has is added. Frames of `secondary` with
    confidence 0 stay unseen. Raises InputError when the two have different frames.
    """
    if len(primary.times_s) != len(secondary.times_s):
        raise InputError(
            f"Cannot blend keypoints of {len(primary.times_s)} frames with keypoints of {len(secondary.times_s)}."
        )
    same = match_hands(secondary.xy_px, secondary.is_right, primary.xy_px, primary.is_right)
    more = np.setdiff1d(np.arange(len(secondary.is_right)), same)
    pairs = [*enumerate(same), *((-1, row) for row in more)]  # rows of primary and secondary, -1 for none
    frames = len(primary.times_s)
    xy, alpha = np.full((len(pairs), frames, 21, 2), np.nan), np.zeros((len(pairs), frames, 21))
    world, seen = np.full((len(pairs), frames, 21, 3), np.nan), np.zeros((len(pairs), frames), dtype=bool)
    sighted = np.zeros_like(seen)
    for h, rows in enumerate(pairs):
        for source, row in zip((primary, secondary), rows, strict=True):  # the first that sees a frame keeps it
            if row < 0:
                continue
            new = source.seen[row] & ~seen[h] & (source is primary or (source.confidence[row] > 0).any(axis=-1))
            xy[h, new], alpha[h, new] = source.xy_px[row, new], source.confidence[row, new]
            if source.world_m is not None:
                world[h, new] = source.world_m[row, new]
            seen[h] |= new
            sighted[h] |= source.seen[row] if source.sighted is None else source.sighted[row]
    if not len(more):
        has_world = primary.world_m is not None or secondary.world_m is not None
        return replace(
            primary, xy_px=xy, confidence=alpha, seen=seen, world_m=world if has_world else None, sighted=sighted
        )
    sides = np.concatenate((primary.is_right, secondary.is_right[more]))
    has_world = primary.world_m is not None or secondary.world_m is not None
    return KeypointTracks(xy, alpha, seen, sides, primary.times_s, world if has_world else None, sighted=sighted)


def extract(context: RunContext, inputs: SourceInputs) -> KeypointTracks:
    """Return the detector's tracks of the initial motion's hands, filled from the initializer."""
    assert inputs.detected is not None and inputs.initial is not None
    if inputs.initial.evidence is not None:
        return inputs.initial.evidence
    return merge_keypoints(
        match_tracks(inputs.detected, inputs.initial.motion, context), initial_keypoints(context, inputs)
    )


SOURCE = KeypointSource(extract, requires=frozenset({"detector", "initial"}))
