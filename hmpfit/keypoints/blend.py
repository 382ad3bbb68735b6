"""The `blend` source: the detector where it sees the hand, the initialiser's projections where it does not.

Source: the HMP poster's blended keypoints; specs/method.md section 4.
"""

import numpy as np

from hmpfit.errors import InputError
from hmpfit.records import KeypointTracks


def blend(primary: KeypointTracks, secondary: KeypointTracks) -> KeypointTracks:
    """Fill the frames that `primary` does not see from `secondary`, hand by hand of the same side.

    Whole frames are taken, never single joints. A hand that only `secondary` has is added. Frames of `secondary` with
    confidence 0 stay unseen. Raises InputError when the two have different frames.
    """
    if len(primary.times_s) != len(secondary.times_s):
        raise InputError(
            f"Cannot blend keypoints of {len(primary.times_s)} frames with keypoints of {len(secondary.times_s)}."
        )
    sides = list(primary.is_right) + [side for side in secondary.is_right if side not in primary.is_right]
    frames = len(primary.times_s)
    xy, alpha = np.full((len(sides), frames, 21, 2), np.nan), np.zeros((len(sides), frames, 21))
    world, seen = np.full((len(sides), frames, 21, 3), np.nan), np.zeros((len(sides), frames), dtype=bool)
    for h, side in enumerate(sides):
        for source in (primary, secondary):  # the first that sees a frame keeps it
            for row in np.flatnonzero(source.is_right == side)[:1]:
                new = source.seen[row] & ~seen[h] & (source is primary or (source.confidence[row] > 0).any(axis=-1))
                xy[h, new], alpha[h, new] = source.xy_px[row, new], source.confidence[row, new]
                if source.world_m is not None:
                    world[h, new] = source.world_m[row, new]
                seen[h] |= new
    has_world = primary.world_m is not None or secondary.world_m is not None
    return KeypointTracks(xy, alpha, seen, np.array(sides, dtype=bool), primary.times_s, world if has_world else None)
