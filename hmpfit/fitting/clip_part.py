"""One of two parts of a clip whose fits go on in lockstep, and how they learn of each other.

Separate from `solvers.two_parts`, which cuts the clip, so that problems and their linear algebra can ask for sums.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class ClipPart:
    """The first or the last part of a clip; `exchange` gives the other one arrays and returns what that one gave.

    Both parts have the last frame of the first one, its window and the shape; the first part counts them.
    """

    is_last: bool
    exchange: Callable[[Arrays], Arrays]

    def total(self, *own: Tensor) -> tuple[Tensor, ...]:
        """Return the sums over both parts, the same to the bit in both. Both ask for all sums in the same order."""
        others = self.exchange([part.numpy() for part in own])
        return tuple(mine + torch.from_numpy(other) for mine, other in zip(own, others, strict=True))
