"""Variation-Occlusion Fusion: how much of each pixel comes from recovery, how much from variation (the paper's III-C).

The formula is that of PIDNet's pixel-attention module; its product is summed over channels into one possibility map.
"""

import torch
from torch import Tensor, nn

from hmpfit.regressors.ifvonet.switches import IfvonetSwitches


class Fusion(nn.Module):
    """p = sigma(f_gor(F_GOR) . f_pdv(F_PDV)), F_Hand = p F_GOR + (1 - p) f_1x1(F_PDV), and the rows of Table VII."""

    def __init__(self, switches: IfvonetSwitches) -> None:
        super().__init__()
        width, self.kind, self.by_channel = switches.width, switches.vof, switches.vof_channels
        maps = max(1, 2 * (switches.frames - 1))  # of the variation; of a single frame its own
        if self.kind == "off":
            return
        self.variation = nn.Conv2d(maps * width + (width if self.kind == "concat" else 0), width, 1)
        if self.kind == "dynamic":
            self.from_recovery = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width))
            self.from_variation = nn.Sequential(nn.Conv2d(maps * width, width, 1, bias=False), nn.BatchNorm2d(width))
            if not (switches.literal or self.by_channel):  # a sum of `width` products begins with a spread of 1
                for norm in (self.from_recovery[1], self.from_variation[1]):
                    assert isinstance(norm, nn.BatchNorm2d)
                    nn.init.constant_(norm.weight, width**-0.25)

    def forward(self, recovery: Tensor, variation: Tensor) -> Tensor:
        """F_GOR [B, width, s, s] and F_PDV [B, maps width, s, s] -> F_Hand [B, width, s, s]."""
        if self.kind == "off":
            return recovery
        if self.kind == "concat":
            out: Tensor = self.variation(torch.cat((recovery, variation), dim=1))
            return out
        other = self.variation(variation)
        if self.kind == "add":
            return recovery + other
        if self.kind == "multiply":
            return recovery * other
        p = self.possibility(recovery, variation)
        return p * recovery + (1 - p) * other

    def possibility(self, recovery: Tensor, variation: Tensor) -> Tensor:
        """Return p [B, 1, s, s], or one for each channel."""
        product = self.from_recovery(recovery) * self.from_variation(variation)
        return torch.sigmoid(product if self.by_channel else product.sum(1, keepdim=True))
