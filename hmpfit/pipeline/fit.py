"""The fourth step: the fit, as a stage file, and the result record around it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import hmpfit
from hmpfit.fitting.deviation import calibrate
from hmpfit.fitting.stages import Fitted, fit
from hmpfit.geometry.intrinsics import focal_log_std
from hmpfit.hands.mano import pose_hands
from hmpfit.interfaces.context import RunContext
from hmpfit.pipeline.camera_motion import refine_scale
from hmpfit.pipeline.evidence import FitStart
from hmpfit.pipeline.input_fingerprints import clip_fingerprint, hand_model_fingerprints
from hmpfit.pipeline.size import hand_size
from hmpfit.pipeline.stage_files import StoreStage
from hmpfit.priors.opening import Prior
from hmpfit.recipes.checking import table_of
from hmpfit.records import FitRecord
from hmpfit.results.jitter import mesh_center_px
from hmpfit.results.trust import status_of_trust, trusted_frames


def fit_clip(
    context: RunContext, stage: StoreStage, start: FitStart, prior: Prior | None, video_name: str
) -> FitRecord:
    """Fit the clip of a run; `video_name` is what the result calls the video."""
    settings, recipe = context.settings, context.settings.fit_recipe
    on_step = _report_steps(context, sum(stage.steps * (2 if stage.coarse else 1) for stage in recipe.stages))

    def compute() -> Fitted:
        return fit(
            start.motion, start.evidence, context.camera, context.models, prior, recipe, settings.solver,
            context.device, on_step, start.camera_motion,
        )  # fmt: skip

    fitted = store_fit(context, stage, start, prior, compute)
    status = status_of_trust(fitted.motion.status, trusted_frames(start.confirmed))
    motion = replace(fitted.motion, status=status)
    joints = pose_hands(context.models, motion).joints
    size = hand_size(context, fitted.motion)
    deviation = calibrate(
        fitted.linear_std_mm,
        joints,
        start.confirmed,
        focal_log_std(context.camera),
        size.relative_std,
    )
    return FitRecord(
        motion=motion,
        joints=joints,
        mesh_center_px=mesh_center_px(context.models, motion, context.camera),
        joint_std_mm=deviation.camera_mm,
        joint_std_wrist_mm=deviation.wrist_mm,
        hand_size=size,
        landmarks_px=fitted.landmarks_px,
        camera=context.camera,
        tracks=start.confirmed,
        reports=fitted.reports,
        windows=fitted.windows,
        recipe=table_of(recipe),
        provenance=_provenance(context, prior, video_name),
        camera_motion=refine_scale(context, stage, start, fitted.motion),
    )


def store_fit(
    context: RunContext, stage: StoreStage, start: FitStart, prior: Prior | None, compute: Callable[[], Fitted]
) -> Fitted:
    """Return the stored fit of a run, or `compute` and store it."""
    settings, found = context.settings, start.camera_motion
    moves = found.world_from_camera if found is not None and found.moves else None
    depends_on = (
        start.motion, start.evidence, context.camera, hand_model_fingerprints(context.models), prior_name(prior),
        settings.fit_recipe, settings.solver, moves,
    )  # fmt: skip
    fitted: Fitted = stage("fit", Fitted, depends_on, compute)
    return fitted


def prior_name(prior: Prior | None) -> str:
    """Return the name of a prior with the fingerprint of its weights."""
    return "none" if prior is None else f"{prior.name} {prior.fingerprint}".strip()


def _provenance(context: RunContext, prior: Prior | None, video_name: str) -> dict[str, Any]:
    settings, clip = context.settings, context.clip
    return {
        "video": video_name,
        "still": clip.still,
        "mirrored": clip.mirrored,
        "first_frame": clip.first_frame,
        "hand_model": context.models.right.name,
        "prior": prior_name(prior),
        "initializer": settings.init,
        "keypoints": settings.keypoints,
        "solver": settings.solver,
        "seed": settings.seed,
        "version": hmpfit.__version__,
        "fingerprints": {"clip": clip_fingerprint(context), "hand_model": hand_model_fingerprints(context.models)},
    }


def _report_steps(context: RunContext, total: int) -> Callable[[int, int], None]:
    """Return a callback that advances a phase of all stages' steps; the phase begins with the first step."""
    advance: list[Callable[[int], None]] = []

    def on_step(done: int, of: int) -> None:
        if not advance:
            advance.append(context.progress.phase("fitting", total))
        advance[0](1)

    return on_step
