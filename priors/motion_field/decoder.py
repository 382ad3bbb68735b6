"""The decoder: a field over time, (z, t) -> 15 joint rotations, and its exact derivative by z.

Every layer is Linear([h, gamma(t), z]) -> LayerNorm -> ReLU. `forward` says just that; `decode_prepared` computes the
gamma(t) parts once per time grid and the z parts once per window, which is the same sum in another order
(docs/method.md section 6). Derivatives are written out because automatic ones are an order slower.
"""

import math
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from hmpfit.geometry import rotations
from hmpfit.priors.motion_field.sizes import Sizes

JOINTS = 15


@dataclass(frozen=True)
class Prepared:
    """What the decoder needs of a time grid; stale as soon as a weight changes."""

    t: Tensor  # [T] in [-1, 1)
    gamma: Tensor  # [T, 2 frequencies]
    layers: tuple[Tensor, ...]  # per layer W_gamma gamma(t) + b, [T, width]
    waves: Tensor | None  # [T, K] cosines of the latent path
    basis: Tensor | None  # [L, K, C] the decoder's own, not a copy

    @property
    def path(self) -> Tensor | None:
        """d c(t) / d z, [T, C, L]; made anew each time, because a window's is ten times everything else here."""
        if self.waves is None or self.basis is None:
            return None
        return torch.einsum("tk,lkc->tcl", self.waves, self.basis)

    def subset(self, rows: Tensor | slice) -> "Prepared":
        """Return the same for some of the times."""
        return replace(
            self,
            t=self.t[rows],
            gamma=self.gamma[rows],
            layers=tuple(layer[rows] for layer in self.layers),
            waves=None if self.waves is None else self.waves[rows],
        )


