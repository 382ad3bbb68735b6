"""A folder of rendered training clips in shards: made once, completed when it was cut off, read by `datasets.shards`.

Separate from `crops`, which draws clips and knows no disk.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

from hmpfit.datasets.shards import INDEX, Shards, write_index, write_shard
from hmpfit.errors import RunFolderError
from hmpfit.hands.model import HandModels
from hmpfit.synthesis.crops import CloseUpOptions, close_up_clips

PER_SHARD = 120  # clips


def crop_folder(
    folder: Path,
    models: HandModels,
    close: CloseUpOptions,
    count: int,
    seed: int,
    on_clip: Callable[[int], None] | None = None,
) -> Shards:
    """Render `count` clips into a folder and return them; what the folder holds already is kept.

    `on_clip(number)` is called with the number of newly finished clips. The same arguments give the same pixels on one
    renderer. Raises RunFolderError when the folder was made with other settings.
    """
    about: dict[str, Any] = {**asdict(close), "vocabulary": len(close.vocabulary.words), "seed": seed}
    about["hand"] = models.right.fingerprint
    if close.hands != "both":
        del about["contact"]
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / INDEX).is_file():
        before = Shards(folder).about
        different = [key for key, value in about.items() if before.get(key) != value]
        if different:
            key = different[0]
            raise RunFolderError(
                f"'{folder}' holds clips with {key} = {before.get(key)}, and {about[key]} was asked for; choose "
                "another folder."
            )
    shards = []
    for first in range(0, count, PER_SHARD):
        wanted = min(PER_SHARD, count - first)
        name = f"{first:06d}_{wanted}.npz"
        shards.append((name, wanted))
        if not (folder / name).is_file():
            write_shard(folder / name, list(islice(close_up_clips(models, replace(close), seed, first), wanted)))
            write_index(folder, shards, about)
        if on_clip is not None:
            on_clip(wanted)
    write_index(folder, shards, about)
    return Shards(folder)
