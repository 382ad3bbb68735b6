"""Read the 42 points of both hands off the backbone's maps: ours, for `--size small`.

Separate from the networks, which share it. Points are learned from far fewer pictures than turns and bends, and both
follow from them more easily than from pooled features. The papers have no such part; `--size paper` leaves it out.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

JOINTS = 21
CODES = 3 * 2 * JOINTS  # numbers a hand that `codes` gives


class PointReader(nn.Module):
    """The last three levels of a backbone, laid on the finest of them, to one map a point and its center of mass."""

    def __init__(self, channels: Sequence[int], hidden: int = 64) -> None:
        super().__init__()
        self.gather = nn.ModuleList([nn.Conv2d(width, hidden, 1) for width in channels[-3:]])
        self.mix = nn.Sequential(nn.BatchNorm2d(hidden), nn.ReLU(), nn.Conv2d(hidden, hidden, 3, padding=1, bias=False),
                                 nn.BatchNorm2d(hidden), nn.ReLU(), nn.Conv2d(hidden, 2 * JOINTS, 1))  # fmt: skip

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return points [N, 2, 21, 2] (right, left; 0..1 inside the picture) of levels, finest first."""
        finest = levels[-3]
        gathered = [layer(level) for layer, level in zip(self.gather, levels[-3:])]
        size = finest.shape[-2:]
        laid = [gathered[0]] + [nn.functional.interpolate(one, size, mode="bilinear") for one in gathered[1:]]
        maps: Tensor = self.mix(torch.stack(laid).sum(0))
        share = maps.flatten(2).softmax(-1).unflatten(-1, size)
        rows, columns = ((torch.arange(n, device=maps.device, dtype=maps.dtype) + 0.5) / n for n in size)
        xy = torch.stack((share.sum(-2) @ columns, share.sum(-1) @ rows), dim=-1)
        return xy.unflatten(1, (2, JOINTS))


def codes(points: Tensor) -> Tensor:
    """Return numbers [N, 2, CODES] about unit size: each hand's points, the other's, and its own at their own size."""
    placed = 4 * (points - 0.5)
    own = points - points.mean(-2, keepdim=True)
    sized = own / own.square().mean((-1, -2), keepdim=True).add(1e-6).sqrt()
    return torch.cat((placed, placed.flip(1), sized), dim=-2).flatten(-2)


def point_loss(points: Tensor, xy: Tensor, valid: Tensor) -> Tensor:
    """Return the mean absolute error of points [..., 2, 21, 2] in 0..1 over the hands that are `valid` [..., 2]."""
    apart = (points - xy).abs().mean((-1, -2))
    return (apart * valid).sum() / valid.sum().clamp_min(1)
