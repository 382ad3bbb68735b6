"""IFVONet whole: three branches of one or two backbones, variation, recovery, fusion, head (the paper's Figure 2)."""

from dataclasses import fields

import torch
from torch import Tensor, nn

from hmpfit.regressors.backbone.light import LightBackbone
from hmpfit.regressors.backbone.pyramid import Pyramid
from hmpfit.regressors.backbone.resnet import ResNet50
from hmpfit.regressors.ifvonet.attention import start_tiny
from hmpfit.regressors.ifvonet.fusion import Fusion
from hmpfit.regressors.ifvonet.head import HandHead, HeadOutput
from hmpfit.regressors.ifvonet.recovery import OcclusionRecovery
from hmpfit.regressors.ifvonet.switches import IfvonetSwitches
from hmpfit.regressors.ifvonet.variation import PixelVariation

SLOPE = 0.01  # HandOccNet's rectifiers


class SpatialGate(nn.Module):
    """Split features into what belongs to the hand and what hides it, by one mask of the pixels (CBAM's)."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1, momentum=0.01))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, h, w] -> primary (hand) and secondary (occlusion), which sum to x."""
        mask = torch.sigmoid(self.mask(torch.stack((x.amax(1), x.mean(1)), dim=1)))
        return x * mask, x * (1 - mask)


class ImageFeatures(nn.Module):
    """A backbone and its pyramid."""

    def __init__(self, switches: IfvonetSwitches, in_channels: int) -> None:
        super().__init__()
        full = switches.backbone == "resnet50"
        self.backbone = (ResNet50 if full else LightBackbone)(in_channels=in_channels, slope=SLOPE)
        self.pyramid = Pyramid(self.backbone.channels, switches.width, from_quarter=full)

    def forward(self, image: Tensor) -> Tensor:
        """[B, C, S, S] -> [B, width, S / 8, S / 8]."""
        out: Tensor = self.pyramid(self.backbone(image))
        return out


class IFVONet(nn.Module):
    """Crops of consecutive frames of a right hand -> the hand in the last of them, and in the one before if asked."""

    def __init__(self, switches: IfvonetSwitches) -> None:
        super().__init__()
        self.switches = switches
        frames = switches.frames
        self.eyes = ImageFeatures(switches, 3)
        if switches.two_backbones:
            self.eyes_for_all = ImageFeatures(switches, 3 * frames)
        else:
            self.stem = nn.Conv2d(3 * frames, 3, 1)
        self.frame_gate, self.gate = SpatialGate(), SpatialGate()
        if switches.pdv != "off":
            self.variation = PixelVariation(switches)
        self.recovery = OcclusionRecovery(switches)
        self.fusion = Fusion(switches)
        self.head = HandHead(switches)
        if switches.tiny_start:
            for part in (*((self.variation,) if switches.pdv != "off" else ()), self.recovery, self.fusion):
                start_tiny(part)
            for layer in (self.head.pose, self.head.shape):
                start_tiny(layer)
            self.head.start_straight()

    def forward(self, image: Tensor, both: bool = False) -> tuple[HeadOutput, ...]:
        """image [B, frames, 3, S, S] in 0..1, oldest first -> the hand in the last frame.

        `both` adds the hand in the frame before: PDV is symmetric, so the same features in the other order give it.
        """
        batch, frames = image.shape[:2]
        seen, _ = self.frame_gate(self.eyes(image.flatten(0, 1)))
        each = list(seen.unflatten(0, (batch, frames)).unbind(1))
        stacked = image.flatten(1, 2)
        together = self.eyes_for_all(stacked) if self.switches.two_backbones else self.eyes(self.stem(stacked))
        hand, occlusion = self.gate(together)
        recovered = self.recovery(occlusion, hand)
        pairs: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        wanted: list[Tensor] = []
        for frame in (frames - 1, frames - 2)[: 2 if both else 1]:
            parts: list[Tensor] = []
            for other in (o for o in range(frames - 1, -1, -1) if o != frame):
                low, high = sorted((frame, other))
                if (low, high) not in pairs:
                    pairs[low, high] = self._varied(each[low], each[high])
                maps = pairs[low, high]
                parts += maps[::-1] if frame == high else maps
            wanted.append(torch.cat(parts, dim=1))
        count = len(wanted)  # one pass of the head for all: half the calls
        whole = self.head(self.fusion(recovered.repeat(count, 1, 1, 1), torch.cat(wanted)))
        split = [getattr(whole, one.name).chunk(count) for one in fields(whole)]
        return tuple(HeadOutput(*parts) for parts in zip(*split))

    def _varied(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        if self.switches.pdv == "off":
            return a, b
        maps: tuple[Tensor, Tensor] = self.variation(a, b)
        return maps
