"""Open a dataset, given as `KIND:PATH` and a split, with the reader of its kind.

Separate from the readers so that naming a dataset imports none of the others.
"""

import contextlib
import re
from pathlib import Path

from hmpfit import registry
from hmpfit.errors import HmpfitError, InputError, UnknownNameError
from hmpfit.files.opening import explained
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.dataset import Dataset, Reader, Sequence
from hmpfit.worker_pool import worker_pool


def open_dataset(kind_and_path: str, split: str | None = None, models: HandModels | None = None) -> Dataset:
    """Open "KIND:PATH", such as "ho3d:/data/HO3D_v3"; without a split the reader's first one is taken.

    `models` is the user's MANO: with it the truth has meshes and a motion where the dataset stores parameters.
    Raises UnknownNameError for another kind or split and InputError, saying what was expected and what was found, for a
    folder of another kind.
    """
    kind, colon, folder = kind_and_path.partition(":")
    if not colon or not folder:
        raise InputError(f"'{kind_and_path}' is not KIND:PATH; kinds: {', '.join(registry.names('datasets'))}.")
    reader: Reader = registry.load("datasets", kind)
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise InputError(f"There is no folder '{path}'; {kind} expects {reader.expected}.")
    return _open(reader, kind, path, split, models)


def sequence_at(folder: Path) -> Sequence | None:
    """Return the sequence of a dataset whose frames lie in a folder, or None when it belongs to no known dataset.

    The folder may be the sequence's own ("HO3D_v3/train/ABF10") or that of its images ("HO3D_v3/train/ABF10/rgb").
    Raises InputError when several sequences lie below it, listing the first.
    """
    folder = folder.resolve()
    for root in folder.parents:
        for kind in registry.names("datasets"):
            reader: Reader = registry.load("datasets", kind)
            if reader.subfolders or not reader.recognizes(root):
                continue
            found = [one for split in reader.splits for one in _below(reader, kind, root, split, folder)]
            names = sorted({one.name for one in found})
            if len(names) > 1:
                raise InputError(
                    f"'{folder}' holds {len(names)} sequences of {kind}, such as '{names[0]}'; give the "
                    f"folder of one, or the whole dataset with hmpfit batch --dataset {kind}:{root}."
                )
            if found:
                return found[0]
    return None


def prefetch(kind_and_path: str, split: str | None, workers: int) -> None:
    """Read the annotations of every sequence on several processes, so that later reads come from the cache."""
    count = len(open_dataset(kind_and_path, split).sequences)
    if workers == 1:
        _open_here(kind_and_path, split)
        for index in range(count):
            _read_truth(index)
        return
    with worker_pool(workers, _open_here, (kind_and_path, split)) as pool:
        for _ in pool.map(_read_truth, range(count), chunksize=max(1, count // (8 * workers))):
            pass


_here: Dataset | None = None  # the dataset of a worker process


def _open_here(kind_and_path: str, split: str | None) -> None:
    global _here
    _here = open_dataset(kind_and_path, split)


def _read_truth(index: int) -> None:
    assert _here is not None
    with contextlib.suppress(HmpfitError):  # raised when the sequence is used
        _here.sequences[index].read_truth()


def _open(reader: Reader, kind: str, path: Path, split: str | None, models: HandModels | None) -> Dataset:
    if reader.subfolders and split is not None:
        wanted: str | None = split
    else:
        wanted = reader.splits[0] if split is None else _split(reader, split)
    if wanted is None:
        raise UnknownNameError(f"split of {kind}", str(split), reader.splits)
    with explained(path, f"a readable dataset of the kind {kind}"):
        dataset = reader.open(path, wanted, models)
    if not dataset.sequences:
        reason = (
            f"; the first that is broken: '{dataset.broken[0][0]}', {dataset.broken[0][1]}" if dataset.broken else ""
        )
        raise InputError(f"'{path}' has no {dataset.split} sequence; {kind} expects {reader.expected}{reason}.")
    return dataset


def _split(reader: Reader, said: str) -> str | None:
    """Return the split that is meant: "s0/test" is s0_test, "train" the first with that part, "test" an evaluation."""
    wanted = re.sub(r"[-/ ]+", "_", said.strip("/"))
    if wanted in reader.splits:
        return wanted
    word = {"training": "train", "evaluation": "test"}.get(wanted, wanted)
    alike = {word, {"train": "training", "test": "evaluation"}.get(word, word)}
    return next((split for split in reader.splits if alike & set(split.split("_"))), None)


def _below(reader: Reader, kind: str, root: Path, split: str, folder: Path) -> list[Sequence]:
    try:
        dataset = _open(reader, kind, root, split, None)
    except HmpfitError:
        return []
    return [
        one for one in dataset.sequences
        if len(one.images) and (folder == (home := one.images[0].parent) or folder in home.parents)
    ]  # fmt: skip
