"""STC's network: pictures of a window -> MANO parameters of both hands in every frame.

Source: Zhao et al. 2023, section 3.1. The hand model itself is not part of it: `two_hands.hand_pair` poses the result.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hmpfit.geometry import rotations
from hmpfit.regressors.backbone.named import NormalizedBackbone
from hmpfit.regressors.stc.switches import StcSwitches
from hmpfit.regressors.stc.temporal import TemporalBlock, rectified
from hmpfit.regressors.two_hands.points import CODES, PointReader, codes

FINGERS, BETAS = 45, 10


@dataclass(frozen=True)
class HandParameters:
    """Parameters of windows of both hands (right, left), each in right-hand form."""

    orient_R: Tensor  # [B, T, 2, 3, 3]
    fingers: Tensor  # [B, T, 2, 15, 3] axis-angle, what is added to the model's mean pose
    betas: Tensor  # [B, T, 2, 10]
    points: Tensor | None = None  # [B, T, 2, 21, 2] in the picture, 0..1, where the network reads them
    orient: Tensor | None = None  # [B, T, 2, 3] axis-angle as it came out, where the network gives it in that form


class ChiralityExtractor(nn.Module):
    """Where in the picture one of the hands is, and the features found there (equation 1)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(), nn.Conv2d(hidden, 1, 1)
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weight map [N, 1, h, w] in 0..1 and the plain mean of weighted features [N, C]."""
        weights = self.weigh(features).sigmoid()
        return weights, (weights * features).mean((-1, -2))


class Stc(nn.Module):
    """Frame encoder (its last two levels), multi-scale extractor, two temporal blocks, a decoder for each hand."""

    def __init__(self, switches: StcSwitches) -> None:
        super().__init__()
        self.switches, self.image_encoder = switches, NormalizedBackbone(switches.backbone)
        finer, coarser = self.image_encoder.channels[-2:]
        self.extractors = nn.ModuleList([ChiralityExtractor(coarser, switches.extractor) for _ in range(2)])
        self.blocks = nn.ModuleList()
        if switches.temporal:
            for width, narrower in ((coarser, finer), (finer, switches.out)):
                self.blocks.append(
                    TemporalBlock(width, narrower, switches.heads, switches.head_width, switches.dropout)
                )
        else:
            self.alone = nn.Sequential(nn.LayerNorm(2 * coarser + finer), rectified(2 * coarser + finer, switches.out))
        self.points: PointReader | None = None
        if switches.points:
            self.points, hidden = PointReader(self.image_encoder.channels), switches.decoder
            self.lift = nn.Sequential(rectified(CODES, hidden), nn.ReLU(), rectified(hidden, switches.out))
        self.decoders = nn.ModuleList([_decoder(switches) for _ in range(2)])

    def forward(self, images: Tensor) -> HandParameters:
        """Decode windows of pictures [B, T, 3, S, S] in 0..1; any T."""
        batch, frames = images.shape[:2]
        levels = self.image_encoder(images.flatten(0, 1))
        finer, coarser = levels[-2:]
        hands = torch.stack([extractor(coarser)[1] for extractor in self.extractors], dim=1)
        whole = [maps.mean((-1, -2)) for maps in (coarser, finer)]
        if self.switches.temporal:
            tokens = hands.unflatten(0, (batch, frames)).transpose(1, 2)
            for block, context in zip(self.blocks, whole):
                tokens = block(tokens, context.unflatten(0, (batch, frames)))
        else:
            around = torch.cat(whole, dim=-1)[:, None].expand(-1, 2, -1)
            tokens = self.alone(torch.cat((hands, around), dim=-1)).unflatten(0, (batch, frames)).transpose(1, 2)
        points = None
        if self.points is not None:
            points = self.points(levels)
            tokens = tokens + self.lift(codes(points)).unflatten(0, (batch, frames)).transpose(1, 2)
            points = points.unflatten(0, (batch, frames))
        out = torch.stack([decode(tokens[:, side]) for side, decode in enumerate(self.decoders)], dim=2)
        orient, fingers, betas = out.split((out.shape[-1] - FINGERS - BETAS, FINGERS, BETAS), dim=-1)
        fingers = fingers.unflatten(-1, (15, 3))
        if self.switches.orient_rot6d:
            return HandParameters(rotations.from_6d(orient), fingers, betas, points)
        return HandParameters(rotations.exp(orient), fingers, betas, points, orient)


def _decoder(switches: StcSwitches) -> nn.Sequential:
    orient = 6 if switches.orient_rot6d else 3
    last = nn.Linear(switches.decoder, orient + FINGERS + BETAS)
    nn.init.normal_(last.weight, std=1e-3)
    nn.init.zeros_(last.bias)  # training starts at the mean pose and shape
    if switches.orient_rot6d:
        with torch.no_grad():
            last.bias[:6] = rotations.to_6d(torch.eye(3))
    hidden = switches.decoder
    return nn.Sequential(
        nn.LayerNorm(switches.out),
        rectified(switches.out, hidden),
        nn.ReLU(),
        rectified(hidden, hidden),
        nn.ReLU(),
        last,
    )
