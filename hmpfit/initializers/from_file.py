"""The initializer `file:PATH`: a first guess from a file of ours or of another system.

The kind is recognized by what the file holds, never by its name; the readers lie in `foreign/`.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.errors import InputError, NoHandError
from hmpfit.files.opening import explained
from hmpfit.files.schemas import ANGLE_MOST, BETA_MOST, METERS, PIXELS, Fields
from hmpfit.hands.model import HandModels
from hmpfit.initializers.foreign import amass_style, dyn_hamr, hamer, metro, pymaf_x
from hmpfit.initializers.foreign.contents import read_contents
from hmpfit.initializers.foreign.foreign_motion import ForeignMotion, into_camera
from hmpfit.initializers.gaps import fill_gaps
from hmpfit.interfaces.context import RunContext, argument_of
from hmpfit.interfaces.initializer import Initializer, InitialMotion
from hmpfit.records import DETECTED, Camera, Floats, HandMotion, KeypointTracks
from hmpfit.results.npz import motion_fields

log = logging.getLogger("hmpfit")

_OWN_FIELDS = ("global_orient", "hand_pose", "transl", "betas", "is_right", "status")
_KNOWN = "hmpfit's result.npz, PyMAF-X, METRO, HaMeR, WiLoR, Dyn-HaMR and AMASS-style files"


def initialize(
    path: Path,
    times_s: Floats,
    camera: Camera,
    models: HandModels,
    tracks: KeypointTracks | None = None,
    first_frame: int = 0,
) -> HandMotion:
    """Read a first guess for a clip's frames at `times_s` [T], whose first frame is `first_frame` of its video.

    The result is in the clip's camera, meters; frames that a foreign file does not know are filled from those it does.
    `tracks` place the hands of systems that give no position. Raises InputError when the file cannot be read, is of no
    known kind, or has too few frames.
    """
    contents = read_contents(path)
    own = [name for name in _OWN_FIELDS if name in contents]
    if len(own) == len(_OWN_FIELDS):
        return _own(contents, path, len(times_s))
    if len(own) > 3:
        missing = sorted(set(_OWN_FIELDS) - set(own))
        raise InputError(f"'{path}' lacks {', '.join(missing)}; an hmpfit result has {_fields()}.")
    with explained(path, "a result file that can be understood"):
        foreign = _foreign(contents, path, times_s, camera, models)
    _check(foreign, path)
    log.info("'%s' is a %s file: %d hands, %d frames.", path, foreign.system, *foreign.seen.shape)
    foreign = foreign.part(first_frame, len(times_s))
    if not foreign.seen.any():
        raise InputError(f"'{path}' ({foreign.system}) knows no hand in the clip's frames.")
    with_hands = foreign.seen.any(axis=1)
    with explained(path, "a motion in front of a camera"):
        motion = into_camera(foreign, camera, models, tracks)
    known = with_hands & (motion.status == DETECTED).any(axis=1)
    if not known.any():
        raise InputError(f"No hand of '{path}' ({foreign.system}) could be placed in the clip.")
    motion = motion.select_hands(np.flatnonzero(known))
    return fill_gaps(motion, motion.status == DETECTED, times_s)


def _foreign(
    contents: dict[str, Any], path: Path, times_s: Floats, camera: Camera, models: HandModels
) -> ForeignMotion:
    if dyn_hamr.recognize(contents):
        return dyn_hamr.read(contents, camera, models)
    if pymaf_x.recognize(contents):
        return pymaf_x.read(contents, camera)
    if hamer.recognize(contents):
        return hamer.read(contents, camera)
    if amass_style.recognize(contents):
        return amass_style.read(contents, times_s)
    if metro.recognize(contents):
        return metro.read(contents, models)
    held = ", ".join(sorted(str(key) for key in contents)[:12])
    raise InputError(f"'{path}' is of no known kind (it holds {held or 'nothing'}); --init file: reads {_KNOWN}.")


def _own(contents: dict[str, Any], path: Path, frames: int) -> HandMotion:
    motion = motion_fields(Fields(contents, path, "a result of hmpfit"))
    if motion.transl.shape[1] != frames:
        raise InputError(f"'{path}' holds {motion.transl.shape[1]} frames, and the clip has {frames}.")
    return motion


def _check(foreign: ForeignMotion, path: Path) -> None:
    """Refuse a motion with numbers that no hand has."""
    stored = Fields(vars(foreign), path, f"a {foreign.system} file of plausible numbers")
    seen = foreign.seen
    for key, most in (
        ("global_orient", ANGLE_MOST),
        ("hand_pose", ANGLE_MOST),
        ("betas", BETA_MOST),
        ("transl", METERS),
    ):
        values = getattr(foreign, key)
        if values is not None and values[seen].size and not (np.abs(values[seen]) <= most).all():
            raise stored.wrong(key, f"holds numbers that are not finite or beyond {most:g}")
    if foreign.K is not None:
        stored.array("K", (None, 3, 3), low=-PIXELS, high=PIXELS)


def _fields() -> str:
    return ", ".join(_OWN_FIELDS)


def _initialize(context: RunContext, tracks: KeypointTracks | None) -> InitialMotion:
    path, clip, settings = Path(argument_of(context.settings.init)), context.clip, context.settings
    motion = initialize(path, clip.times_s, context.camera, context.models, tracks, clip.first_frame)
    sides = {"left": [False], "right": [True]}.get(settings.hands, [True, False])
    kept = np.flatnonzero(np.isin(motion.is_right, sides))[: settings.max_hands]
    if not len(kept):
        raise NoHandError(f"'{path}' holds no {settings.hands} hand; choose another with --hands.")
    return InitialMotion(motion.select_hands(kept))


INITIALIZER = Initializer(_initialize, requires="nothing", files=lambda settings: {"init": argument_of(settings.init)})
