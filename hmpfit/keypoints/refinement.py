"""Second pass, on tracked hands: steady crops, left hands mirrored, augmented views.

Separate from detection because here the hand's identity is known. Left hands are processed in mirrored crops, so the
network only ever sees right hands and a mirrored video gives the mirrored result.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hmpfit.keypoints import confidence
from hmpfit.keypoints.close_up import palm_scores
from hmpfit.keypoints.doubtful_hands import FEW_FRAMES, drop_doubtful, wide_views
from hmpfit.keypoints.frames import (
    FrameSource,
    FurtherWork,
    Progress,
    over_frames_and_back,
    over_stretches,
    stretches,
)
from hmpfit.keypoints.keyframes import halved, key_frames, longest_gap
from hmpfit.keypoints.landmarker_files import LandmarkerFiles
from hmpfit.keypoints.measured_hands import MeasuredHands, Sighting
from hmpfit.keypoints.networks import LandmarkNetwork
from hmpfit.keypoints.occlusion import OcclusionClassifier
from hmpfit.keypoints.regions import Regions, from_landmarks
from hmpfit.keypoints.smooth_regions import smooth_regions
from hmpfit.keypoints.tracking import HandTracks
from hmpfit.records import Bools, Camera, Floats, KeypointTracks
from hmpfit.skeleton import OPENPOSE_PALM, OPENPOSE_WRIST


@dataclass(frozen=True)
class RefineOptions:
    """How landmarks and their confidence are measured; views are drawn at most `views_every_s` apart (0: always)."""

    views: int = 4
    gamma: float = confidence.GAMMA_PER_DIAGONAL
    gamma_px: float = 0.0  # above 0: in the place of `gamma`
    seed: int = 0
    presence: float = 0.5  # a crop or view that is less surely a hand shows none
    drop_doubtful: bool = False  # see `doubtful_hands`
    views_every_s: float = 0.0


@dataclass(frozen=True)
class Measurements:
    """Tracked hands as they were measured: without a camera, which `camera_tracks` needs."""

    tracks: HandTracks
    regions: Regions  # [H, T]
    found: MeasuredHands


def refine_tracks(
    clip: FrameSource,
    tracks: HandTracks,
    files: LandmarkerFiles,
    options: RefineOptions = RefineOptions(),
    *,
    only: Bools | None = None,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> Measurements:
    """Measure landmarks, world landmarks and confidence of every seen hand; other frames are not decoded.

    `only` [T] limits the look to some frames; the others come back unseen. Landmarks are measured in every frame. Their
    confidence is measured `views_every_s` apart and lies on straight lines between two frames that agree; where they do
    not, the frame in their middle is measured, then all between that still disagree.
    """
    regions = smooth_regions(from_landmarks(tracks.xy_px), tracks.seen, tracks.times_s)
    wanted = tracks.seen & (True if only is None else only)
    viewed = np.stack([_view_frames(row, tracks.times_s, options.views_every_s) for row in wanted])
    few = viewed.sum(axis=1) < (FEW_FRAMES if options.drop_doubtful and options.views else 0)
    measuring = _Measuring(clip, tracks, files, options, regions, viewed, few, OcclusionClassifier.load())
    parts = [wanted & part for part in _between_views(viewed, stretches(np.flatnonzero(wanted.any(axis=0)), workers))]
    found, total = MeasuredHands.empty(wanted.shape), sum(int(part.any(axis=0).sum()) for part in parts)
    for part, measured in zip(parts, over_stretches(parts, measuring, total, workers, on_progress), strict=True):
        found.take(measured, part)
    if options.views:
        found.fill_confidence(tracks.times_s)
    return Measurements(tracks, regions, found)


def camera_tracks(
    measured: Measurements,
    clip: FrameSource,
    camera: Camera,
    files: LandmarkerFiles,
    options: RefineOptions = RefineOptions(),
    workers: int | None = None,
) -> KeypointTracks:
    """Return measured hands under a camera, without the doubtful ones where the options say so.

    `world_m` is in camera axes: turned from each crop's viewing direction to the camera's.
    """
    tracks, found = measured.tracks, measured.found
    world = to_camera_axes(without_wrist_bias(found.world_m), measured.regions, found.seen, camera)
    refined = _as_tracks(tracks, found, world)
    look_closer = partial(palm_scores, clip, refined, files=files, workers=workers)
    return drop_doubtful(refined, tracks, found.view_presence, look_closer) if options.drop_doubtful else refined


def _view_frames(wanted: Bools, times_s: Floats, every_s: float) -> Bools:
    """Choose the frames [T] of a hand in which views come first, twice as close in time where there are few."""
    chosen = key_frames(wanted, times_s, every_s)
    return chosen if chosen.sum() >= FEW_FRAMES else key_frames(wanted, times_s, every_s / 2)


def _between_views(viewed: Bools, frames: list[NDArray[np.int64]]) -> list[Bools]:
    """Return for each stretch of frames its frames by hand [H, T], from one with views [H, T] up to the next's first.

    That one belongs to both, so that the frames between two with views are in one part.
    """
    at = np.arange(viewed.shape[1])
    starts = [np.zeros(len(viewed), dtype=np.int64)]
    for first in (int(part[0]) for part in frames[1:]):
        starts.append(np.where(viewed & (at <= first), at, 0).max(axis=1))
    ends = [*starts[1:], np.full(len(viewed), len(at))]
    return [(at >= start[:, None]) & (at <= end[:, None]) for start, end in zip(starts, ends, strict=True)]


@dataclass(frozen=True)
class _Measuring:
    """Measures tracked hands in a part of their frames."""

    clip: FrameSource
    tracks: HandTracks
    files: LandmarkerFiles
    options: RefineOptions
    regions: Regions  # [H, T]
    viewed: Bools  # [H, T] where views are drawn first
    few: Bools  # [H] hands with few of those
    classifier: OcclusionClassifier | None

    def __call__(self, wanted: Bools, threads: int, advance: Callable[[], None]) -> MeasuredHands:
        """Measure the hands in the wanted frames [H, T]; `advance` is called after each frame."""
        found, left = MeasuredHands.empty(wanted.shape), ~self.tracks.is_right
        before = [-1] * len(wanted)  # the last frame with views, by hand

        def look(network: LandmarkNetwork, frame: int, image: NDArray[np.uint8]) -> list[tuple[int, Sighting]]:
            def at(h: int) -> Sighting:
                region, views, wide = self.regions[h, frame], bool(self.viewed[h, frame]), bool(self.few[h])
                return measure_hand(
                    network, image, region, left[h], frame, self.options, views, self.classifier, wide
                )  # fmt: skip

            return [(int(h), at(h)) for h in np.flatnonzero(wanted[:, frame])]

        def view(h: int, network: LandmarkNetwork, frame: int, image: NDArray[np.uint8]) -> Floats:
            region, base_px = self.regions[h, frame], found.xy_px[h, frame]
            return confidence_of(network, image, region, left[h], frame, self.options, base_px)[0]

        between = _ViewsBetween(found, np.asarray(self.tracks.times_s), view)

        def follow_up(frame: int, hands: list[tuple[int, Sighting]]) -> list[FurtherWork]:
            asked: list[FurtherWork] = []
            for h, sighting in hands:
                found.keep(h, frame, sighting, self.options.presence)
                if self.viewed[h, frame]:
                    first, before[h] = before[h], frame
                    asked += between.ask(h, first, frame) if self.options.views and first >= 0 else []
            advance()
            return asked

        def make_network() -> LandmarkNetwork:
            return LandmarkNetwork(self.files.landmarks, with_features=True)

        reach = max((longest_gap(row) for row in self.viewed), default=0)
        over_frames_and_back(self.clip, wanted.any(axis=0), make_network, look, follow_up, reach, threads)
        return found


@dataclass(frozen=True)
class _ViewsBetween:
    """Views of frames between two that do not show the same: of their middle, then of all that still disagree."""

    found: MeasuredHands
    times_s: Floats  # [T]
    view: Callable[[int, LandmarkNetwork, int, NDArray[np.uint8]], Floats]  # hand, network, frame, image: alpha [21]

    def ask(self, h: int, a: int, b: int) -> list[FurtherWork]:
        """Return the work that a hand needs between two measured frames."""
        frames = halved(a, b, self.times_s, partial(self.found.differ, h))
        if len(frames) == 1 and not self.found.seen[h, frames[0]]:
            frames = list(range(a + 1, b))
        halves = len(frames) == 1
        return [
            FurtherWork(n, partial(self.view, h), partial(self._keep, h, a, n, b, halves))
            for n in frames
            if self.found.seen[h, n]
        ]

    def _keep(self, h: int, a: int, n: int, b: int, halves: bool, alpha: Floats) -> list[FurtherWork]:
        self.found.confidence[h, n], self.found.measured[h, n] = alpha, True
        return self.ask(h, a, n) + self.ask(h, n, b) if halves else []


def _as_tracks(tracks: HandTracks, found: MeasuredHands, world_m: Floats) -> KeypointTracks:
    """Return measured landmarks as tracks, with the sides, identities and votes from tracking."""
    return KeypointTracks(
        xy_px=found.xy_px,
        confidence=found.confidence,
        world_m=world_m,
        covered=found.covered,
        seen=found.seen,
        is_right=tracks.is_right,
        times_s=tracks.times_s,
        hand_id=tracks.hand_id,
        person_id=tracks.person_id,
        right_log_odds=tracks.right_log_odds,
        agreement=tracks.agreement,
        dropped=tracks.dropped,
        arm_right=tracks.arm_right,
    )


def measure_hand(
    network: LandmarkNetwork,
    image: NDArray[np.uint8],
    region: Regions,
    is_left: bool,
    frame: int,
    options: RefineOptions,
    viewed: bool = True,
    classifier: OcclusionClassifier | None = None,
    wide: bool = False,
) -> Sighting:
    """Measure one hand in its region and, where `viewed`, compute its landmarks' confidence from augmented views.

    `wide`: the presence over views is that of `wide_views`, which are looked at too.
    """
    base = network(image, region[None], mirrored=is_left)
    alpha, presence, median = np.zeros(21) if viewed else None, float(base.presence[0]), float("nan")
    if options.views and viewed:
        alpha, others = confidence_of(network, image, region, is_left, frame, options, base.xy_px[0])
        if wide:
            others = network(image, wide_views(region)[1:], is_left).presence.tolist()
        median = float(np.median([presence, *others]))
    covered = None if classifier is None or base.features is None else classifier(base.features[0])
    return Sighting(base.xy_px[0], base.world_m[0], presence, float(base.right[0]), alpha, median, covered)


def confidence_of(
    network: LandmarkNetwork,
    image: NDArray[np.uint8],
    region: Regions,
    is_left: bool,
    frame: int,
    options: RefineOptions,
    base_px: Floats,
) -> tuple[Floats, list[float]]:
    """Return the confidence [21] of a hand's landmarks [21, 2] by augmented views of its region, and their presence."""
    views = confidence.sample_views(options.views, options.seed, frame)
    turn = -views.angle if is_left else views.angle
    turned = region[None].turned(turn, views.scale)
    found, limits = np.full((options.views, 21, 2), np.nan), (options.gamma, options.gamma_px)
    presence = []
    for n in range(options.views):
        if confidence.is_zero_confidence(base_px, found[:n], options.views, *limits):
            break  # whatever the other views show, the answer is 0
        other = network(image, turned[n : n + 1], mirrored=is_left)
        presence.append(float(other.presence[0]))
        if other.presence[0] >= options.presence:
            found[n] = other.xy_px[0]
    return confidence.confidence(base_px, found, *limits), presence


