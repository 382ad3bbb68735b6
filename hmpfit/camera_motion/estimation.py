"""Estimate how a camera moved, from a clip and its hands: still, rotating or moving, then its path and scale.

The one place where the parts of this package meet; the pipeline calls the two functions here, the second once the hands
have a first place before the camera.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmpfit.camera_motion.classification import classify, refined_focal
from hmpfit.camera_motion.hand_masks import HandMasks
from hmpfit.camera_motion.metric_scale import WristPositions, hidden_bound, metric_scale
from hmpfit.camera_motion.odometry import LOST_SHARE, camera_map
from hmpfit.camera_motion.point_tracks import (
    WORKING_SIDE,
    Image,
    PointTracks,
    common_rows,
    track_points,
    working_images,
)
from hmpfit.camera_motion.pose_files import ClipTimes, read_camera_path
from hmpfit.camera_motion.stillness import is_still_camera, sampled_frames
from hmpfit.camera_motion.two_views import rotation_between
from hmpfit.geometry.cameras import rays
from hmpfit.geometry.rigid_transforms import rigid
from hmpfit.recipes.camera_modes import FILE, STATIC, check_camera_mode
from hmpfit.records import Camera, CameraMotion, Floats, KeypointTracks
from hmpfit.video.clip import Clip

ROTATION, MOVING, GIVEN = "rotation", "moving", "given"
UNSCALED, LOST, UNKNOWN = "moving, scale unobserved", "moving, path not found", "unknown, taken as static"

_LEAST_COSINE = 0.17  # of a ray's angle from the optical axis: a fisheye's plane has no bound
_CHAIN_POINTS = 60  # common points below which rotations are chained to a new reference frame

_LOG = logging.getLogger("hmpfit")


@dataclass(frozen=True)
class CameraPath:
    """The camera's path from the static scene, before its scale is known."""

    status: str
    reason: str
    map_from_camera: Floats  # [T, 4, 4], identity at the first frame unless a file has another
    points: Floats  # [P, 3] static points of the map, empty where there is none


def find_camera_path(
    clip: Clip,
    tracks: KeypointTracks,
    camera: Camera,
    mode: str,
    advance: Callable[[int], None] | None = None,
    samples: Iterable[tuple[int, Image, float]] | None = None,
) -> CameraPath:
    """Return how the camera of a clip moved; hands and forearms of `tracks` are left out of the static scene.

    `mode`: see `check_camera_mode`. `samples` are the `sampled_frames` as `working_images`, where they are known
    already. `advance(1)` is called once a frame when the clip is gone through. Raises
    InputError for an unknown mode and as `read_camera_path`.
    """
    check_camera_mode(mode)
    frames = clip.frames
    still = np.repeat(np.eye(4)[None], frames, axis=0)
    if mode.startswith(FILE):
        poses = read_camera_path(Path(mode.removeprefix(FILE)), ClipTimes(clip.times_s, clip.first_frame))
        return CameraPath(GIVEN, "from the file", poses, np.zeros((0, 3)))
    if mode == STATIC or frames < 3:
        return CameraPath(STATIC, "as said" if mode == STATIC else "too short to tell", still, np.zeros((0, 3)))
    masks = HandMasks.of(tracks)
    if mode == "auto":
        chosen = sampled_frames(clip.times_s)
        read = ((frame, image()) for frame, image in clip.chosen(chosen.tolist()))
        found = is_still_camera(working_images(read) if samples is None else samples, masks.outside, len(chosen))
        if found:
            return CameraPath(STATIC, "the background stays where it is", still, np.zeros((0, 3)))
        if found is None:
            return CameraPath(UNKNOWN, "the background is too plain to be followed", still, np.zeros((0, 3)))
    points = track_points(clip.images(), frames, masks.outside, advance)
    return path_from_points(points, camera, clip.times_s, mode)


