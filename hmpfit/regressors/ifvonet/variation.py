"""Pixel-Domain Variation: what changed between two frames, by symmetric cross-pixel attention (the paper's III-A)."""

import math

import torch
from torch import Tensor, nn

from hmpfit.regressors.ifvonet.attention import (
    NormalizedSigmoid,
    PointMlp,
    Positions,
    by_rows,
    to_heads,
    to_map,
    to_tokens,
)
from hmpfit.regressors.ifvonet.switches import IfvonetSwitches


class PixelVariation(nn.Module):
    """F_a->b = sigma(Q_a K_b^T / sqrt d) V_b and F'_b = f_p(F_a->b), both ways with the same weights."""

    def __init__(self, switches: IfvonetSwitches) -> None:
        super().__init__()
        width, self.heads, self.side = switches.width, switches.heads, switches.side
        self.residual = switches.pdv_residual
        self.positions = Positions(width, self.side)
        self.query, self.key, self.value = (nn.Conv2d(width, width, 1) for _ in range(3))
        self.sigmoid = NormalizedSigmoid(self.side**2, switches.literal)
        self.mlp = PointMlp(width)
        self.scale = 1 / math.sqrt(width // self.heads)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Features of two frames [B, width, side, side] -> F'_a, F'_b of the same shape. Swapping swaps the two."""
        first, second = self._towards(torch.cat((b, a)), torch.cat((a, b))).chunk(2)
        return first, second

    def _towards(self, asking: Tensor, asked: Tensor) -> Tensor:
        q = to_heads(self.query(asking + self.positions.query), self.heads)
        k = to_heads(self.key(asked + self.positions.key), self.heads)
        v = to_heads(self.value(asked), self.heads)

        def weigh(rows: Tensor) -> Tensor:
            weights: Tensor = self.sigmoid(self.scale * rows @ k.transpose(-1, -2))
            return weights

        tokens = self.mlp(to_tokens(by_rows(weigh, v, q)))
        return to_map(tokens + to_tokens(v) if self.residual else tokens, self.side)
