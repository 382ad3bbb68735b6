"""The initializers `ifvonet`, `stc` and `handdgcl`: a network's hands, placed in the camera and checked.

Separate from `from_network`, which places any network's hands; here the network is loaded and asked.
"""

import logging
from dataclasses import replace

import numpy as np

from hmpfit.errors import NoHandError
from hmpfit.initializers import from_keypoints, from_network
from hmpfit.initializers.consistency import without_rejected_frames
from hmpfit.initializers.contradictions import replace_contradicted
from hmpfit.initializers.fused_evidence import IN_BOXES, FusionOptions, describe_changes, fuse
from hmpfit.initializers.gaps import fill_gaps
from hmpfit.interfaces.context import RunContext
from hmpfit.interfaces.initializer import Initializer, InitialMotion
from hmpfit.interfaces.network import EstimateRequest
from hmpfit.keypoints.box_files import read_boxes
from hmpfit.recipes.settings import RunSettings
from hmpfit.records import DETECTED, Floats, HandEstimates, KeypointTracks
from hmpfit.regressors.checkpoints import find
from hmpfit.regressors.learned import Learned

log = logging.getLogger("hmpfit")


def initialize(context: RunContext, tracks: KeypointTracks | None) -> InitialMotion:
    """Return the hands of the network that `--init` names. Raises NoHandError when it could place none."""
    assert tracks is not None
    settings, clip = context.settings, context.clip
    learned = Learned.load(settings.init, settings.checkpoint)
    points_px = _points_in_boxes(learned, context, tracks)
    advance = context.progress.phase(learned.name, clip.frames)
    request = EstimateRequest(
        clip, tracks, context.camera, context.hidden, context.models, context.device, advance, points_px
    )
    estimates = learned.estimate(request)
    least_certain = from_network.LEAST_CERTAIN
    if estimates.expected_errors is not None:
        if settings.keypoints != "initializer":
            return _from_both(learned.name, estimates, tracks, context)
        tracks, least_certain = tracks.keep_frames(np.zeros_like(tracks.seen)), 0.0  # by its own joints alone
    motion, own = from_network.initialize(estimates, tracks, context.camera, context.models, least_certain)
    motion = replace_contradicted(motion, tracks, context.camera, context.models, learned.name)
    placed = np.flatnonzero((motion.status == DETECTED).any(1))
    if not len(placed):
        raise NoHandError(f"--init {learned.name} could place no hand in the camera; use --init keypoints.")
    if len(placed) < len(motion.is_right):
        log.warning("--init %s could not place every hand; that hand is left out.", learned.name)
    motion = motion.select_hands(placed)
    return InitialMotion(fill_gaps(motion, motion.status == DETECTED, clip.times_s), own.select_hands(placed))


def _points_in_boxes(learned: Learned, context: RunContext, tracks: KeypointTracks) -> Floats | None:
    """Return rough joints in the boxes of `--boxes`, whose rows are those of the tracks; None without boxes."""
    clip, settings = context.clip, context.settings
    if settings.boxes is None:
        return None
    boxes = read_boxes(settings.boxes, clip.frames, clip.width, clip.height, clip.first_frame)
    sides = tuple(bool(side) for side in tracks.is_right)
    advance = context.progress.phase(f"{learned.name} in boxes", clip.frames)
    return learned.locate(clip, replace(boxes, is_right=sides), context.hidden, advance).xy_px


def _from_both(name: str, estimates: HandEstimates, tracks: KeypointTracks, context: RunContext) -> InitialMotion:
    """Start from the detector's landmarks as the network judges them, which are the evidence of the fit too."""
    settings = context.settings
    options = FusionOptions() if settings.boxes is None else IN_BOXES
    fused = fuse(estimates, tracks, context.camera, context.models, options)
    log.info("--init %s: %s.", name, describe_changes(tracks, fused))
    kept = np.flatnonzero(fused.seen.any(1))
    if not len(kept):
        raise NoHandError(f"--init {name} could place no hand in the camera; use --init keypoints.")
    fused = fused.select_hands(kept)
    motion = from_keypoints.consistent_motion(context, fused)
    if settings.recipe.initializer.consistent:
        fused = without_rejected_frames(fused, motion, from_keypoints.LEAST_LANDMARKS)
    return InitialMotion(motion, evidence=fused)


def _files(settings: RunSettings) -> dict[str, str | None]:
    return {"checkpoint": str(find(settings.init, settings.checkpoint)), "boxes": settings.boxes}


INITIALIZER = Initializer(initialize, files=_files)
