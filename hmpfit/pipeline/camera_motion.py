"""The step between first guess and fit: how the camera moved, and how long its path is in meters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.camera_motion.estimation import CameraPath, find_camera_path, with_scale
from hmpfit.camera_motion.palm_distance import SHARE, distance_ratio
from hmpfit.camera_motion.pose_files import ClipTimes, read_camera_path
from hmpfit.geometry.cameras import rays
from hmpfit.hands.mano import pose_hands
from hmpfit.interfaces.context import RunContext
from hmpfit.keypoints.projected import posed_landmarks
from hmpfit.pipeline.evidence import FitStart
from hmpfit.pipeline.input_fingerprints import clip_fingerprint, file_fingerprints, hand_model_fingerprints
from hmpfit.pipeline.size import hand_size
from hmpfit.pipeline.stage_files import StoreStage
from hmpfit.recipes import RunSettings
from hmpfit.recipes.camera_modes import FILE
from hmpfit.records import DETECTED, CameraMotion, HandMotion
from hmpfit.skeleton import OPENPOSE_PALM
from hmpfit.video.clip import Clip

_PALM = list(OPENPOSE_PALM)
_LEAST_COSINE = 0.17  # of a landmark's angle from the optical axis


def camera_files(context: RunContext) -> dict[str, str | None]:
    """Return the file that gives the camera's path, by option."""
    mode = context.settings.camera_motion
    return {"camera_motion": mode.removeprefix(FILE) if mode.startswith(FILE) else None}


def check_camera_file(clip: Clip, settings: RunSettings) -> None:
    """Read the file that gives the camera's path, so that a wrong one is refused before anything is computed.

    Raises InputError as `read_camera_path`.
    """
    if settings.camera_motion.startswith(FILE) and not clip.still:
        read_camera_path(Path(settings.camera_motion.removeprefix(FILE)), ClipTimes(clip.times_s, clip.first_frame))


def find_camera_motion(context: RunContext, stage: StoreStage, start: FitStart) -> CameraMotion:
    """Return the camera's path through the world, as a stage file; the first guess of the hands gives its scale."""
    path = _find_path(context, stage, start)
    size_std = hand_size(context, start.motion).relative_std
    depends_on = (
        *_path_depends_on(context, start), context.settings.camera_scale, size_std, start.motion,
        hand_model_fingerprints(context.models),
    )  # fmt: skip
    found: CameraMotion = stage(
        "camera_motion", CameraMotion, depends_on, lambda: _scaled(context, path, start, start.motion)
    )
    return found


def refine_scale(context: RunContext, stage: StoreStage, start: FitStart, fitted: HandMotion) -> CameraMotion | None:
    """Return the camera's path scaled by the fitted hands, so that they and the camera share one world.

    A path whose length needs no hands comes back as it is.
    """
    before = start.camera_motion
    if before is None or before.map_from_camera is None or context.settings.solver == "none":
        return before
    return _scaled(context, _find_path(context, stage, start), start, fitted)


def _find_path(context: RunContext, stage: StoreStage, start: FitStart) -> CameraPath:
    mode = "static" if context.clip.still else context.settings.camera_motion

    def compute() -> CameraPath:
        return find_camera_path(
            context.clip, start.evidence, context.camera, mode, _report_frames(context), context.scene.take_samples()
        )

    path: CameraPath = stage("camera_path", CameraPath, _path_depends_on(context, start), compute)
    return path


def _path_depends_on(context: RunContext, start: FitStart) -> tuple[Any, ...]:
    tracks = start.evidence
    return (
        clip_fingerprint(context), context.clip.first_frame, context.clip.times_s, context.camera,
        context.settings.camera_motion.partition(":")[0], file_fingerprints(camera_files(context)), tracks.xy_px,
        tracks.seen,
    )  # fmt: skip


def _scaled(context: RunContext, path: CameraPath, start: FitStart, motion: HandMotion) -> CameraMotion:
    seen = ((motion.status == DETECTED) & ~context.hidden)[..., None]
    center = np.where(seen, pose_hands(context.models, motion).joints[:, :, _PALM].mean(axis=2), np.nan)
    palm = np.where(seen[..., None], posed_landmarks(motion, context.models)[:, :, _PALM], np.nan)
    ray = rays(start.evidence.xy_px[:, :, _PALM], context.camera.K[:, None], context.camera.distortion)
    xy = np.where(ray[..., 2:] > _LEAST_COSINE, ray[..., :2] / ray[..., 2:], np.nan)
    nearer = np.array([distance_ratio(one, landmarks) ** SHARE for one, landmarks in zip(palm, xy)])
    size_std, rescale = hand_size(context, motion).relative_std, context.settings.camera_scale == "hands"
    return with_scale(path, start.evidence, nearer[:, None, None] * center, context.camera, size_std, rescale)


def _report_frames(context: RunContext) -> Callable[[int], None]:
    """Return a callback that advances a phase of all frames; it begins with the first, for still cameras have none."""
    advance: list[Callable[[int], None]] = []

    def on_frame(count: int) -> None:
        if not advance:
            advance.append(context.progress.phase("following the background", context.clip.frames))
        advance[0](count)

    return on_frame