def path_from_points(points: PointTracks, camera: Camera, times_s: Floats, mode: str = "auto") -> CameraPath:
    """Classify points followed through a clip and return the camera's path in units of the map."""
    still, none = np.repeat(np.eye(4)[None], points.frames, axis=0), np.zeros((0, 3))
    focal_px = float(camera.K[0, 0, 0]) * min(1.0, WORKING_SIDE / max(camera.width, camera.height))
    xy = normalized_tracks(points, camera)
    classification = classify(points, xy, times_s, focal_px)
    if mode == "auto" and classification.status in ("static", "unknown"):
        status = STATIC if classification.status == "static" else UNKNOWN
        return CameraPath(status, classification.reason, still, none)
    if mode == "auto" and camera.source in ("assumed", "estimated") and classification.status == MOVING:
        # A wrong focal length makes a rotation look like parallax.
        factor = refined_focal(points, xy, times_s, focal_px)
        again = classify(points, xy / factor, times_s, focal_px * factor)
        if again.status == ROTATION:
            return CameraPath(ROTATION, again.reason, _rotations(points, xy / factor, focal_px * factor), none)
    if mode == "auto" and classification.status == ROTATION:
        return CameraPath(ROTATION, classification.reason, _rotations(points, xy, focal_px), none)
    found = camera_map(points, xy, times_s, focal_px)
    if found is None or found.frames_lost > LOST_SHARE * points.frames:
        return CameraPath(LOST, "the static scene does not give the camera's path", still, none)
    lost = f"{found.frames_lost} frames without a pose, reprojection {found.reprojection_px:.2f} px"
    reason = f"{classification.reason}; {lost}"
    return CameraPath(MOVING, reason, found.map_from_camera, found.points)


def with_scale(
    path: CameraPath, tracks: KeypointTracks, wrist_m: Floats, camera: Camera, size_std: float, rescale: bool = False
) -> CameraMotion:
    """Return the camera's motion in meters, scaled by the hands where only the static scene was seen.

    `wrist_m` [H, T, 3] are the hands' first places before the camera, meters, NaN where not seen, `size_std` the
    relative deviation of their size. A file's path is taken as meters unless `rescale`. Where the scale cannot be
    observed the translations are NaN, and the status says so.
    """
    poses = path.map_from_camera
    if path.status in (STATIC, ROTATION, UNKNOWN) or (path.status == GIVEN and not rescale):
        return CameraMotion(poses, path.status, 0.0, path.reason)
    unknown = poses.copy()
    unknown[:, :3, 3] = np.nan
    if path.status == LOST:
        unknown[:, :3, :3] = np.nan
        return CameraMotion(unknown, LOST, np.inf, path.reason)
    # Scales are searched around the scene's median depth; a file's map has its own unit.
    unit = 1.0 if path.status == MOVING else max(float(np.linalg.norm(np.ptp(poses[:, :3, 3], axis=0))), 1e-9)
    poses = poses.copy()
    poses[:, :3, 3] /= unit
    bound = 0.0
    if len(path.points):
        seen_px = np.where(tracks.seen[..., None, None], tracks.xy_px, np.nan)
        bound = hidden_bound(seen_px, wrist_m[..., 2], camera.K[0], poses, path.points)
    scale = metric_scale(WristPositions(wrist_m, tracks.times_s), poses, bound, size_std)
    if not scale.observed:
        return CameraMotion(unknown, UNSCALED, scale.std, f"{path.reason}; scale unobserved: {scale.reason}", poses)
    metric = poses.copy()
    metric[:, :3, 3] *= scale.meters_per_unit
    return CameraMotion(metric, MOVING, scale.std, f"{path.reason}; scale {scale.reason}", poses)


def normalized_tracks(points: PointTracks, camera: Camera) -> NDArray[np.float64]:
    """Return the sightings [N, 2] on the plane at depth 1 of the camera, the lens undone."""
    K = camera.K[0] if len(camera.K) == 1 else camera.K[points.frame]
    ray = rays(points.xy_px, K, camera.distortion)
    return np.asarray(ray[..., :2] / np.maximum(ray[..., 2:], _LEAST_COSINE), dtype=np.float64)


def _rotations(points: PointTracks, xy: Floats, focal_px: float) -> NDArray[np.float64]:
    """Return world from camera [T, 4, 4] of a camera that only turns, from points seen in common with a reference."""
    reference, base, last = 0, np.eye(3), np.eye(3)
    out = [np.eye(3)]
    for frame in range(1, points.frames):
        here, there = common_rows(points, frame, reference)
        if len(here) < _CHAIN_POINTS and frame - 1 > reference:
            reference, base = frame - 1, last
            here, there = common_rows(points, frame, reference)
        if len(here) >= 8:
            last = base @ rotation_between(xy[here], xy[there], 2.0 / focal_px)
        out.append(last)
    return rigid(np.stack(out), np.zeros((points.frames, 3)))
