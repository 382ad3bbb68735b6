"""In-betweening along the latent path: what a linear bridge over unknown frames gets wrong, learned.

Separate from the encoder's skeleton convolutions because it keeps every frame: the same few frames' evidence means the
same wherever it lies in the window, which a network with one output vector per window would have to learn anew for
every place.
"""

import torch
from torch import Tensor, nn

DILATIONS = (1, 2, 4, 8, 16, 32, 2, 1)
EXTRA = 3  # known or not, frames since the last known one, frames until the next
DISTANCE_SCALE = 16.0
SLOWEST = 1e-3  # a frame, in units of a channel's size
GAIN = 4.0


class PathBridge(nn.Module):
    """Residual dilated convolutions in time over a path [B, T, C], acting on unknown frames only."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.into = nn.Conv1d(2 * channels + EXTRA, width, 1)
        self.steps = nn.ModuleList(nn.Conv1d(width, width, 3, padding=d, dilation=d) for d in DILATIONS)
        self.mixes = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in DILATIONS)
        self.out = nn.Conv1d(width, channels, 1)
        self.scale = nn.Parameter(torch.ones(channels))  # size of a channel, set from the data
        with torch.no_grad():  # untrained, the bridge stays as it is
            for parameter in self.out.parameters():
                parameter.zero_()

    def forward(self, path: Tensor, since: Tensor, until: Tensor) -> Tensor:
        """Correct a bridged path [B, T, C]; since and until [B, T] are frames to the known ones, 0 at known frames.

        The network sees velocities in units of the window's own speed and answers in that unit: slow and fast motion
        are bridged alike.
        """
        unknown = (since > 0).to(path.dtype)
        marks = torch.stack((unknown, *((d / DISTANCE_SCALE).clamp(max=4).to(path.dtype) for d in (since, until))), 1)
        unit = path / self.scale
        velocity = torch.nn.functional.pad(unit[:, 1:] - unit[:, :-1], (0, 0, 0, 1))
        speed = velocity.square().mean((1, 2), keepdim=True).add(SLOWEST**2).sqrt()
        seen = torch.cat((unit.transpose(1, 2), (velocity / speed).transpose(1, 2), marks), dim=1)
        hidden = self.into(seen)
        for step, mix in zip(self.steps, self.mixes):
            hidden = hidden + mix(nn.functional.silu(step(hidden)))
        correction = self.out(nn.functional.silu(hidden)).transpose(1, 2)
        return path + correction * (GAIN * speed * self.scale) * unknown[..., None]
