"""The head: hourglass to heatmaps and 2D joints, then to MANO's pose and shape (the paper's III-C, sizes HandOccNet's).

Separate from what makes the features, which it knows only as a map [B, width, side, side].
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmpfit.geometry.rotations import from_6d
from hmpfit.regressors.ifvonet.switches import IfvonetSwitches

JOINTS, ROTATIONS, SHAPES = 21, 16, 10
_SLOPE = 0.01


@dataclass(frozen=True)
class HeadOutput:
    """The hand in one frame, in the axes of the crop's camera."""

    rotations: Tensor  # [B, 16, 3, 3] the root's first, MANO order
    betas: Tensor  # [B, 10]
    joints_2d: Tensor  # [B, 21, 2] OpenPose order, crop coordinates, 0..1 inside
    heatmaps: Tensor  # [B, 21, side, side] each sums to 1
    presence: Tensor | None = None  # [B] logit of a hand being there; with the frozen backbone only, like the next
    log_scales: Tensor | None = None  # [B, 4, 21] logarithms of expected errors, see `SCALES`


# What errors are expected of: 2D joints (crops) of the network and of the detector, 3D joints (meters, about their
# mean) of the network and of the detector.
SCALES = ("own_2d", "detector_2d", "own_3d", "detector_3d")
_TYPICAL = (0.02, 0.02, 0.006, 0.006)


@dataclass(frozen=True)
class LandmarkInput:
    """What the head receives beside the maps: the landmark network's own numbers and landmarks."""

    vector: Tensor  # [B, n]
    landmarks: Tensor  # [B, 21, 2] the detector's own, crop coordinates


class ResidualUnit(nn.Module):
    """A pre-activation bottleneck of the same width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.layers = nn.Sequential(
            nn.BatchNorm2d(width), nn.LeakyReLU(_SLOPE), nn.Conv2d(width, half, 1),
            nn.BatchNorm2d(half), nn.LeakyReLU(_SLOPE), nn.Conv2d(half, half, 3, padding=1),
            nn.BatchNorm2d(half), nn.LeakyReLU(_SLOPE), nn.Conv2d(half, width, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, h, w] -> the same."""
        out: Tensor = x + self.layers(x)
        return out


class Hourglass(nn.Module):
    """Down by halves `depth` times and up again, with a path across at every level."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.across, self.down, self.up = ResidualUnit(width), ResidualUnit(width), ResidualUnit(width)
        self.inner = Hourglass(width, depth - 1) if depth > 1 else ResidualUnit(width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, width, h, w] -> the same; h and w divide by 2 `depth` times."""
        low = self.up(self.inner(self.down(F.max_pool2d(x, 2))))
        out: Tensor = self.across(x) + F.interpolate(low, scale_factor=2.0, mode="nearest")
        return out