class DecoderField(nn.Module):
    """Motion field of hand joints' 6D rotations; see `Sizes` for its shape.

    Without layers the output is linear in the latent path: axis-angle numbers that `exp` turns into rotations.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        width, times = sizes.width, 2 * sizes.frequencies
        latent = sizes.latent if sizes.latent_in_layers else 0
        starts = ([sizes.path_channels] + [width] * (sizes.layers - 1))[: sizes.layers]
        self.layers = nn.ModuleList(nn.Linear(start + times + latent, width) for start in starts)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in starts)
        self.joints = JOINTS + 1 if sizes.root_latent else JOINTS  # NeMF also puts out the (identity) wrist
        self.joint_values = 3 if sizes.angles else 6  # of a joint's rotation
        self.out = nn.Linear(width if sizes.layers else sizes.path_channels, self.joint_values * self.joints)
        flat = torch.zeros(3) if sizes.angles else torch.tensor([1.0, 0, 0, 0, 1, 0])
        with torch.no_grad():  # an untrained field decodes hands that are nearly flat
            self.out.weight.mul_(0.3)
            self.out.bias.copy_(flat.repeat(self.joints))
        if sizes.path_channels:
            self.path_basis = nn.Parameter(torch.zeros(sizes.latent, sizes.path_waves, sizes.path_channels))
            if sizes.layers:
                self.skip = nn.Linear(sizes.path_channels, self.joint_values * self.joints, bias=False)
            nn.init.normal_(self.path_basis, std=(sizes.latent * sizes.path_waves) ** -0.5)

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        """Decode z [B, L] at t [T] in [-1, 1) to 6D rotations [B, T, 15, 6], the plain form of the field."""
        return self._rotations(self._finish(*self.hidden(z, t)))

    def hidden(self, z: Tensor, t: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what the last layer puts out, [B, T, width], and the latent path [B, T, C] of priors that have one."""
        gamma = self.gamma(t)
        fixed = [gamma.expand(len(z), -1, -1)]
        if self.sizes.latent_in_layers:
            fixed.append(z[:, None].expand(-1, len(t), -1))
        path = self.path(z, self.waves(t)) if self.sizes.path_channels else None
        hidden = path
        for layer, norm in zip(self.layers, self.norms):
            hidden = torch.relu(norm(layer(torch.cat(fixed if hidden is None else [hidden, *fixed], dim=-1))))
        assert hidden is not None
        return hidden, path

    def gamma(self, t: Tensor) -> Tensor:
        """Return NeMF's positional code of times [T]: sines and cosines of 2^i pi t, [T, 2 frequencies]."""
        angles = t[:, None] * (math.pi * 2.0 ** torch.arange(self.sizes.frequencies, dtype=t.dtype, device=t.device))
        return torch.cat((angles.sin(), angles.cos()), dim=-1)

    def waves(self, t: Tensor) -> Tensor:
        """Return the latent path's cosines [T, K], orthonormal over the window's frames (DCT-II)."""
        half_frame = 0.5 / self.sizes.window_frames
        k = torch.arange(self.sizes.path_waves, dtype=t.dtype, device=t.device)
        waves = math.sqrt(2.0) * torch.cos(math.pi * k * ((t[:, None] + 1) / 2 + half_frame))
        return torch.where(k == 0, torch.ones_like(waves), waves)

    def path(self, z: Tensor, waves: Tensor) -> Tensor:
        """Return the latent path c(t), [B, T, C]."""
        return waves @ (z @ self.path_basis.flatten(1)).unflatten(-1, self.path_basis.shape[1:])

    def by_path(self) -> Tensor:
        """Return how the output's numbers follow the path linearly, [15 x numbers, C]."""
        weight = self.skip.weight if len(self.layers) else self.out.weight
        return weight[self.joint_values * (self.joints - JOINTS) :]

    def prepare(self, t: Tensor) -> Prepared:
        """Compute once what depends on the times [T] alone."""
        gamma = self.gamma(t)
        parts = tuple(gamma @ self._weights(i)[1].T + self._layer(i).bias for i in range(len(self.layers)))
        if not self.sizes.path_channels:
            return Prepared(t, gamma, parts, None, None)
        return Prepared(t, gamma, parts, self.waves(t), self.path_basis)

    def decode_prepared(self, z: Tensor, prepared: Prepared) -> Tensor:
        """Decode z [B, L] on a prepared time grid to [B, T, 15, 6]; equal to `forward`."""
        path = None if prepared.waves is None else self.path(z, prepared.waves)
        hidden = path
        for i in range(len(self.layers)):
            hidden = torch.relu(self._norm(i)(self._linear(i, hidden, z, prepared)))
        assert hidden is not None
        return self._rotations(self._finish(hidden, path))

    def _layer(self, i: int) -> nn.Linear:
        return cast(nn.Linear, self.layers[i])

    def _norm(self, i: int) -> nn.LayerNorm:
        return cast(nn.LayerNorm, self.norms[i])

    def _weights(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return layer i's weights for (h, gamma, z)."""
        weight, times = self._layer(i).weight, 2 * self.sizes.frequencies
        latent = self.sizes.latent if self.sizes.latent_in_layers else 0
        by_hidden, by_time, by_latent = weight.split((weight.shape[1] - times - latent, times, latent), dim=1)
        return by_hidden, by_time, by_latent

    def _linear(self, i: int, hidden: Tensor | None, z: Tensor, prepared: Prepared) -> Tensor:
        by_hidden, _, by_latent = self._weights(i)
        total = prepared.layers[i][None]
        if by_latent.shape[1]:
            total = total + (z @ by_latent.T)[:, None]
        return total if hidden is None else total + hidden @ by_hidden.T

    def _normalize(self, i: int, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the normalized x, 1 / its deviation, and which units the ReLU after LayerNorm leaves open."""
        norm = self._norm(i)
        centered = x - x.mean(-1, keepdim=True)
        scale = (centered.square().mean(-1, keepdim=True) + norm.eps).rsqrt()
        unit = centered * scale
        return unit, scale, (unit * norm.weight + norm.bias > 0).to(x.dtype)

    def _finish(self, hidden: Tensor, path: Tensor | None) -> Tensor:
        """Return the output's numbers, [B, T, 15, 6] or axis-angle [B, T, 15, 3]."""
        numbers = self.out(hidden)
        if path is not None and len(self.layers):
            numbers = numbers + self.skip(path)
        return numbers.unflatten(-1, (self.joints, self.joint_values))[..., self.joints - JOINTS :, :]

    def _rotations(self, numbers: Tensor) -> Tensor:
        return rotations.to_6d(rotations.exp(numbers)) if self.sizes.angles else numbers


class Decoder(DecoderField):
    """The field with its exact derivatives by the latent, written out."""

    def path_jacobian(self, z: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor]:
        """Return (rot6d [B, T, 15, 6], d rot6d / d c [B, T, 90, C]) of a decoder that sees z through its path alone.

        d rot6d / d z is this times `prepared.path`; a caller that contracts its own rows first saves most of the work.
        Forward accumulation: C columns are fewer than 90 rows.
        """
        assert prepared.waves is not None and not self.sizes.latent_in_layers
        hidden: Tensor = self.path(z, prepared.waves)
        path, change = hidden, None  # change: d hidden / d c, stored [B, T, C, width]
        for i in range(len(self.layers)):
            weight, norm = self._weights(i)[0], self._norm(i)
            change = weight.T.expand(*path.shape[:2], -1, -1) if change is None else change @ weight.T
            unit, scale, open_ = self._normalize(i, self._linear(i, hidden, z, prepared))
            gain = (norm.weight * open_ * scale)[:, :, None]
            inner = (change * unit[:, :, None]).mean(-1, keepdim=True)
            change = (change - change.mean(-1, keepdim=True)).addcmul_(unit[:, :, None], inner, value=-1).mul_(gain)
            hidden = (unit * norm.weight + norm.bias) * open_
        first = self.joint_values * (self.joints - JOINTS)
        if change is None:
            by_path = self.out.weight[first:].expand(*path.shape[:2], -1, -1)
        else:
            by_path = (change @ self.out.weight[first:].T).transpose(-1, -2) + self.skip.weight[first:]
        return self._with_chain(self._finish(hidden, path), by_path)

    def jacobian(self, z: Tensor, prepared: Prepared) -> tuple[Tensor, Tensor]:
        """Return (rot6d [B, T, 15, 6], d rot6d / d z [B, T, 90, L]), exact.

        Reverse accumulation of the 90 output rows, whose cost does not grow with the latent's size in the layers'
        chain; decoders that see z through their path alone take `path_jacobian`.
        """
        if not self.sizes.latent_in_layers:
            rot6d, by_code = self.path_jacobian(z, prepared)
            by_path = prepared.path
            assert by_path is not None
            return rot6d, by_code @ by_path
        path = hidden = None if prepared.waves is None else self.path(z, prepared.waves)
        kept = []
        for i in range(len(self.layers)):
            norm = self._norm(i)
            kept.append(self._normalize(i, self._linear(i, hidden, z, prepared)))
            hidden = (kept[-1][0] * norm.weight + norm.bias) * kept[-1][2]
        assert hidden is not None
        numbers = self._finish(hidden, path)
        first = self.joint_values * (self.joints - JOINTS)
        rows = self.out.weight[first:].expand(*numbers.shape[:2], -1, -1)
        total = None
        for i in reversed(range(len(kept))):
            unit, scale, open_ = (part[:, :, None] for part in kept[i])
            rows = rows * (self._norm(i).weight * open_)
            rows = (rows - rows.mean(-1, keepdim=True) - unit * (rows * unit).mean(-1, keepdim=True)) * scale
            by_hidden, _, by_latent = self._weights(i)
            part = rows @ by_latent
            total = part if total is None else total.add_(part)
            if by_hidden.shape[1]:
                rows = rows @ by_hidden
        assert total is not None
        by_path = prepared.path
        if by_path is not None:
            total = total + (rows + self.skip.weight[first:]) @ by_path
        return self._with_chain(numbers, total)

    def _with_chain(self, numbers: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return 6D and its derivative, given the numbers and theirs [B, T, 15 x numbers, ...]."""
        if not self.sizes.angles:
            return numbers, rows
        rot6d, by_angle = rotations.exp_to_6d_jacobian(numbers)
        return rot6d, (by_angle @ rows.unflatten(2, (JOINTS, 3))).flatten(2, 3)
