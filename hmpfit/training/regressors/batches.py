"""Batches of clips, each a function of its number alone, so that a resumed training sees the same ones.

Separate from the loop so that what is drawn can be tested without Lightning.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from hmpfit.regressors.samples import NOTHING, Augmentation, ClipSource, HandClip, View, sample_crop


class ClipMixture:
    """Several sources as one, clip after clip; `rows` picks some of them."""

    def __init__(self, sources: Sequence[ClipSource], rows: Sequence[tuple[int, int]] | None = None) -> None:
        self.sources = sources
        self.rows = rows or [(s, i) for s, source in enumerate(sources) for i in range(len(source))]
        self.name = " + ".join(source.name for source in sources)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> HandClip:
        source, clip = self.rows[index]
        return self.sources[source][clip]

    def training(self, view: View, augmentation: Augmentation, batch: int, steps: int, seed: int) -> "TrainingBatches":
        """Return batches to learn from."""
        return TrainingBatches(self, view, augmentation, batch, steps, seed)

    def held_out(self, view: View, batch: int) -> "HeldOutBatches":
        """Return the clips in batches, undisturbed."""
        return HeldOutBatches(self, view, batch)

    def split(self, held_share: float, most: int) -> "tuple[ClipMixture, ClipMixture]":
        """Return all but the last clips of every source, and up to `most` of those last ones, evenly picked.

        Neighboring clips show nearly the same, so that what is held out is one stretch at the end of each source.
        """
        kept: list[tuple[int, int]] = []
        held: list[tuple[int, int]] = []
        for number, source in enumerate(self.sources):
            count = len(source)
            cut = count - max(1, round(count * held_share)) if count > 1 else count
            kept += [(number, i) for i in range(cut)]
            held += [(number, i) for i in range(cut, count)]
        held = held or kept
        picked = np.unique(np.linspace(0, len(held) - 1, min(most, len(held))).round().astype(int))
        return ClipMixture(self.sources, kept), ClipMixture(self.sources, [held[i] for i in picked])


def stack(clips: Sequence[dict[str, np.ndarray]]) -> dict[str, Tensor]:
    """Return samples as one batch."""
    return {name: torch.from_numpy(np.stack([clip[name] for clip in clips])) for name in clips[0]}


class TrainingBatches(IterableDataset[dict[str, Tensor]]):
    """Batches `first`..`steps` of shuffled epochs; processes and workers share them out without overlap."""

    def __init__(
        self, clips: ClipMixture, view: View, augmentation: Augmentation, batch: int, steps: int, seed: int
    ) -> None:
        self.clips, self.view, self.augmentation = clips, view, augmentation
        self.batch, self.steps, self.seed, self.first = batch, steps, seed, 0
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, dtype=int))

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        worker = get_worker_info()
        stride, start = (1, 0) if worker is None else (worker.num_workers, worker.id)
        for step in range(self.first + start, self.steps, stride):
            yield self.at(step)

    def at(self, step: int) -> dict[str, Tensor]:
        """Return the batch of a step, for this process of a training on several devices."""
        rank, world = _place()
        wanted = np.arange(self.batch) + self.batch * (step * world + rank)
        return stack([self._sample(int(number)) for number in wanted])

    def _sample(self, number: int) -> dict[str, np.ndarray]:
        epoch, place = divmod(number, len(self.clips))
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng((self.seed, epoch)).permutation(len(self.clips)))
        clip = int(self._order[1][place])
        generator = np.random.default_rng((self.seed, epoch, place, 1))
        return sample_crop(self.clips[clip], self.view, self.augmentation, generator)


class HeldOutBatches(torch.utils.data.Dataset[dict[str, Tensor]]):
    """The held-out clips in batches, undisturbed."""

    def __init__(self, clips: ClipMixture, view: View, batch: int) -> None:
        self.clips, self.view, self.batch = clips, view, batch

    def __len__(self) -> int:
        return -(-len(self.clips) // self.batch)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        rows = range(index * self.batch, min((index + 1) * self.batch, len(self.clips)))
        return stack([sample_crop(self.clips[row], self.view, NOTHING, np.random.default_rng(0)) for row in rows])


def _place() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