class HandHead(nn.Module):
    """Features to a `HeadOutput`."""

    def __init__(self, switches: IfvonetSwitches) -> None:
        super().__init__()
        side = switches.side
        self.has_landmarks = switches.backbone == "mediapipe"  # its maps are deep enough without an hourglass
        code = self._add_maps(switches) if switches.spatial else 0
        if self.has_landmarks:
            self.aside = _LandmarkBranch(switches.frames, code, switches.trunk, switches.dropout)
            code = switches.trunk
        self.pose = nn.Linear(code, 6 * ROTATIONS)
        self.shape = nn.Sequential(
            nn.Linear(code, code), nn.LeakyReLU(_SLOPE), nn.Linear(code, code // 2), nn.LeakyReLU(_SLOPE),
            nn.Linear(code // 2, code // 2), nn.LeakyReLU(_SLOPE), nn.Linear(code // 2, SHAPES),
        )  # fmt: skip
        centers = (torch.arange(side) + 0.5) / side
        self.register_buffer("centers", centers, persistent=False)
        self.start_straight()

    def _add_maps(self, switches: IfvonetSwitches) -> int:
        """Add what reads F_Hand and return the size of its code."""
        width, side = switches.width, switches.side
        halvings = int(math.log2(side)) - 1  # down to 2 x 2
        self.hourglass = nn.Identity() if self.has_landmarks else Hourglass(width, halvings)
        self.refine = nn.Sequential(
            nn.Identity() if self.has_landmarks else ResidualUnit(width),
            nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.LeakyReLU(_SLOPE),
        )  # fmt: skip
        self.to_heatmaps = nn.Conv2d(width, JOINTS, 1)
        self.sharpness = nn.Parameter(torch.ones(JOINTS, 1))
        self.from_heatmaps, self.from_encoding = nn.Conv2d(JOINTS, width, 1), nn.Conv2d(width, width, 1)
        if self.has_landmarks:
            self.encoder = nn.Sequential(nn.LeakyReLU(_SLOPE), nn.AvgPool2d(2), nn.Flatten())
            return width * side**2 // 4
        halves = (nn.Sequential(ResidualUnit(width), ResidualUnit(width), nn.MaxPool2d(2)) for _ in range(halvings))
        self.encoder = nn.Sequential(*halves)
        return 4 * width

    def start_straight(self) -> None:
        """Start every rotation at no turn: six numbers near zero have no direction."""
        with torch.no_grad():
            self.pose.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(ROTATIONS))
            self.pose.weight.mul_(0.1)

    def forward(self, features: Tensor, landmark_input: LandmarkInput | None = None) -> HeadOutput:
        """F_Hand [B, width, side, side] -> the hand; `landmark_input` goes with the frozen backbone."""
        encoding = self.refine(self.hourglass(features))
        logits = self.to_heatmaps(encoding)
        flat = (logits.flatten(2).float() * self.sharpness).softmax(-1)
        heatmaps = flat.unflatten(2, logits.shape[2:])
        xy = torch.stack((heatmaps.sum(2) @ self.centers, heatmaps.sum(3) @ self.centers), -1)
        code = self.encoder(self.from_heatmaps(logits) + self.from_encoding(encoding)).flatten(1)
        presence, scales = None, None
        if self.has_landmarks:
            assert landmark_input is not None
            code, xy, presence, scales = self.aside(code, xy, landmark_input)
        return self._output(code, xy, heatmaps, presence, scales)

    def without_maps(self, landmark_input: LandmarkInput) -> HeadOutput:
        """Return the hand from the landmark input alone; heatmaps are single cells without information."""
        batch = len(landmark_input.vector)
        code, xy, presence, scales = self.aside(
            landmark_input.vector.new_zeros(batch, 0), landmark_input.landmarks, landmark_input
        )
        return self._output(code, xy, landmark_input.vector.new_ones(batch, JOINTS, 1, 1), presence, scales)

    def _output(
        self, code: Tensor, xy: Tensor, heatmaps: Tensor, presence: Tensor | None, scales: Tensor | None
    ) -> HeadOutput:
        rot6d = self.pose(code).float().unflatten(-1, (ROTATIONS, 6))
        return HeadOutput(from_6d(rot6d), self.shape(code).float(), xy, heatmaps, presence, scales)


class _LandmarkBranch(nn.Module):
    """Joins the code with the detector's landmarks, and estimates the errors of both."""

    def __init__(self, frames: int, code: int, width: int, dropout: float) -> None:
        super().__init__()
        self.vector = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(1152 + 128 * frames, 192), nn.LeakyReLU(_SLOPE), nn.Dropout(dropout)
        )
        self.trunk = nn.Sequential(nn.Linear(code + 192, width), nn.LeakyReLU(_SLOPE), nn.Dropout(dropout))
        self.offset, self.gate = nn.Linear(width, 2 * JOINTS), nn.Linear(width, JOINTS)
        self.presence, self.scales = nn.Linear(width, 1), nn.Linear(width, len(SCALES) * JOINTS)
        with torch.no_grad():
            for layer in (self.offset, self.gate, self.scales):
                layer.weight.mul_(0.1)
            self.offset.bias.zero_()
            self.gate.bias.fill_(-2.0)  # begin with the detector's
            self.scales.bias.copy_(torch.tensor(_TYPICAL).log().repeat_interleave(JOINTS))

    def forward(self, code: Tensor, xy: Tensor, landmark_input: LandmarkInput) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the joint code, 2D joints [B, 21, 2], presence [B] and log scales [B, 4, 21]."""
        code = self.trunk(torch.cat((code, self.vector(landmark_input.vector)), dim=1))
        share = torch.sigmoid(self.gate(code))[..., None]
        mixed = share * xy + (1 - share) * landmark_input.landmarks + self.offset(code).unflatten(-1, (JOINTS, 2))
        scales = self.scales(code).unflatten(-1, (len(SCALES), JOINTS)).clamp(-9, 1)
        return code, mixed, self.presence(code)[:, 0], scales
