"""Finger poses as a function of the latents: decode each window, blend overlaps, make rotations.

The only place where the fit calls the prior's decoder; it also gives the exact Jacobian that Gauss-Newton chains with.
"""

from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor

from hmpfit.fitting.windows import WindowLayout
from hmpfit.geometry import rotations
from hmpfit.interfaces.prior import MotionPriorLike, PathPriorLike

WINDOWS_ENCODED_AT_ONCE = 8  # windows encoded at once: memory does not grow with the clip
WINDOWS_DECODED_AT_ONCE = {"cpu": 4, "cuda": 8}  # windows decoded at once, likewise
PATHS_KEPT = 3  # windows at the clip's ends are shorter than those between; where times are irregular all differ
SAME_S = 1e-9


@dataclass(frozen=True)
class WindowGroup:
    """G consecutive windows whose frames lie at the same times of the window, so that they decode together.

    N is the longest window's number of frames; shorter ones are padded with their last frame at share 0.
    `sign` is 1 where the window before covers the frame too, -1 where the window after does, else 0.
    """

    first: int
    count: int
    prepared: Any
    frames: Tensor  # [G, N] long
    share: Tensor  # [G, N] weight of the window's decoding in the frame
    sign: Tensor  # [G, N]

    @property
    def windows(self) -> slice:
        """Return which windows these are."""
        return slice(self.first, self.first + self.count)


@dataclass(frozen=True)
class PoseField:
    """Decoder and windows, ready for a clip."""

    prior: MotionPriorLike
    layout: WindowLayout
    groups: tuple[WindowGroup, ...]
    dtype: torch.dtype
    _paths: dict[int, Tensor] = field(default_factory=dict)  # the last few paths, by their prepared times

    @classmethod
    def build(cls, prior: MotionPriorLike, layout: WindowLayout, times_s: Tensor, dtype: torch.dtype) -> "PoseField":
        """Precompute the time-dependent part of each window's decoding, on the device of the times."""
        groups: list[WindowGroup] = []
        first, most = 0, WINDOWS_DECODED_AT_ONCE[times_s.device.type]
        times, prepared = times_s[:0], None
        into = [times_s[a:b] - start for (a, b), start in zip(layout.windows, layout.start_s.to(times_s))]
        while first < len(into):
            last, longest = first + 1, into[first]
            while last < len(into) and last - first < most and _alike(longest, into[last]):
                longest = max(longest, into[last], key=len)
                last += 1
            if not groups or len(longest) != len(times) or not _alike(longest, times):
                times, prepared = longest, prior.prepare(longest.to(dtype))
            groups.append(_group(layout, first, last, prepared, dtype, times_s.device))
            first = last
        layout = replace(layout, share=layout.share.to(times_s.device, dtype))
        return cls(prior, layout, tuple(groups), dtype)

    def decode(self, latent: Tensor) -> Tensor:
        """Decode latents [B, W, L] to the own and the previous window's 6D rotations, [B, T, 2, 90], unblended."""
        parts: list[Tensor] = []
        for group in self.groups:
            rot6d = self.prior.decode_prepared(latent[:, group.windows].flatten(0, 1), group.prepared).flatten(2)
            parts.extend(rot6d.unflatten(0, (len(latent), group.count)).unbind(1))
        return self._scatter(parts)

    def jacobian(self, latent: Tensor, group: WindowGroup) -> tuple[Tensor, Tensor | None]:
        """Return d rot6d / d code [B, G, N, 90, C] of a group's windows, and d code / d latent [N, C, L] or None.

        Where it is None the code is the latent itself, C = L.
        """
        z, prepared = latent[:, group.windows].flatten(0, 1).to(self.dtype), group.prepared
        path = self.path(group.first)
        decode = (
            cast(PathPriorLike, self.prior).decode_path_jacobian if path is not None else self.prior.decode_jacobian
        )
        # On a CPU a window at a time stays in the cache; a GPU wants them all.
        parts = [decode(rows, prepared)[1] for rows in (z.split(1) if z.device.type == "cpu" else (z,))]
        return torch.cat(parts).to(self.dtype).unflatten(0, (len(latent), group.count)), path

    def window_jacobian(self, latent: Tensor, window: int) -> tuple[Tensor, Tensor | None]:
        """Do as `jacobian` for one window, [B, N, 90, C]; N may be more frames than the window has."""
        code, path = self.jacobian(latent, replace(self._group_of(window), first=window, count=1))
        return code[:, 0], path

    def path(self, window: int) -> Tensor | None:
        """Return d code / d latent of a window [N, C, L], or None where the code is the latent itself."""
        if not self.prior.has_path:
            return None
        prepared = self._group_of(window).prepared
        path = self._paths.pop(id(prepared), None)
        if path is None:
            path = prepared.path.to(self.dtype)
            for oldest in list(self._paths)[: len(self._paths) + 1 - PATHS_KEPT]:
                del self._paths[oldest]
        self._paths[id(prepared)] = path
        return path

    @property
    def code_size(self) -> int:
        """Numbers of a window's code, C."""
        path = self.path(0)
        return self.prior.latent_dim if path is None else path.shape[1]

    def _group_of(self, window: int) -> WindowGroup:
        return next(group for group in self.groups if window < group.windows.stop)

    def blend(self, rot6d: Tensor) -> Tensor:
        """Blend the two decodings [B, T, 2, 90] into joint rotations [B, T, 15, 3, 3]."""
        return rotations.from_6d(self._blended(rot6d))

    def blend_jacobian(self, rot6d: Tensor, start: int = 0) -> Tensor:
        """Return d pose / d six of `blend`, before the shares, [B, n, 15, 3, 6]; pose turns R <- R exp(d).

        `rot6d` [B, n, 2, 90] are the decodings of frames from `start` on.
        """
        return rot6d_to_rotation_jacobian(self._blended(rot6d, start))

    def _blended(self, rot6d: Tensor, start: int = 0) -> Tensor:
        share = self.layout.share[start : start + rot6d.shape[1], :, None]
        return (rot6d * share.to(rot6d)).sum(-2).unflatten(-1, (15, 6))

    def _scatter(self, parts: list[Tensor]) -> Tensor:
        """Put decodings [B, N, 90] into [B, T, 2, 90]; where a window is alone it fills both slots."""
        own, previous = [], []
        for w, (a, end) in enumerate(self.layout.segments):
            mine = parts[w][:, : end - a]
            own.append(mine)
            first, reach = (self.layout.segments[w - 1][0], self.layout.windows[w - 1][1] - a) if w else (0, 0)
            if reach > 0:
                previous.append(parts[w - 1][:, a - first : a - first + reach])
                mine = mine[:, reach:]
            previous.append(mine)
        return torch.stack((torch.cat(own, dim=1), torch.cat(previous, dim=1)), dim=2)


