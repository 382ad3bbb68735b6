"""The third step: the 2D evidence of the fit, row for row the hands of the initial motion, most detected first."""

from dataclasses import dataclass

import numpy as np

from hmpfit.initializers.consistency import without_rejected_frames
from hmpfit.initializers.from_keypoints import LEAST_LANDMARKS
from hmpfit.initializers.unconfirmed_poses import without_unconfirmed_poses
from hmpfit.interfaces.context import RunContext
from hmpfit.interfaces.initializer import InitialMotion
from hmpfit.interfaces.keypoint_source import SourceInputs
from hmpfit.keypoints.followed import Followed, follow_gaps, with_followed
from hmpfit.keypoints.occlusion import drop_covered, weigh_covered
from hmpfit.keypoints.projected import match_tracks
from hmpfit.pipeline.detect import Detected, load_source, source_name, source_tracks
from hmpfit.pipeline.input_fingerprints import clip_fingerprint
from hmpfit.pipeline.stage_files import StoreStage
from hmpfit.records import DETECTED, CameraMotion, HandMotion, KeypointTracks
from hmpfit.results.trust import status_of_trust, trusted_frames


@dataclass(frozen=True)
class FitStart:
    """What the fit starts from: a filled motion and the evidence, hands most detected first."""

    motion: HandMotion
    evidence: KeypointTracks
    confirmed: KeypointTracks  # the evidence without landmarks and frames that something covers
    detected: Detected
    camera_motion: CameraMotion | None = None  # how the camera moves, found once the hands have a first place


def gather_evidence(context: RunContext, stage: StoreStage, detected: Detected, initial: InitialMotion) -> FitStart:
    """Get the evidence of a run's keypoint source and sort the hands."""
    name, motion = source_name(context), initial.motion
    source = load_source(name)
    inputs = SourceInputs(
        detected.detector if "detector" in source.requires else None, initial if "initial" in source.requires else None
    )
    found = detected.source
    if found is None:
        found = source_tracks(context, stage, name, inputs)
    evidence = found if "initial" in source.requires else match_tracks(found, motion, context)
    if context.settings.init == "keypoints" and context.settings.recipe.initializer.consistent:
        evidence = without_rejected_frames(evidence, motion, LEAST_LANDMARKS)
    confirmed, keypoints = evidence, context.settings.recipe.keypoints
    if keypoints.weigh_covered:
        evidence, confirmed = (act(evidence, keypoints.covered) for act in (weigh_covered, drop_covered))
        if not context.settings.init.startswith("file:"):
            motion, evidence = without_unconfirmed_poses(motion, evidence, keypoints.covered.least_confidence)
    detected_frames = status_of_trust(motion.status, trusted_frames(confirmed)) == DETECTED
    order = np.argsort(-detected_frames.sum(1), kind="stable")
    evidence, confirmed = (tracks.select_hands(order) for tracks in (evidence, confirmed))
    evidence = _follow_through_gaps(context, stage, evidence)
    return FitStart(motion.select_hands(order), evidence, confirmed, detected)


def _follow_through_gaps(context: RunContext, stage: StoreStage, evidence: KeypointTracks) -> KeypointTracks:
    """Return the evidence with landmarks that optical flow followed through its gaps, where the recipe wants them."""
    most = context.settings.recipe.keypoints.followed
    if not most:
        return evidence
    depends_on = (evidence.xy_px, evidence.seen, evidence.weight, evidence.times_s, clip_fingerprint(context))

    def compute() -> Followed:
        return follow_gaps(context.clip, evidence, context.progress)

    followed: Followed = stage("followed", Followed, depends_on, compute)
    return with_followed(evidence, followed, most)
