"""The blocks of the normal equations, and how a run of segments is taken out of them.

Separate from `linearize.py`, which fills them, and from the solvers, which read them. What hangs on the latents through
the windows' codes is kept by the code: a twelfth of the size, lifted to the latents a few windows at a time.
"""

import dataclasses
from dataclasses import dataclass, replace

from torch import Tensor

from hmpfit.fitting.pose_field import PoseField

_NUMBERS_KEPT = 4_000_000  # of lifted blocks: all of a short clip's, and a bounded share of a long one's


@dataclass(frozen=True)
class ArrowheadSystem:
    """The blocks of the normal equations. F = 6, or 51 where finger poses are free; L = 0 where no latent is free.

    `frame` [B,T,F,F], `before` [B,T,F,F] (frame t-1 rows, frame t columns; 0 for the first), `frame_betas` [B,T,F,10],
    `frame_code` [B,T,2,F,C] by the codes of the own and the previous window, by the latents themselves (C = L) where
    `field` is None; `betas` [B,10,10], `latent` [B,W,L,L], `latent_previous` [B,W,L,L] (window w rows, window w-1
    columns), `latent_betas` [B,W,L,10]; gradients `g_frame` [B,T,F], `g_betas` [B,10], `g_latent` [B,W,L].
    """

    frame: Tensor
    before: Tensor
    frame_betas: Tensor
    frame_code: Tensor
    betas: Tensor
    latent: Tensor
    latent_previous: Tensor
    latent_betas: Tensor
    g_frame: Tensor
    g_betas: Tensor
    g_latent: Tensor
    field: PoseField | None = None
    _lifted: dict[tuple[int, int], Tensor] = dataclasses.field(
        default_factory=dict, init=False
    )  # by first and last segment

    @property
    def next(self) -> Tensor:
        """The blocks between frame t (rows) and frame t + 1 (columns), [B,T-1,F,F]."""
        return self.before[:, 1:]

    @property
    def frame_latent(self) -> Tensor:
        """The blocks between frames and the latents of their own and previous window, [B,T,2,F,L]."""
        if self.field is None:
            return self.frame_code
        return lifted(self.field, self.frame_code, 0, len(self.field.layout.segments))

    def rows(self, rows: Tensor) -> "ArrowheadSystem":
        """Return some problems of a batch."""
        parts = {name: value[rows] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return ArrowheadSystem(**parts, field=self.field)

    def with_gradient(self, g_frame: Tensor, g_betas: Tensor, g_latent: Tensor) -> "ArrowheadSystem":
        """Return the same blocks with another gradient."""
        changed = replace(self, g_frame=g_frame, g_betas=g_betas, g_latent=g_latent)
        changed._lifted.update(self._lifted)
        return changed

    def without_latents(self) -> "ArrowheadSystem":
        """Return the same without the blocks among latents, zeros that take no memory in their place."""
        zero = self.latent.new_zeros(()).expand(self.latent.shape)
        changed = replace(self, latent=zero, latent_previous=zero)
        changed._lifted.update(self._lifted)
        return changed

    def slice_segments(self, segments: tuple[tuple[int, int], ...], first: int, last: int) -> "ArrowheadSystem":
        """Return the blocks of the segments first..last of a cut, lifted to the latents."""
        frames, windows = slice(segments[first][0], segments[last - 1][1]), slice(first, last)
        code = self.frame_code[:, frames]
        by_frame = {name: getattr(self, name)[:, frames] for name in ("frame", "before", "frame_betas", "g_frame")}
        names = ("latent", "latent_previous", "latent_betas", "g_latent")
        by_window = {name: getattr(self, name)[:, windows] for name in names if self.latent.shape[-1]}
        if self.field is not None:
            code = self._lifted_once(code, first, last)
        return replace(self, frame_code=code, field=None, **by_frame, **by_window)

    def _lifted_once(self, code: Tensor, first: int, last: int) -> Tensor:
        """Do as `lifted`; the same blocks are asked for in each step that has them, so that some are kept."""
        assert self.field is not None
        if (first, last) in self._lifted:
            return self._lifted[first, last]
        found = lifted(self.field, code, first, last)
        if found.numel() + sum(part.numel() for part in self._lifted.values()) <= _NUMBERS_KEPT:
            self._lifted[first, last] = found
        return found


def lifted(field: PoseField, code: Tensor, first: int, last: int) -> Tensor:
    """Turn derivatives by the codes [B, n, 2, F, C] of the frames of windows first..last into [B, n, 2, F, L]."""
    layout, start = field.layout, field.layout.segments[first][0]
    path = field.path(first)
    if path is None:
        return code
    out = code.new_empty(*code.shape[:-1], path.shape[-1])
    out[:, :, 1] = 0
    before = field.path(first - 1) if first else None
    for w in range(first, last):
        a, z = layout.segments[w]
        path = field.path(w)
        assert path is not None
        lift(out[:, a - start : z - start, 0], code[:, a - start : z - start, 0], path[: z - a])
        if before is not None:
            earlier, reach = layout.segments[w - 1][0], min(layout.windows[w - 1][1], z)
            here = slice(a - start, reach - start)
            lift(out[:, here, 1], code[:, here, 1], before[a - earlier : reach - earlier])
        before = path
    return out


def lift(out: Tensor, rows: Tensor, path: Tensor) -> None:
    """Write rows [B, n, F, C] times the path [n, C, L]; rows of a batch side by side, or each would copy the path."""
    b = len(rows)
    out[:] = (rows.transpose(0, 1).flatten(1, 2) @ path).unflatten(1, (b, -1)).transpose(0, 1)
