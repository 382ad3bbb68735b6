"""Parts of the two attention modules: heads, positions, the tamed sigmoid, and attention by rows to save memory.

Maps are [B, heads, N, N] over the N pixels of a feature map, queries first.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

ROWS = 256  # queries whose attention is held at a time
MLP_RATIO = 4  # HandOccNet's


class Positions(nn.Module):
    """Learned positions [1, width, side, side] that queries and keys get before their 1x1 convolutions."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, width, side, side) * 0.02)
        self.key = nn.Parameter(torch.randn(1, width, side, side) * 0.02)


class PointMlp(nn.Module):
    """LayerNorm and two linear layers for every pixel by itself: [B, N, width] -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(nn.Linear(width, MLP_RATIO * width), nn.GELU(), nn.Linear(MLP_RATIO * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, width] -> [B, N, width]."""
        out: Tensor = self.layers(self.norm(x))
        return out


class NormalizedSigmoid(nn.Module):
    """sigma(logits + b): b starts at -ln N, so that a row of N pixels sums to about 1 at first; `literal` drops it."""

    def __init__(self, pixels: int, literal: bool) -> None:
        super().__init__()
        self.bias = None if literal else nn.Parameter(torch.tensor(-math.log(pixels)))

    def forward(self, logits: Tensor) -> Tensor:
        """Any shape -> the same."""
        return torch.sigmoid(logits if self.bias is None else logits + self.bias)


def to_heads(x: Tensor, heads: int) -> Tensor:
    """[B, width, h, w] -> [B, heads, h w, width / heads]."""
    return x.flatten(2).unflatten(1, (heads, -1)).transpose(-1, -2)


def to_tokens(x: Tensor) -> Tensor:
    """[B, heads, N, d] -> [B, N, heads d]."""
    return x.transpose(1, 2).flatten(2)


def to_map(tokens: Tensor, side: int) -> Tensor:
    """[B, N, width] -> [B, width, side, side]."""
    return tokens.transpose(1, 2).unflatten(2, (side, -1))


def by_rows(weigh: Callable[..., Tensor], value: Tensor, *queries: Tensor) -> Tensor:
    """Return weigh(*queries) @ value without ever holding the whole map.

    `weigh` turns queries [B, heads, n, d] into weights [B, heads, n, N], row by row: no row may need another. In
    training the rows' weights are computed again on the way back instead of being kept.
    """
    parts = []
    for rows in zip(*(query.split(ROWS, dim=2) for query in queries)):
        if torch.is_grad_enabled() and value.shape[2] > ROWS:
            parts.append(checkpoint(_weighted, weigh, value, *rows, use_reentrant=False))
        else:
            parts.append(_weighted(weigh, value, *rows))
    return torch.cat(parts, dim=2)


def _weighted(weigh: Callable[..., Tensor], value: Tensor, *rows: Tensor) -> Tensor:
    return weigh(*rows) @ value


def start_tiny(module: nn.Module) -> None:
    """Draw weights as HandOccNet does: convolutions N(0, 0.001), linear layers N(0, 0.01), zero biases."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.normal_(part.weight, std=0.001 if isinstance(part, nn.Conv2d) else 0.01)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
