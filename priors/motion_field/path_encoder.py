"""The encoder of a prior with a latent path: gaps bridged by the network, then the path's linear fit in closed form.

The posterior is computed, not guessed: the noise of known frames and the network's doubt about each gap say how far the
path's own latents may be off, and what they leave open stays at the prior's mean. Separate from the
skeleton-convolution encoder, which learns all that.
"""

import torch
from torch import Tensor, nn

from hmpfit.priors.motion_field.features import bracket
from hmpfit.priors.motion_field.gap_network import GapNetwork, Gaps, average_course, sines
from hmpfit.priors.motion_field.sizes import Sizes

END_SCALE = 32.0  # frames over which a motion beyond its last known frame becomes anything


class PathEncoder(nn.Module):
    """Poses with known and unknown frames -> mean and log variance of the latent, and the latent of the path itself."""

    def __init__(self, sizes: Sizes, numbers: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.to_path = nn.Linear(numbers, sizes.path_channels)
        self.gaps = GapNetwork(sizes.path_channels, sizes.gap_width)
        self.to_latent = nn.Linear(sizes.path_waves * sizes.path_channels, sizes.latent, bias=False)
        nn.init.normal_(self.to_latent.weight, std=(sizes.path_waves * sizes.path_channels) ** -0.5)

    def path(self, poses: Tensor, known: Tensor) -> Tensor:
        """Return the path [B, T, C] of poses [B, T, numbers]: unknown frames on straight lines, held at the ends."""
        path = self.to_path(torch.where(known[..., None], poses, 0.0))
        before, after, part = bracket(known)
        rows = torch.arange(len(path), device=path.device)[:, None]
        part = part.to(path.dtype)[..., None]
        return torch.where(known[..., None], path, path[rows, before] * (1 - part) + path[rows, after] * part)

    def forward(
        self, poses: Tensor, known: Tensor, waves: Tensor, basis: Tensor, observed_std: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode poses [B, T, numbers], known [B, T], to (mu, log_var), each [B, L].

        waves [T, K] at the frames and basis [L, K, C] are the decoder's; `observed_std` is the noise of known frames in
        radians, white, so that an error of 0.2 that lasts 25 frames counts as 1.0; None: the sizes'. With the path's
        own latent z of variance v, and N(0, 1) before anything was seen, the posterior is N(z / (1 + v), v / (1 + v)).
        """
        std = self.sizes.observed_std if observed_std is None else observed_std
        found, doubt = self._through(poses, known, waves)
        beyond = self._beyond(known).to(found.dtype)  # [B, 2, T]
        spread = basis.square().sum((0, 1))  # of each channel, [C]
        doubt = doubt + (beyond @ waves / len(waves)).square().sum(1)[..., None] * spread
        noise = self.to_latent.weight.square().sum(1) * std**2 / len(waves)
        variance = doubt.flatten(1) @ self.to_latent.weight.square().T + noise
        something = known.any(1)[:, None]
        mu = torch.where(something, found / (1 + variance), 0.0)
        return mu, torch.where(something, variance / (1 + variance), 1.0).log()

    def latent(self, poses: Tensor, known: Tensor, waves: Tensor) -> Tensor:
        """Return the latent [B, L] of the path through known and bridged frames as it is; 0 where nothing is known."""
        return torch.where(known.any(1)[:, None], self._through(poses, known, waves)[0], 0.0)

    def _through(self, poses: Tensor, known: Tensor, waves: Tensor) -> tuple[Tensor, Tensor]:
        """Return the path's latent [B, L] and the variance [B, K, C] that gaps leave in its spectrum."""
        path, frames = self.path(poses, known), len(waves)
        doubt = path.new_zeros(len(path), waves.shape[1], path.shape[2])
        gaps = Gaps.between(known)
        if len(gaps.row):
            course, log_var = average_course(self.gaps, path, gaps)
            profile = sines(gaps.into().to(path.dtype))  # [N, T, WAVES]
            path = path.index_add(0, gaps.row, profile @ course)
            through = torch.einsum("tk,ntj->nkj", waves, profile) / frames
            doubt = doubt.index_add(0, gaps.row, through.square() @ log_var.exp())
        return self.to_latent((waves.T @ path / frames).flatten(1)), doubt

    def complete(self, poses: Tensor, known: Tensor, back: Tensor) -> Tensor:
        """Return poses [B, T, numbers] with inner gaps filled: straight lines plus the network's course.

        back [numbers, C] turns changes of the path into changes of poses. Nothing passes through the latent, so that
        known frames stay as they are.
        """
        before, after, part = bracket(known)
        rows, part = torch.arange(len(poses), device=poses.device)[:, None], part.to(poses.dtype)[..., None]
        filled = torch.where(known[..., None], poses, poses[rows, before] * (1 - part) + poses[rows, after] * part)
        gaps = Gaps.between(known)
        if not len(gaps.row):
            return filled
        course, _ = average_course(self.gaps, self.path(poses, known), gaps)
        return filled.index_add(0, gaps.row, sines(gaps.into().to(poses.dtype)) @ course @ back.T)

    def _beyond(self, known: Tensor) -> Tensor:
        """Return how lost each frame before the first and after the last known one is, [B, 2, T] in 0..1."""
        frames = known.shape[1]
        here = torch.arange(frames, device=known.device)
        first = torch.where(known, here, frames).amin(1, keepdim=True)
        last = torch.where(known, here, -1).amax(1, keepdim=True)
        return (torch.stack((first - here, here - last), dim=1) / END_SCALE).clamp(0, 1)
