"""The initializers `ifvonet`, `stc` and `handdgcl`: a network's hands, placed in the camera and checked.

Separate from `from_network`, which places any network's hands; here the network is loaded and asked.
"""

import logging

import numpy as np

from hmpfit.errors import NoHandError
from hmpfit.initializers import from_network
from hmpfit.initializers.contradictions import replace_contradicted
from hmpfit.initializers.gaps import fill_gaps
from hmpfit.interfaces.context import RunContext
from hmpfit.interfaces.initializer import Initializer, InitialMotion
from hmpfit.recipes.settings import RunSettings
from hmpfit.records import DETECTED, KeypointTracks
from hmpfit.regressors.checkpoints import find
from hmpfit.regressors.learned import Learned

log = logging.getLogger("hmpfit")


def initialize(context: RunContext, tracks: KeypointTracks | None) -> InitialMotion:
    """Return the hands of the network that `--init` names. Raises NoHandError when it could place none."""
    assert tracks is not None
    settings, clip = context.settings, context.clip
    learned = Learned.load(settings.init, settings.checkpoint)
    advance = context.progress.phase(learned.name, clip.frames)
    estimates = learned.estimate(
        clip, tracks, context.camera, context.hidden, context.models, context.device, advance
    )  # fmt: skip
    motion, own = from_network.initialize(estimates, tracks, context.camera, context.models)
    motion = replace_contradicted(motion, tracks, context.camera, context.models, learned.name)
    placed = np.flatnonzero((motion.status == DETECTED).any(1))
    if not len(placed):
        raise NoHandError(f"--init {learned.name} could place no hand in the camera; use --init keypoints.")
    if len(placed) < len(motion.is_right):
        log.warning("--init %s could not place every hand; that hand is left out.", learned.name)
    motion = motion.select_hands(placed)
    return InitialMotion(fill_gaps(motion, motion.status == DETECTED, clip.times_s), own.select_hands(placed))


def _files(settings: RunSettings) -> dict[str, str | None]:
    return {"checkpoint": str(find(settings.init, settings.checkpoint))}


INITIALIZER = Initializer(initialize, files=_files)
