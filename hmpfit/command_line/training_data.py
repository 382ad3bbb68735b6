"""Sources of `hmpfit train --data KIND:PATH`, opened before anything is trained.

Separate from the command because this is where datasets and synthesis meet; the regressors know neither.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hmpfit.command_line.progress import TerminalProgress
from hmpfit.datasets.cache import cache_home
from hmpfit.errors import InputError
from hmpfit.hands.model import HandModels
from hmpfit.regressors.samples import ClipSource, View

if TYPE_CHECKING:
    from hmpfit.training.regressors.batches import ClipMixture
    from hmpfit.training.regressors.feature_set import FeatureSet

CACHE = cache_home() / "rendered"
GENERATED, RUNS = "generated", "runs"
HELD_OUT_SHARE, HELD_OUT_MOST = 0.05, 512
ROUNDS, DONORS = 4, 24  # draws of each clip of real video; pictures a source lends to cover others with
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
    sources: list[ClipSource] = []
    for text in data:
        kind, _, place = text.partition(":")
        if kind == RUNS and place:
            from hmpfit.datasets.run_clips import open_runs

            if not view.region:
                raise InputError("--data runs:DIR is for networks with the landmark network as backbone (size small).")
            sources += open_runs(Path(place), cache, on_run=progress.phase("cutting crops of fitted clips", 1))
        else:
            sources.append(_open(text, view, models, hand_model, cache, seed, progress))
    return sources


def split_sources(
    sources: Sequence[ClipSource], hold_out: Sequence[str], view: View, models: HandModels, cache: Path, seed: int,
    progress: TerminalProgress,
) -> "tuple[ClipMixture | FeatureSet, ClipMixture | FeatureSet]":  # fmt: skip
    """Return what to learn from and what to score on.

    Fitted clips are held out whole: those whose names begin with one of `hold_out`, else the last one. Of other sources
    the last 5 % are. With the frozen landmark network, crops become features in the cache first. Raises InputError when
    a name to hold out does not exist or nothing is left.
    """
    from hmpfit.training.regressors.batches import ClipMixture

    if not view.region:
        if hold_out:
            raise InputError("--hold-out names fitted clips (--data runs:DIR); here the last 5 % are held out.")
        return ClipMixture(sources).split(HELD_OUT_SHARE, HELD_OUT_MOST)
    from hmpfit.training.regressors.feature_set import split_features
    from hmpfit.training.regressors.features import CropSampling, feature_folder

    donors = [source[i] for source in sources for i in range(0, len(source), max(1, len(source) // DONORS))]
    folders = []
    for source in sources:
        real = source.name.startswith(f"{RUNS}:")
        sampling = CropSampling(rounds=ROUNDS if real else 1, seed=seed, view=view)
        advance = progress.phase(f"features of {source.name}", sampling.rounds * len(source))
        folders.append(feature_folder(source, donors, models, cache / "features", sampling, advance))
    return split_features(folders, [source.name.removeprefix(f"{RUNS}:") for source in sources], hold_out)


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
    from hmpfit.synthesis.crops import CloseUpOptions

    if not count.isdecimal() or int(count) < 2:
        raise InputError(f"--data {GENERATED}:{count} is not a number of clips, such as {GENERATED}:20000.")
    close = CloseUpOptions(
        size=int(view.size * _MARGIN_PIXELS), frames=view.frames, hands="right" if view.hands == 1 else "both"
    )
    folder = cache / f"{close.hands}_{close.frames}x{close.size}_{models.right.fingerprint[:8]}_{seed}"
    advance = progress.phase("rendering clips", int(count))
    return crop_folder(folder, models, close, int(count), seed, advance)
