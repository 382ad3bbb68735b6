"""The prior's windows over a clip of any length and frame rate.

Windows start on a fixed time grid from the first frame, so that the same frames get the same windows however long the
clip is. Each frame has one window of its own and, where windows overlap, a share of the previous one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hmpfit.geometry import rotations


@dataclass(frozen=True)
class WindowLayout:
    """W windows over T frames. `own[t]` is the window whose segment holds frame t.

    `share` [T, 2] are the blending weights of the own and of the previous window, summing to 1.
    Segments (the frames of one own window) are contiguous and never empty.
    """

    start_s: Tensor  # [W] seconds on the clip's clock
    length_s: float
    own: Tensor  # [T] long
    share: Tensor  # [T, 2]
    segments: tuple[tuple[int, int], ...]  # half-open frame ranges of each own window
    windows: tuple[tuple[int, int], ...]  # half-open frame ranges that each window covers, overlaps included

    @property
    def overlap(self) -> Tensor:
        """1 where two windows cover the frame, [T]."""
        return (self.share[:, 1] > 0).to(self.share.dtype)


def lay_windows(times_s: Tensor, length_s: float, overlap_s: float) -> WindowLayout:
    """Lay windows of `length_s` seconds, each overlapping the one before by `overlap_s`, over times [T].

    A last window is added only where the one before does not reach. Where the clip has a hole longer than a window
    the windows inside the hole are left out.
    """
    stride = length_s - overlap_s
    since = times_s - times_s[0]
    count = max(1, int(torch.ceil((since[-1] - overlap_s + 1e-9) / stride)))
    grid = torch.clamp((since / stride + 1e-9).floor().long(), max=count - 1)
    used, own = torch.unique(grid, return_inverse=True)
    start = times_s[0] + used.to(times_s) * stride
    into = (times_s - start[own]) / overlap_s if overlap_s > 0 else torch.ones_like(times_s)
    has_previous = (own > 0) & (used[own] - used[(own - 1).clamp_min(0)] == 1)
    rise = into.clamp(0, 1)
    rise = rise * rise * (3 - 2 * rise)
    own_share = torch.where(has_previous, rise, torch.ones_like(rise))
    share = torch.stack((own_share, 1 - own_share), dim=-1)
    frames = torch.arange(len(times_s))
    segments, windows = [], []
    for w in range(len(used)):
        inside = frames[own == w]
        a, b = int(inside[0]), int(inside[-1]) + 1
        following = frames[(own == w + 1) & (share[:, 1] > 0)]
        segments.append((a, b))
        windows.append((a, int(following[-1]) + 1 if len(following) else b))
    return WindowLayout(start, length_s, own, share, tuple(segments), tuple(windows))


def resample_poses(hand_R: Tensor, known: Tensor, times_s: Tensor, at_s: Tensor) -> tuple[Tensor, Tensor]:
    """Interpolate joint rotations [B, T, 15, 3, 3] from times [T] to times [N] along geodesics.

    Returns the rotations [B, N, 15, 3, 3] and whether they are known [B, N]: inside the clip, and both neighbors known
    (`known` [B, T]) and within a tenth of a second, or exactly on a known frame.
    """
    right = torch.searchsorted(times_s, at_s.contiguous()).clamp(0, len(times_s) - 1)
    left = (right - 1).clamp_min(0)
    span = (times_s[right] - times_s[left]).clamp_min(1e-9)
    fraction = ((at_s - times_s[left]) / span).clamp(0, 1)
    out = rotations.slerp(hand_R[:, left], hand_R[:, right], fraction[:, None].expand(-1, hand_R.shape[2]))
    close = 1e-4
    inside = (at_s >= times_s[0] - close) & (at_s <= times_s[-1] + close) & (span < 0.1 + close)
    both = (known[:, left] | (fraction > 1 - close)) & (known[:, right] | (fraction < close))
    return out, both & inside