def _alike(one: Tensor, other: Tensor) -> bool:
    shorter = min(len(one), len(other))
    return bool((one[:shorter] - other[:shorter]).abs().max() < SAME_S)


def _group(
    layout: WindowLayout, first: int, last: int, prepared: Any, dtype: torch.dtype, device: torch.device
) -> WindowGroup:
    windows = range(first, last)
    most = max(layout.windows[w][1] - layout.windows[w][0] for w in windows)
    frames = torch.zeros(len(windows), most, dtype=torch.long)
    share, sign = torch.zeros(len(windows), most, dtype=dtype), torch.zeros(len(windows), most, dtype=dtype)
    for row, w in enumerate(windows):
        (a, end), (_, b) = layout.segments[w], layout.windows[w]
        frames[row] = torch.arange(a, a + most).clamp_max(b - 1)
        share[row, : end - a] = layout.share[a:end, 0].to(share)
        share[row, end - a : b - a] = layout.share[end:b, 1].to(share)
        sign[row, end - a : b - a] = -1
        if w and layout.windows[w - 1][1] > a:
            sign[row, : layout.windows[w - 1][1] - a] = 1
    return WindowGroup(first, len(windows), prepared, frames.to(device), share.to(device), sign.to(device))


def rot6d_to_rotation_jacobian(rot6d: Tensor) -> Tensor:
    """Return J [..., 3, 6] with from_6d(rot6d + d) ~ from_6d(rot6d) exp(J d).

    With x, y, z the columns of the rotation: a moved first column turns about y and z, a moved second one about x.
    """
    first, second = rot6d[..., :3], rot6d[..., 3:]
    x, y, z = rotations.from_6d(rot6d).unbind(-1)
    length = first.norm(dim=-1, keepdim=True)
    along = (x * second).sum(-1, keepdim=True)
    rest = (second - along * x).norm(dim=-1, keepdim=True)
    zero = torch.zeros_like(x)
    about_x = torch.cat((-along / length * z / rest, z / rest), dim=-1)
    about_y = torch.cat((-z / length, zero), dim=-1)
    about_z = torch.cat((y / length, zero), dim=-1)
    return torch.stack((about_x, about_y, about_z), dim=-2)
