"""A camera that nobody knows: its focal length comes from the hands, between detection and first guess."""

from dataclasses import replace

from hmpfit.errors import InputError
from hmpfit.geometry.intrinsics import ESTIMATE
from hmpfit.initializers.focal_length import FocalEstimate, estimate_focal, with_focal
from hmpfit.interfaces.context import RunContext
from hmpfit.pipeline.detect import detect
from hmpfit.pipeline.input_fingerprints import hand_model_fingerprints
from hmpfit.pipeline.stage_files import StoreStage


def estimates_focal(context: RunContext) -> bool:
    """Tell whether neither the user nor the file nor the recipe says the focal length."""
    told = context.settings.recipe.camera.focal_px > 0
    asked = context.settings.intrinsics in (None, ESTIMATE)
    return asked and context.camera.source == "assumed" and not told


def with_estimated_camera(context: RunContext, stage: StoreStage) -> RunContext:
    """Return the context with a camera of the estimated focal length, where nothing tells it.

    Keypoints without 3D landmarks keep the assumed one. Raises InputError when they were asked for an estimate.
    """
    if not estimates_focal(context):
        return context
    tracks = detect(context, stage).start
    if tracks is None or tracks.world_m is None:
        if context.settings.intrinsics is None:
            return context
        raise InputError("--intrinsics estimate needs 3D landmarks, which these keypoints lack; use --keypoints blend.")
    depends_on = (tracks, context.camera, hand_model_fingerprints(context.models))
    found: FocalEstimate = stage(
        "focal_length", FocalEstimate, depends_on, lambda: estimate_focal(tracks, context.camera, context.models)
    )
    camera = with_focal(context.camera, found.focal_px)
    camera = replace(camera, source="estimated", focal_log_std=found.log_std)
    return replace(context, camera=camera, detector_camera=context.camera)
