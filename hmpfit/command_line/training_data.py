"""What `hmpfit train --data KIND:PATH` means: a source of clips each, opened before anything is trained.

Separate from the command because this is where datasets and synthesis meet; the regressors know neither.
"""

from collections.abc import Sequence
from pathlib import Path

from hmpfit.command_line.progress import TerminalProgress
from hmpfit.datasets.cache import cache_home
from hmpfit.errors import InputError
from hmpfit.hands.model import HandModels
from hmpfit.regressors.samples import ClipSource, View

CACHE = cache_home() / "rendered"
GENERATED = "generated"
_MARGIN_PIXELS = 1.25  # stored pictures are larger than crops, which turn and shift inside them


def open_sources(
    data: Sequence[str],
    view: View,
    models: HandModels,
    hand_model: str,
    cache: Path,
    seed: int,
    progress: TerminalProgress,
) -> list[ClipSource]:
    """Open every KIND:PATH. `generated:N` renders N clips into the cache, unless they are there.

    Raises InputError for text of another form, and what the readers raise.
    """
    return [_open(text, view, models, hand_model, cache, seed, progress) for text in data]


def _open(
    text: str, view: View, models: HandModels, hand_model: str, cache: Path, seed: int, progress: TerminalProgress
) -> ClipSource:
    kind, colon, place = text.partition(":")
    if not colon or not place:
        raise InputError(f"--data {text} is not KIND:PATH, such as ho3d:/data/HO3D_v3, or generated:20000.")
    if kind == GENERATED:
        return _generated(place, view, models, cache, seed, progress)
    from hmpfit.datasets.shards import INDEX, Shards

    if kind == "synthetic" and (Path(place) / INDEX).is_file():
        shards = Shards(Path(place))
        if view.hands == 2 and len(shards[0].is_right) == 1:
            from hmpfit.regressors.two_hands.pasted import PastedPairs

            return PastedPairs(shards, seed)
        return shards
    from hmpfit.datasets.hand_clips import open_hand_clips

    return open_hand_clips(text, view, models)


def _generated(
    count: str, view: View, models: HandModels, cache: Path, seed: int, progress: TerminalProgress
) -> ClipSource:
    from hmpfit.synthesis.crop_folder import crop_folder
    from hmpfit.synthesis.crops import Close

    if not count.isdecimal() or int(count) < 2:
        raise InputError(f"--data {GENERATED}:{count} is not a number of clips, such as {GENERATED}:20000.")
    close = Close(
        size=int(view.size * _MARGIN_PIXELS), frames=view.frames, hands="right" if view.hands == 1 else "both"
    )
    folder = cache / f"{close.hands}_{close.frames}x{close.size}_{models.right.fingerprint[:8]}_{seed}"
    advance = progress.phase("rendering clips", int(count))
    return crop_folder(folder, models, close, int(count), seed, advance)
