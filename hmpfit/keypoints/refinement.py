"""Second look, where tracking says the hands are: steady crops, left hands mirrored, augmented views.

Separate from detection because here the hand's identity is known. Left hands are looked at in mirrored crops, so the
network only ever sees right hands and a mirrored video gives the mirrored result.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hmpfit.keypoints import confidence
from hmpfit.keypoints.frames import FrameSource, Progress, over_frames
from hmpfit.keypoints.landmarker_files import LandmarkerFiles
from hmpfit.keypoints.networks import LandmarkNetwork
from hmpfit.keypoints.regions import Regions, from_landmarks
from hmpfit.keypoints.steadying import steady
from hmpfit.keypoints.tracking import HandTracks
from hmpfit.records import Bools, Camera, Floats, KeypointTracks


@dataclass(frozen=True)
class RefineOptions:
    """How landmarks and their confidence are measured."""

    views: int = 4
    gamma: float = confidence.GAMMA_PER_DIAGONAL
    seed: int = 0
    presence: float = 0.5  # a crop or view that is less surely a hand shows none


@dataclass(frozen=True)
class Sighting:
    """One hand in one frame."""

    xy_px: Floats  # [21, 2]
    world_m: Floats  # [21, 3] image axes
    presence: float
    right: float  # that the crop (mirrored for left hands) shows a right hand
    alpha: Floats  # [21]


def refine(
    clip: FrameSource,
    tracks: HandTracks,
    camera: Camera,
    files: LandmarkerFiles,
    options: RefineOptions = RefineOptions(),
    *,
    only: Bools | None = None,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> KeypointTracks:
    """Measure landmarks, world landmarks and confidence of every seen hand; looks at no frame where none is seen.

    `only` [T] limits the look to some frames; the others come back unseen. `world_m` comes back in camera axes: turned
    from each crop's viewing direction to the camera's.
    """
    regions = steady(from_landmarks(tracks.xy_px), tracks.seen, tracks.times_s)
    shape = tracks.seen.shape
    xy, world = np.full((*shape, 21, 2), np.nan), np.full((*shape, 21, 3), np.nan)
    alpha, seen = np.zeros((*shape, 21)), np.zeros(shape, dtype=bool)

    def look(network: LandmarkNetwork, frame: int, image: NDArray[np.uint8]) -> list[tuple[int, Sighting]]:
        hands = np.flatnonzero(tracks.seen[:, frame])
        return [
            (int(h), look_at_hand(network, image, regions[h, frame], not tracks.is_right[h], frame, options))
            for h in hands
        ]

    wanted = tracks.seen.any(axis=0) & (True if only is None else only)
    looked = over_frames(clip, wanted, lambda: LandmarkNetwork(files.landmarks), look, workers, on_progress)
    for frame, hands in looked.items():
        for h, sighting in hands:
            if sighting.presence >= options.presence:
                seen[h, frame] = True
                xy[h, frame], world[h, frame], alpha[h, frame] = sighting.xy_px, sighting.world_m, sighting.alpha
    return KeypointTracks(
        xy_px=xy,
        confidence=alpha,
        seen=seen,
        is_right=tracks.is_right,
        times_s=tracks.times_s,
        world_m=to_camera_axes(world, regions, seen, camera),
    )


def look_at_hand(
    network: LandmarkNetwork,
    image: NDArray[np.uint8],
    region: Regions,
    is_left: bool,
    frame: int,
    options: RefineOptions,
) -> Sighting:
    """Measure one hand in its region and judge every landmark by augmented views of it (none when `views` is 0)."""
    base = network(image, region[None], mirrored=is_left)
    alpha = np.zeros(21)
    if options.views:
        views = confidence.draw_views(options.views, options.seed, frame)
        turn = -views.angle if is_left else views.angle
        turned = region[None].turned(turn, views.scale)
        found = np.full((options.views, 21, 2), np.nan)
        for n in range(options.views):
            if confidence.hopeless(base.xy_px[0], found[:n], options.views, options.gamma):
                break  # whatever the other views show, the answer is 0
            other = network(image, turned[n : n + 1], mirrored=is_left)
            if other.presence[0] >= options.presence:
                found[n] = other.xy_px[0]
        alpha = confidence.confidence(base.xy_px[0], found, options.gamma)
    return Sighting(base.xy_px[0], base.world_m[0], float(base.presence[0]), float(base.right[0]), alpha)


def to_camera_axes(world_m: Floats, regions: Regions, seen: Bools, camera: Camera) -> Floats:
    """Turn hand-centred points [H, T, 21, 3] from the viewing direction of their regions [H, T] to camera axes."""
    from hmpfit.geometry.cameras import rays, rotation_from_optical_axis

    turned = np.full(world_m.shape, np.nan)
    K = np.broadcast_to(camera.K, (seen.shape[1], 3, 3))
    for h, frame in zip(*np.nonzero(seen), strict=True):
        rotation = rotation_from_optical_axis(rays(regions.center_px[h, frame], K[frame]))
        turned[h, frame] = world_m[h, frame] @ rotation.T
    return turned
