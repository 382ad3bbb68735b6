"""The encoder: a motion with known and unknown frames -> mean and log variance of its latent.

Unknown frames are bridged linearly and marked by learned offsets, so that the network learns in-betweening as a
correction of interpolation.
"""

import itertools

import torch
from torch import Tensor, nn

from hmpfit.priors.motion_field.features import CHANNELS
from hmpfit.priors.motion_field.sizes import Sizes
from hmpfit.priors.motion_field.skeleton_convolution import SkeletonBlock, pooled_levels
from hmpfit.skeleton import MANO_JOINTS

DEPTH_SCALE = 16.0  # frames; the distance to the nearest known frame is given in this unit, at most 4
START_LOG_VAR = -6.0
LOG_VAR_RANGE = (-10.0, 3.0)


class Encoder(nn.Module):
    """Skeleton-convolution encoder with two linear heads."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        levels = pooled_levels()
        counts = (CHANNELS, *sizes.channels)
        self.blocks = nn.Sequential(
            *(
                SkeletonBlock(tree, groups, counts[i], counts[i + 1], sizes.extra_convolutions)
                for i, (tree, groups) in enumerate(levels)
            )
        )
        flat = len(levels[-1][1]) * counts[-1] * sizes.window_frames // 2 ** len(levels)
        self.mean = nn.Linear(flat, sizes.latent)
        self.log_var = nn.Linear(flat, sizes.latent)
        nn.init.zeros_(self.log_var.weight)
        nn.init.constant_(self.log_var.bias, START_LOG_VAR)
        self.missing = nn.Parameter(torch.zeros(2, len(MANO_JOINTS) * CHANNELS))

    def forward(self, x: Tensor, since: Tensor, until: Tensor) -> tuple[Tensor, Tensor]:
        """Encode z-scored features x [B, T, 16, 15] of bridged motion to (mu, log_var), each [B, L].

        since and until [B, T] are the distances in frames to the last and next known frame.
        """
        distance = (torch.minimum(since, until).to(x.dtype) / DEPTH_SCALE).clamp(max=4)
        unknown = torch.stack(((distance > 0).to(x.dtype), distance), dim=-1) @ self.missing
        hidden = self.blocks((x.flatten(2) + unknown).transpose(1, 2)).flatten(1)
        return self.mean(hidden), self.log_var(hidden).clamp(*LOG_VAR_RANGE)


class RootEncoder(nn.Module):
    """NeMF's global encoder, `paper` size only: the wrist's rotation over time -> mean and log variance of z_g.

    Unused in fitting; it is trained with the loss L_ori.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        counts = (CHANNELS, *sizes.channels)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(low, high, 4, 2, 1) for low, high in itertools.pairwise(counts)
        )  # fmt: skip
        self.shortcuts = nn.ModuleList(nn.Conv1d(low, high, 1, 2) for low, high in itertools.pairwise(counts))
        flat = counts[-1] * sizes.window_frames // 2 ** len(sizes.channels)
        self.mean = nn.Linear(flat, sizes.root_latent)
        self.log_var = nn.Linear(flat, sizes.root_latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Encode the wrist's 15 features [B, T, 15] to (mu, log_var), each [B, root_latent]."""
        hidden = x.transpose(1, 2)
        for convolution, shortcut in zip(self.convolutions, self.shortcuts):
            hidden = torch.tanh(convolution(hidden) + shortcut(hidden))
        hidden = hidden.flatten(1)
        return self.mean(hidden), self.log_var(hidden)
