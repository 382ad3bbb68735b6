"""The second step: a first guess of the motion in every frame, as if the withheld frames had not been seen."""

from dataclasses import replace

from hmpfit.initializers.gaps import fill_gaps
from hmpfit.interfaces.context import RunContext
from hmpfit.interfaces.initializer import InitialMotion
from hmpfit.pipeline.detect import Detected, load_initializer
from hmpfit.pipeline.input_fingerprints import clip_fingerprint, file_fingerprints, hand_model_fingerprints
from hmpfit.pipeline.size import with_known_size
from hmpfit.pipeline.stage_files import StoreStage
from hmpfit.records import DETECTED, Bools, Floats, HandMotion


def initialize(context: RunContext, stage: StoreStage, detected: Detected) -> InitialMotion:
    """Return the initializer's motion with every frame filled."""
    settings, initializer, tracks = context.settings, load_initializer(context), detected.start
    depends_on = (
        settings.init.partition(":")[0], file_fingerprints(initializer.files(settings)), clip_fingerprint(context),
        context.clip.first_frame, context.clip.times_s, context.hidden, tracks, settings.hands, settings.max_hands,
        context.camera, hand_model_fingerprints(context.models), settings.recipe.initializer,
    )  # fmt: skip
    initial: InitialMotion = stage(
        "initial", InitialMotion, depends_on, lambda: initializer.initialize(context, tracks)
    )
    motion = with_known_size(context, initial.motion)
    return replace(initial, motion=_without_hidden(motion, context.hidden, context.clip.times_s))


def _without_hidden(motion: HandMotion, hidden: Bools, times_s: Floats) -> HandMotion:
    """Withhold frames from a motion that came from a file: fill them as if the initializer had not seen them."""
    seen = (motion.status == DETECTED) & ~hidden
    if (seen == (motion.status == DETECTED)).all() or not seen.any(1).all():
        return motion
    return fill_gaps(motion, seen, times_s)
