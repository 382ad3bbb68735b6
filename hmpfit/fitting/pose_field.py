"""Finger poses as a function of the latents: decode each window, blend overlaps, make rotations.

The only place where the fit calls the prior's decoder; it also gives the exact Jacobian that Gauss-Newton chains with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from hmpfit.fitting.windows import WindowLayout
from hmpfit.geometry import rotations


class MotionPriorLike(Protocol):
    """What the fit needs of a motion prior (hmpfit.priors.motion_field has the one that ships)."""

    @property
    def window_frames(self) -> int:
        """Frames of a window."""

    @property
    def fps(self) -> float:
        """Frames a second of a window."""

    @property
    def latent_size(self) -> int:
        """Numbers that describe a window, L."""

    def encode(self, hand_R: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode windows [B, N, 15, 3, 3] with known frames [B, N] to mean and log variance [B, L]."""

    def start(self, hand_R: Tensor, mask: Tensor) -> Tensor:
        """Return the latents [B, L] that best explain the known frames of such windows: where a fit starts."""

    def prepare(self, t: Tensor) -> Any:
        """Precompute what depends on the times [N] (seconds from the window's start) alone."""

    def decode_prepared(self, z: Tensor, prepared: Any) -> Tensor:
        """Decode latents [B, L] to 6D joint rotations [B, N, 15, 6]."""

    def decode_jacobian(self, z: Tensor, prepared: Any) -> tuple[Tensor, Tensor]:
        """Decode, and return the exact derivative [B, N, 90, L] as well."""

    @property
    def has_path(self) -> bool:
        """Whether z acts through a code c(t) of C numbers that is linear in z: then it is a `PathPriorLike`."""


class PathPriorLike(MotionPriorLike, Protocol):
    """A prior whose latents act through a code over time, which makes derivatives cheaper."""

    def decode_path_jacobian(self, z: Tensor, prepared: Any) -> tuple[Tensor, Tensor]:
        """Decode, and return d six / d c [B, N, 90, C]; d c / d z is `prepared.path` [N, C, L]."""


@dataclass(frozen=True)
class WindowJacobian:
    """d six / d latent of a window in two factors: `by_code` [B, N, 90, C], and `path` [N, C, L] or None for C = L."""

    by_code: Tensor
    path: Tensor | None

    def lift(self, rows: Tensor, frames: slice = slice(None)) -> Tensor:
        """Turn derivatives by the code [B, n, R, C] of the given frames into derivatives by the latent [B, n, R, L]."""
        return rows if self.path is None else rows @ self.path[frames]


@dataclass(frozen=True)
class WindowJacobians(Sequence[WindowJacobian]):
    """The Jacobian of each window at latents [B, W, L], computed when asked for: held together they outgrow memory."""

    prior: MotionPriorLike
    prepared: tuple[Any, ...]
    latent: Tensor

    def __len__(self) -> int:
        return self.latent.shape[1]

    def __getitem__(self, w: Any) -> Any:
        prepared, dtype = self.prepared[w], self.latent.dtype
        if self.prior.has_path:
            by_code = cast(PathPriorLike, self.prior).decode_path_jacobian(self.latent[:, w], prepared)[1]
            return WindowJacobian(by_code.to(dtype), prepared.path.to(dtype))
        return WindowJacobian(self.prior.decode_jacobian(self.latent[:, w], prepared)[1].to(dtype), None)


@dataclass(frozen=True)
class PoseField:
    """Decoder and windows, ready for a clip."""

    prior: MotionPriorLike
    layout: WindowLayout
    prepared: tuple[Any, ...]
    dtype: torch.dtype

    @classmethod
    def build(cls, prior: MotionPriorLike, layout: WindowLayout, times_s: Tensor, dtype: torch.dtype) -> "PoseField":
        """Precompute the time-dependent part of each window's decoding."""
        grids: dict[bytes, Any] = {}
        prepared = []
        for start_s, (a, b) in zip(layout.start_s, layout.windows):
            since_s = times_s[a:b] - start_s
            same = (since_s * 1e9).round().cpu().numpy().tobytes()  # at most frame rates, windows share one grid
            if same not in grids:
                grids[same] = prior.prepare(since_s)
            prepared.append(grids[same])
        return cls(prior, layout, tuple(prepared), dtype)

    def decode(self, latent: Tensor) -> Tensor:
        """Decode latents [B, W, L] to the own and the previous window's 6D rotations, [B, T, 2, 90], unblended."""
        parts = [self.prior.decode_prepared(latent[:, w], self.prepared[w]) for w in range(latent.shape[1])]
        return self._scatter([part.flatten(2) for part in parts])

    def decode_with_jacobian(self, latent: Tensor) -> tuple[Tensor, WindowJacobians]:
        """Decode as `decode` does, and return each window's derivative over the frames that it covers."""
        return self.decode(latent), WindowJacobians(self.prior, self.prepared, latent)

    def share_of(self, window: int) -> Tensor:
        """Return the weight of a window's decoding in each frame that it covers, [frames]."""
        (a, end), (_, b) = self.layout.segments[window], self.layout.windows[window]
        return torch.cat((self.layout.share[a:end, 0], self.layout.share[end:b, 1]))

    def blend(self, six: Tensor) -> Tensor:
        """Blend the two decodings [B, T, 2, 90] into joint rotations [B, T, 15, 3, 3]."""
        return rotations.from_6d(self._blended(six))

    def blend_jacobian(self, six: Tensor) -> Tensor:
        """Return d pose / d six of `blend`, before the shares, [B, T, 15, 3, 6]; pose turns R <- R exp(d)."""
        return six_to_rotation_jacobian(self._blended(six))

    def _blended(self, six: Tensor) -> Tensor:
        return (six * self.layout.share[:, :, None]).sum(-2).unflatten(-1, (15, 6))

    def _scatter(self, parts: list[Tensor]) -> Tensor:
        """Put per-window decodings [B, frames of window, ...] into [B, T, 2, ...]; a lone window fills both slots."""
        layout = self.layout
        own = torch.cat([part[:, : b - a] for part, (a, b) in zip(parts, layout.segments)], dim=1)
        previous = own.clone()
        for w in range(1, len(parts)):
            a, b = layout.segments[w - 1][1], layout.windows[w - 1][1]
            if b > a:
                previous = torch.cat(
                    (previous[:, :a], parts[w - 1][:, a - layout.segments[w - 1][0] :], previous[:, b:]), dim=1
                )
        return torch.stack((own, previous), dim=2)


def six_to_rotation_jacobian(six: Tensor) -> Tensor:
    """Return J [..., 3, 6] with from_6d(six + d) ~ from_6d(six) exp(J d).

    With x, y, z the columns of the rotation: a moved first column turns about y and z, a moved second one about x.
    """
    first, second = six[..., :3], six[..., 3:]
    x, y, z = rotations.from_6d(six).unbind(-1)
    length = first.norm(dim=-1, keepdim=True)
    along = (x * second).sum(-1, keepdim=True)
    rest = (second - along * x).norm(dim=-1, keepdim=True)
    zero = torch.zeros_like(x)
    about_x = torch.cat((-along / length * z / rest, z / rest), dim=-1)
    about_y = torch.cat((-z / length, zero), dim=-1)
    about_z = torch.cat((y / length, zero), dim=-1)
    return torch.stack((about_x, about_y, about_z), dim=-2)