# What the network's wrist is too far behind the knuckles, in lengths of the palm: 0.10, 0.20 and 0.21 are the means on
# desk, rig_near and stereo_fist (shared/inputs/truth), seen from the palm and from the back alike.
WRIST_TOO_DEEP = 0.13


def without_wrist_bias(world_m: Floats) -> Floats:
    """Return hand-centered points [..., 21, 3] (z away from the camera) with the wrist where real hands have it."""
    out = np.array(world_m)
    palm = np.linalg.norm(out[..., list(OPENPOSE_PALM[1:]), :] - out[..., [OPENPOSE_WRIST], :], axis=-1).mean(-1)
    out[..., OPENPOSE_WRIST, 2] -= WRIST_TOO_DEEP * palm
    return out


def to_camera_axes(world_m: Floats, regions: Regions, seen: Bools, camera: Camera) -> Floats:
    """Turn hand-centered points [H, T, 21, 3] from the viewing direction of their regions [H, T] to camera axes."""
    from hmpfit.geometry.cameras import rays, rotation_from_optical_axis

    turned = np.full(world_m.shape, np.nan)
    K = np.broadcast_to(camera.K, (seen.shape[1], 3, 3))
    rotation = rotation_from_optical_axis(rays(regions.center_px[seen], K[np.nonzero(seen)[1]], camera.distortion))
    turned[seen] = world_m[seen] @ np.swapaxes(rotation, -1, -2)
    return turned
