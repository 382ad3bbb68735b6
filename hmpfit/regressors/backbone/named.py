"""The backbone of a two-hand network by name, behind ImageNet's normalization.

Separate from the backbones, which take pictures as they come.
"""

import torch
from torch import Tensor, nn

from hmpfit.errors import InputError
from hmpfit.regressors.backbone.light import LightBackbone
from hmpfit.regressors.backbone.resnet import ResNet50

BACKBONES = ("resnet50", "light")
# Of ImageNet's pictures in 0..1, RGB, as torchvision's weights expect.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class NormalizedBackbone(nn.Module):
    """Pictures in 0..1 -> the backbone's four levels of features, finest first."""

    mean: Tensor
    std: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        check_backbone(name)
        self.backbone: ResNet50 | LightBackbone = ResNet50() if name == "resnet50" else LightBackbone()
        self.channels = self.backbone.channels
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the levels of pictures [N, 3, S, S]."""
        pictures = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)  # an eighth faster
        levels: tuple[Tensor, ...] = self.backbone(pictures)
        return levels


def check_backbone(name: str) -> None:
    """Raise InputError for a backbone that does not exist, listing those that do."""
    if name not in BACKBONES:
        raise InputError(f"Switch backbone = '{name}' does not exist; known: {', '.join(BACKBONES)}.")
