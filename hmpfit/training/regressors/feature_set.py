"""Features in memory as what the training loop takes: shuffled batches, and held-out ones that are whole clips.

Separate from `features`, which computes them once, and from `batches`, which cuts pictures for every batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from hmpfit.errors import InputError
from hmpfit.regressors.samples import Augmentation, View
from hmpfit.training.regressors.features import read_features

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class FeatureSet:
    """All samples of some sources."""

    name: str
    arrays: Batch

    def __len__(self) -> int:
        return len(self.arrays["maps"])

    def training(self, view: View, augmentation: Augmentation, batch: int, steps: int, seed: int) -> "FeatureBatches":
        """Return batches to learn from; the crops were drawn when the features were made."""
        return FeatureBatches(self.arrays, batch, steps, seed)

    def held_out(self, view: View, batch: int) -> "HeldOutFeatures":
        """Return all samples in batches, in order."""
        return HeldOutFeatures(self.arrays, batch)


class FeatureBatches(IterableDataset[Batch]):
    """Batches `first`..`steps` of shuffled epochs, each a function of its number alone."""

    def __init__(self, arrays: Batch, batch: int, steps: int, seed: int) -> None:
        self.arrays, self.batch, self.steps, self.seed, self.first = arrays, batch, steps, seed, 0

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self.first, self.steps):
            yield self.at(step)

    def at(self, step: int) -> Batch:
        """Return the batch of a step."""
        rows = torch.arange(step * self.batch, (step + 1) * self.batch)
        count = len(self.arrays["maps"])
        chosen = torch.empty_like(rows)
        for epoch in torch.unique(rows // count).tolist():
            order = torch.randperm(count, generator=torch.Generator().manual_seed(self.seed * 1_000_003 + epoch))
            here = rows // count == epoch
            chosen[here] = order[rows[here] % count]
        return {name: values[chosen] for name, values in self.arrays.items()}


class HeldOutFeatures(Dataset[Batch]):
    """All samples in batches."""

    def __init__(self, arrays: Batch, batch: int) -> None:
        self.arrays, self.batch = arrays, batch

    def __len__(self) -> int:
        return -(-len(self.arrays["maps"]) // self.batch)

    def __getitem__(self, index: int) -> Batch:
        part = slice(index * self.batch, (index + 1) * self.batch)
        return {name: values[part] for name, values in self.arrays.items()}


def split_features(
    folders: Sequence[Path], names: Sequence[str], hold_out: Sequence[str]
) -> tuple[FeatureSet, FeatureSet]:
    """Return the features to learn from and those to score on, whole sources each.

    Sources whose names begin with one of `hold_out` are held out; without any the last. Raises InputError when a name
    does not exist or nothing is left to learn from.
    """
    for name in hold_out:
        if not any(source.startswith(name) for source in names):
            raise InputError(f"--hold-out {name}: there is no such clip; there are {', '.join(names)}.")
    held = [name.startswith(tuple(hold_out)) if hold_out else name == names[-1] for name in names]
    if all(held):
        raise InputError("Every clip is held out; give more --data, or hold out fewer.")

    def of(side: bool) -> FeatureSet:
        chosen = [n for n, out in enumerate(held) if out is side]
        return FeatureSet(" + ".join(names[n] for n in chosen), read_features([folders[n] for n in chosen]))

    return of(False), of(True)
