"""A backbone for `--size small`: the same four levels as ResNet-50 at a thirtieth of the work, trained from nothing.

Separate from `resnet.py`, whose layout weight files prescribe. 42 million multiplications for an image of 128 x 128,
against 1,300 million of ResNet-50.
"""

from torch import Tensor, nn

from hmpfit.regressors.backbone.resnet import rectifier


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, slope: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = rectifier(slope)
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, inputs, h, w] -> [B, outputs, h / stride, w / stride]."""
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class LightBackbone(nn.Module):
    """Four levels of features at 1/4, 1/8, 1/16 and 1/32 of an image; `blocks` is their number in each level."""

    pretrained = False  # no weight files exist

    def __init__(
        self,
        in_channels: int = 3,
        channels: tuple[int, int, int, int] = (16, 48, 80, 128),
        blocks: tuple[int, int, int] = (2, 2, 2),
        slope: float = 0.01,
    ) -> None:
        super().__init__()
        self.channels = channels
        half = channels[0] // 2
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, half, 3, 2, padding=1, bias=False), nn.BatchNorm2d(half), rectifier(slope),
            nn.Conv2d(half, channels[0], 3, 2, padding=1, bias=False), nn.BatchNorm2d(channels[0]), rectifier(slope),
        )  # fmt: skip
        levels, inputs = [], channels[0]
        for outputs, count in zip(channels[1:], blocks, strict=True):
            stack = []
            for block in range(count):
                stack.append(Block(inputs, outputs, 2 if block == 0 else 1, slope))
                inputs = outputs
            levels.append(nn.Sequential(*stack))
        self.levels = nn.ModuleList(levels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the four levels of features of images [B, C, h, w], finest first."""
        levels = [self.stem(image)]
        for level in self.levels:
            levels.append(level(levels[-1]))
        return levels[0], levels[1], levels[2], levels[3]
