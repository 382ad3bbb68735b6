"""Mirror left hands, which are fitted as right hands in the mirrored image; done and undone here alone."""

from dataclasses import replace

import numpy as np

from hmpfit.geometry.cameras import mirror_intrinsics
from hmpfit.geometry.lenses import mirror_distortion
from hmpfit.records import MIRROR_X, Bools, Camera, Floats, HandMotion, KeypointTracks


def tracks_as_right(tracks: KeypointTracks, width: int) -> KeypointTracks:
    """Mirror the left hands' pixels (x -> width - x) and world landmarks; every hand comes back as a right hand."""
    left = ~tracks.is_right
    xy, world = tracks.xy_px.copy(), tracks.world_m
    xy[left, ..., 0] = width - xy[left, ..., 0]
    if world is not None:
        world = np.where(left[:, None, None, None], world * MIRROR_X, world)
    return replace(tracks, xy_px=xy, world_m=world, is_right=np.ones_like(tracks.is_right))


def intrinsics_as_right(camera: Camera, is_right: Bools) -> Floats:
    """Return K of each hand's image, [H, 1 | T, 3, 3]: mirrored for left hands."""
    mirrored = mirror_intrinsics(camera.K, camera.width)
    return np.where(is_right[:, None, None, None], camera.K[None], mirrored[None])


def distortion_as_right(camera: Camera, is_right: Bools) -> Floats | None:
    """Return the distortion of each hand's image, [H, 4 | 5 | 8]: mirrored for left hands; None without one."""
    if camera.distortion is None:
        return None
    return np.where(is_right[:, None], camera.distortion[None], mirror_distortion(camera.distortion)[None])


def motion_as_right(motion: HandMotion) -> HandMotion:
    """Mirror the left hands of a motion into right hands."""
    return motion.mirrored(~motion.is_right)


def motion_as_sides(motion: HandMotion, is_right: Bools) -> HandMotion:
    """Undo `motion_as_right`: give each hand its own side back."""
    return motion.mirrored(~is_right)


def pixels_as_sides(xy_px: Floats, is_right: Bools, width: int) -> Floats:
    """Mirror the pixels [H, T, 21, 2] of left hands back into the real image."""
    out = xy_px.copy()
    out[~is_right, ..., 0] = width - out[~is_right, ..., 0]
    return out
