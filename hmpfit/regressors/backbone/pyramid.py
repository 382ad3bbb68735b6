"""The feature pyramid that turns a backbone's four levels into one map of 1/8 of the image's side.

Separate from the backbones because it fits on either. Its layout is HandOccNet's (the papers in docs/method.md):
1x1 laterals, bilinear top-down additions, one 3x3 smoothing, then pooling; the smoothing that HandOccNet computes and
never uses is left out.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class Pyramid(nn.Module):
    """Levels of `channels` in, one map of `width` channels at 1/8 of the image out.

    `from_quarter` walks down to 1/4 and pools (the paper's); without it the walk ends at 1/8, which costs a quarter.
    """

    def __init__(self, channels: tuple[int, ...], width: int, from_quarter: bool = True) -> None:
        super().__init__()
        used = channels if from_quarter else channels[1:]
        self.first = 0 if from_quarter else 1
        self.top = nn.Conv2d(used[-1], width, 1)
        self.laterals = nn.ModuleList(nn.Conv2d(count, width, 1) for count in used[-2::-1])
        self.smooth = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, levels: tuple[Tensor, ...]) -> Tensor:
        """Levels [B, C_i, h / 2**i, w / 2**i], finest first -> [B, width, H / 8, W / 8]."""
        used = levels[self.first :]
        x = self.top(used[-1])
        for lateral, level in zip(self.laterals, used[-2::-1]):
            here = lateral(level)
            x = here + F.interpolate(x, size=here.shape[-2:], mode="bilinear", align_corners=False)
        x = self.smooth(x)
        return F.avg_pool2d(x, 2) if self.first == 0 else x
