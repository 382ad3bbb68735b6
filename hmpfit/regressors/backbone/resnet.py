"""ResNet-50 with torchvision's state-dict names, so that its ImageNet weight files load; torchvision is not needed.

Separate from the light backbone, which no weight file exists for. Source of the structure: He et al. 2016, figure 5
right and table 1; the stride of a block lies in its 3x3 convolution, as in torchvision.
"""

from torch import Tensor, nn

LAYERS = (3, 4, 6, 3)
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut; `slope` is that of the rectifiers below zero."""

    def __init__(self, inputs: int, width: int, stride: int, slope: float) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = rectifier(slope)
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, inputs, h, w] -> [B, 4 width, h / stride, w / stride]."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    """The four levels of features of an image; without the classifier.

    `in_channels` 6 takes two stacked images. `slope` 0 is ResNet's ReLU; HandOccNet replaces it by 0.01.
    """

    channels = tuple(width * EXPANSION for width in WIDTHS)
    pretrained = True  # weight files exist

    def __init__(self, in_channels: int = 3, slope: float = 0.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = rectifier(slope)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        inputs = 64
        for number, (blocks, width) in enumerate(zip(LAYERS, WIDTHS), start=1):
            stack = []
            for block in range(blocks):
                stack.append(Bottleneck(inputs, width, 2 if block == 0 and number > 1 else 1, slope))
                inputs = width * EXPANSION
            self.add_module(f"layer{number}", nn.Sequential(*stack))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return features with 256, 512, 1024, 2048 channels at 1/4, 1/8, 1/16, 1/32 of images [B, C, h, w]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        levels = []
        for number in range(1, len(LAYERS) + 1):
            x = getattr(self, f"layer{number}")(x)
            levels.append(x)
        return levels[0], levels[1], levels[2], levels[3]


def rectifier(slope: float) -> nn.Module:
    """Return a ReLU, leaky where a slope is given."""
    return nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)
