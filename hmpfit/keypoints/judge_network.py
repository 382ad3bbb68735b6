"""The network of `hand_judge`: a crop's vector, landmarks and answers -> logits of a hand and of a right one.

Separate from the judge so that torch is imported only where it is asked.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmpfit.keypoints.network_taps import POOLED

INPUTS = POOLED + 2 * 21 + 2
WIDTH = 256


class JudgeNetwork(nn.Module):
    """Inputs of `hand_judge.judge_inputs` [B, 1196] -> logits [B, 2]."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int = WIDTH, dropout: float = 0.6) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(INPUTS))
        self.register_buffer("std", torch.ones(INPUTS))
        self.first, self.second, self.out = nn.Linear(INPUTS, width), nn.Linear(width, width), nn.Linear(width, 2)
        self.before, self.dropout = nn.Dropout(0.5), nn.Dropout(dropout)

    def set_statistics(self, inputs: Tensor) -> None:
        """Take mean and spread of the inputs from a sample [N, 1196]."""
        self.mean.copy_(inputs.mean(0))
        self.std.copy_(inputs.std(0) + 1e-2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return both logits of each crop."""
        x = self.before(((inputs - self.mean) / self.std).clamp(-6, 6))
        x = self.dropout(F.relu(self.first(x)))
        out: Tensor = self.out(self.dropout(F.relu(self.second(x))))
        return out
