"""The initialiser `file:PATH`: the motion stored in an hmpfit `result.npz` (other systems' files: issue 8)."""

from pathlib import Path

import numpy as np

from hmpfit.errors import InputError
from hmpfit.records import Floats, HandMotion


def initialize(path: Path, times_s: Floats) -> HandMotion:
    """Read a first guess for frames at `times_s` [T] from an hmpfit npz of as many frames.

    Raises InputError when the file cannot be read, is another kind, or has another number of frames.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in HandMotion.__dataclass_fields__}
    except KeyError as error:
        raise InputError(
            f"'{path}' lacks {error}; --init file: reads an npz with the keys "
            f"{', '.join(HandMotion.__dataclass_fields__)}, such as hmpfit's result.npz."
        ) from error
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"'{path}' is not a readable npz ({error}); --init file: reads hmpfit's result.npz."
        ) from error
    motion = HandMotion(**arrays)
    if motion.transl.ndim != 3 or motion.transl.shape[1] != len(times_s):
        raise InputError(f"'{path}' holds {motion.transl.shape[1:2]} frames, and the clip has {len(times_s)}.")
    return motion
