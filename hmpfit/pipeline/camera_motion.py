"""Between first guess and fit: how the camera moved, and how long its path is in meters."""

from collections.abc import Callable

import numpy as np

from hmpfit.camera_motion.estimation import CameraPath, find_camera_path, with_scale
from hmpfit.hands.mano import pose_hands
from hmpfit.interfaces.context import RunContext
from hmpfit.pipeline.evidence import FitStart
from hmpfit.pipeline.inputs import clip_print, file_prints, hand_prints
from hmpfit.pipeline.size import hand_size
from hmpfit.pipeline.stage_files import StoreStage
from hmpfit.recipes.camera_modes import FILE
from hmpfit.records import DETECTED, CameraMotion
from hmpfit.skeleton import OPENPOSE_PALM


def camera_files(context: RunContext) -> dict[str, str | None]:
    """Return the file that gives the camera's path, by option."""
    mode = context.settings.camera_motion
    return {"camera_motion": mode.removeprefix(FILE) if mode.startswith(FILE) else None}


def find_camera_motion(context: RunContext, stage: StoreStage, start: FitStart) -> CameraMotion:
    """Return the camera's path through the world, as a stage file; the first guess of the hands gives its scale."""
    settings, tracks = context.settings, start.evidence
    mode = settings.camera_motion
    depends_on = (
        clip_print(context), context.clip.first_frame, context.clip.times_s, context.camera, mode.partition(":")[0],
        file_prints(camera_files(context)), tracks.xy_px, tracks.seen,
    )  # fmt: skip

    def compute() -> CameraPath:
        if context.clip.still:
            return find_camera_path(context.clip, tracks, context.camera, "static")
        return find_camera_path(context.clip, tracks, context.camera, mode, _report_frames(context))

    path: CameraPath = stage("camera_path", CameraPath, depends_on, compute)

    size_std = hand_size(context, start.motion).relative_std

    def scaled() -> CameraMotion:
        palm = pose_hands(context.models, start.motion).joints[:, :, list(OPENPOSE_PALM)].mean(axis=2)
        seen = (start.motion.status == DETECTED) & ~context.hidden
        palm = np.where(seen[..., None], palm, np.nan)
        return with_scale(path, tracks, palm, context.camera, size_std, settings.camera_scale == "hands")

    scale_depends_on = (*depends_on, settings.camera_scale, size_std, start.motion, hand_prints(context.models))
    found: CameraMotion = stage("camera_motion", CameraMotion, scale_depends_on, scaled)
    return found


def _report_frames(context: RunContext) -> Callable[[int], None]:
    """Return a callback that advances a phase of all frames; it begins with the first, for still cameras have none."""
    advance: list[Callable[[int], None]] = []

    def on_frame(count: int) -> None:
        if not advance:
            advance.append(context.progress.phase("following the background", context.clip.frames))
        advance[0](count)

    return on_frame
