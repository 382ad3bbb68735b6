"""The network of `hand_detector`: a map of hand centers, and at each cell the box, side and direction of its hand.

Separate from the detector, which knows pictures, and from its training. In the manner of CenterNet (Zhou et al. 2019):
one heat map, a peak of which is a hand, and numbers read at the peak.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmpfit.keypoints.palm_features import COARSE_CHANNELS, FINE_CHANNELS

WIDTH = 64
# Channels of the output: logit of a center, offset from the cell's middle (x, y), log of the box's sides (cells), logit
# of a right hand, direction from the wrist to the middle knuckle (x, y).
HEAT, OFFSET, SIZE, RIGHT, DIRECTION = 0, slice(1, 3), slice(3, 5), 5, slice(6, 8)
CHANNELS = 8
_RARE = -3.0  # first logit of a center: few cells hold one


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.relu(self.norm(self.conv(x)))


class CenterNetwork(nn.Module):
    """Maps of the palm detector [B, 256, 24, 24] and [B, 256, 12, 12] -> [B, 8, 24, 24]."""

    fine_mean: Tensor
    fine_std: Tensor
    coarse_mean: Tensor
    coarse_std: Tensor

    def __init__(self, width: int = WIDTH, dropout: float = 0.1) -> None:
        super().__init__()
        for name, channels in (("fine", FINE_CHANNELS), ("coarse", COARSE_CHANNELS)):
            self.register_buffer(f"{name}_mean", torch.zeros(channels, 1, 1))
            self.register_buffer(f"{name}_std", torch.ones(channels, 1, 1))
        self.fine, self.coarse = nn.Conv2d(FINE_CHANNELS, width, 1), nn.Conv2d(COARSE_CHANNELS, width, 1)
        self.norm, self.dropout = nn.BatchNorm2d(width), nn.Dropout2d(dropout)
        self.around = nn.Sequential(*(_Residual(width) for _ in range(3)))
        self.near = nn.Sequential(*(_Residual(width) for _ in range(2)))
        self.out = nn.Conv2d(width, CHANNELS, 1)
        bias = torch.zeros(CHANNELS)
        bias[HEAT] = _RARE
        self.out.bias = nn.Parameter(bias)

    def set_statistics(self, fine: Tensor, coarse: Tensor) -> None:
        """Take mean and spread of the input's channels from a sample of maps."""
        for name, maps in (("fine", fine), ("coarse", coarse)):
            getattr(self, f"{name}_mean").copy_(maps.mean((0, 2, 3))[:, None, None])
            getattr(self, f"{name}_std").copy_(maps.std((0, 2, 3))[:, None, None] + 1e-2)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Return the eight channels at every cell."""
        a = self.fine(self.dropout((fine - self.fine_mean) / self.fine_std))
        b = self.coarse(self.dropout((coarse - self.coarse_mean) / self.coarse_std))
        x = F.relu(self.norm(a + F.interpolate(b, scale_factor=2.0, mode="nearest")))
        wide = self.around(F.avg_pool2d(x, 2))
        x = x + F.interpolate(wide, scale_factor=2.0, mode="bilinear", align_corners=False)
        out: Tensor = self.out(self.near(x))
        return out
