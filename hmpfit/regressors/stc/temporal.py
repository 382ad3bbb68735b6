"""The temporal encoder: attention between both hands' frames, then to the whole picture, narrower by layer.

Separate from the network because it never sees a picture. Source: Zhao et al. 2023, section 3.1, equations 2 and 3;
heads, norms and positions are ours (docs/papers.md).
"""

import math

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention whose inner width need not be that of its tokens."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        inner = heads * head_width
        self.heads, self.scale = heads, head_width**-0.5
        self.query, self.key, self.value = (nn.Linear(width, inner) for _ in range(3))
        self.out = nn.Linear(inner, width)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        """Attend from tokens [B, N, C] to context [B, M, C]; return [B, N, C]."""
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, tokens), (self.key, context), (self.value, context))
        )
        share = (query @ key.mT * self.scale).softmax(-1)
        return self.out((share @ value).transpose(1, 2).flatten(2))


class TemporalBlock(nn.Module):
    """MHSA over both hands' tokens, MHCA of each hand with the global features, and a narrowing feed-forward."""

    def __init__(self, width: int, narrower: int, heads: int, head_width: int, dropout: float) -> None:
        super().__init__()
        # Pooled features vary little around a large mean; at unit size they hold their own beside the positions.
        self.hands_norm, self.whole_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.side = nn.Parameter(torch.randn(2, width) * 0.02)  # attention alone cannot tell right from left
        self.between = Attention(width, heads, head_width)
        self.between_norm = nn.LayerNorm(width)
        self.context = nn.ModuleList([Attention(width, heads, head_width) for _ in range(2)])
        self.context_norm = nn.ModuleList([nn.LayerNorm(width) for _ in range(2)])
        self.feed_forward = nn.Sequential(rectified(width, width), nn.ReLU(), rectified(width, narrower))
        self.dropout = nn.Dropout(dropout)

    def forward(self, hands: Tensor, whole: Tensor) -> Tensor:
        """Turn hands [B, 2, T, C] and the picture's features [B, T, C] into hands [B, 2, T, C']."""
        frames = hands.shape[2]
        positions = sinusoids(frames, hands.shape[-1]).to(hands)
        tokens = (self.hands_norm(hands) + self.side[:, None] + positions).flatten(1, 2)
        tokens = self.between_norm(tokens + self.dropout(self.between(tokens, tokens)))
        whole = self.whole_norm(whole) + positions
        sides = []
        for hand, attend, norm in zip(tokens.unflatten(1, (2, frames)).unbind(1), self.context, self.context_norm):
            sides.append(norm(hand + self.dropout(attend(hand, whole))))
        out: Tensor = self.feed_forward(torch.stack(sides, dim=1))
        return out


def rectified(into: int, out: int) -> nn.Linear:
    """Return a linear layer that keeps the size of what varies through a rectifier (He et al. 2015)."""
    layer = nn.Linear(into, out)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def sinusoids(frames: int, width: int) -> Tensor:
    """Return position codes [frames, width]: sines and cosines of wavelengths 2 pi to 2 pi 10^4 (Vaswani et al.)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(1e4) / width))
    angles = torch.arange(frames)[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, :width]
