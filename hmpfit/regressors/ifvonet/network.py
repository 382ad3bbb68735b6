"""IFVONet whole: three branches of one or two backbones, variation, recovery, fusion, head (the paper's Figure 2)."""

from dataclasses import fields
from functools import cache

import torch
from torch import Tensor, nn

from hmpfit.regressors.backbone.frozen import CHANNELS, USED, Features, features_of
from hmpfit.regressors.backbone.light import LightBackbone
from hmpfit.regressors.backbone.mediapipe import MediaPipeBackbone
from hmpfit.regressors.backbone.pyramid import Pyramid
from hmpfit.regressors.backbone.resnet import ResNet50
from hmpfit.regressors.ifvonet.attention import start_tiny
from hmpfit.regressors.ifvonet.fusion import Fusion
from hmpfit.regressors.ifvonet.head import HandHead, HeadOutput, LandmarkInput
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


class FrozenFeatures(nn.Module):
    """Maps of the frozen landmark network, of one frame or of several, to the width of the others."""

    def __init__(self, switches: IfvonetSwitches, frames: int) -> None:
        super().__init__()
        width = switches.width
        self.layers = nn.Sequential(
            nn.Conv2d(frames * CHANNELS, width, 1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, width, 3, padding=1),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        """[B, frames * 344, 8, 8] -> [B, width, 8, 8]."""
        out: Tensor = self.layers(maps)
        return out


class IFVONet(nn.Module):
    """Crops of consecutive frames of a right hand -> the hand in the last of them, and in the one before if asked."""

    def __init__(self, switches: IfvonetSwitches) -> None:
        super().__init__()
        self.switches = switches
        frames = switches.frames
        self.frozen = switches.backbone == "mediapipe"
        if not switches.spatial:
            self.head = HandHead(switches)
            return
        self.image_encoder: nn.Module = FrozenFeatures(switches, 1) if self.frozen else ImageFeatures(switches, 3)
        if self.frozen:
            self.pair_encoder: nn.Module = FrozenFeatures(switches, frames)
        elif switches.two_backbones:
            self.pair_encoder = ImageFeatures(switches, 3 * frames)
        else:
            self.stem = nn.Conv2d(3 * frames, 3, 1)
        self.frame_gate, self.gate = SpatialGate(), SpatialGate()
        varied = switches.pdv not in ("single", "off")
        if varied:
            self.variation = PixelVariation(switches)
        self.recovery = OcclusionRecovery(switches)
        self.fusion = Fusion(switches)
        self.head = HandHead(switches)
        if switches.tiny_start:
            for part in (*((self.variation,) if varied else ()), self.recovery, self.fusion):
                start_tiny(part)
            for layer in (self.head.pose, self.head.shape):
                start_tiny(layer)
            self.head.start_straight()

    def forward(self, image: Tensor | Features, both: bool = False) -> tuple[HeadOutput, ...]:
        """image [B, frames, 3, S, S] in 0..1, oldest first -> the hand in the last frame.

        With the frozen backbone, images become `Features` [B, frames, ...] first, which can be given as they are.
        `both` adds the hand in the frame before: PDV is symmetric, so the same features in the other order give it.
        """
        frames, features = self.switches.frames, None
        wanted = (frames - 1, frames - 2)[: 2 if both and frames > 1 else 1]
        count = len(wanted)  # one pass of the head for all: half the calls
        if self.frozen:
            features = image if isinstance(image, Features) else frozen_features(image)
            if not self.switches.spatial:
                return _each(self.head.without_maps(_landmark_input(features, wanted)), count)
            single, stacked = features.maps.flatten(0, 1), features.maps.flatten(1, 2)
        else:
            assert isinstance(image, Tensor)
            single, stacked = image.flatten(0, 1), image.flatten(1, 2)
        seen, _ = self.frame_gate(self.image_encoder(single))
        each = list(seen.unflatten(0, (-1, frames)).unbind(1))
        two = self.frozen or self.switches.two_backbones
        hand, occlusion = self.gate(self.pair_encoder(stacked) if two else self.image_encoder(self.stem(stacked)))
        recovered = self.recovery(occlusion, hand)
        fused = self.fusion(recovered.repeat(count, 1, 1, 1), torch.cat(self._variations(each, wanted)))
        whole = self.head(fused, None if features is None else _landmark_input(features, wanted))
        return _each(whole, count)

    def _variations(self, each: list[Tensor], wanted: tuple[int, ...]) -> list[Tensor]:
        """Return what the wanted frames vary by against each other frame [B, maps * width, side, side].

        A single frame varies by nothing and is itself.
        """
        pairs: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        out: list[Tensor] = []
        for frame in wanted:
            parts: list[Tensor] = []
            for other in (o for o in range(len(each) - 1, -1, -1) if o != frame):
                low, high = sorted((frame, other))
                if (low, high) not in pairs:
                    pairs[low, high] = self._varied(each[low], each[high])
                maps = pairs[low, high]
                parts += maps[::-1] if frame == high else maps
            out.append(torch.cat(parts or [each[frame]], dim=1))
        return out

    def _varied(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        if self.switches.pdv == "off":
            return a, b
        maps: tuple[Tensor, Tensor] = self.variation(a, b)
        return maps


@torch.no_grad()
def frozen_features(image: Tensor) -> Features:
    """Return the frozen landmark network's features [B, F, ...] of images [B, F, 3, 224, 224]."""
    seen = _tower(str(image.device))(image.flatten(0, 1).float(), USED)
    return features_of(seen).map(lambda x: x.unflatten(0, image.shape[:2]))


@cache
def _tower(device: str) -> MediaPipeBackbone:
    """Return the installed landmark network; outside the networks, so that no checkpoint stores it."""
    return MediaPipeBackbone().eval().requires_grad_(False).to(device)


def _landmark_input(features: Features, wanted: tuple[int, ...]) -> LandmarkInput:
    """Return the head's inputs beside the maps for the wanted frames, one after the other along the batch."""
    frames = features.numbers.shape[1]
    others = [[o for o in range(frames) if o != frame] for frame in wanted]
    own = [torch.cat((features.pooled[:, f], features.numbers[:, f], features.numbers[:, o].flatten(1)), 1)
           for f, o in zip(wanted, others)]  # fmt: skip
    landmarks = torch.cat([features.numbers[:, frame, :63] for frame in wanted])
    return LandmarkInput(torch.cat(own), landmarks.unflatten(-1, (21, 3))[..., :2])


def _each(whole: HeadOutput, count: int) -> tuple[HeadOutput, ...]:
    """Return the outputs of `count` frames that went through the head as one batch."""
    return tuple(HeadOutput(*parts) for parts in zip(*(_split(getattr(whole, f.name), count) for f in fields(whole))))


def _split(value: Tensor | None, count: int) -> tuple[Tensor | None, ...]:
    return (None,) * count if value is None else value.chunk(count)
