"""In-betweening along the latent path: a network that corrects the straight line over unknown frames.

A gap's course is a line between its ends plus a few sine waves that vanish there. The network sees, channel by channel,
the known frames around the gap, and pools over channels, with the same weights for all: it learns how motion goes on
more than which hand shapes exist, so that it holds for data and tasks that it never saw.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

OFFSETS = (1, 2, 3, 4, 6, 8, 11, 15, 20, 26, 33, 42, 54, 70)  # frames from the gap's ends that the network reads
WAVES = 12  # sines over a gap
POOLED_SHARE = 0.03  # of the hand's motion in a channel's unit, so that a still channel's noise is not blown up
SMALLEST = 1e-3
LOG_VAR_RANGE = (-12.0, 3.0)
LABEL = 6  # numbers that identify channels


@dataclass(frozen=True)
class Gaps:
    """N runs of unknown frames between known ones: window `row`, last known frame `before`, next known one `after`."""

    row: Tensor  # [N] long
    before: Tensor  # [N]
    after: Tensor  # [N]
    known: Tensor  # [N, T] frames of the gap's window that may be read

    @staticmethod
    def between(known: Tensor) -> "Gaps":
        """Find the inner gaps of windows, known [B, T]."""
        frames = known.shape[1]
        here = torch.arange(frames, device=known.device)
        following = torch.where(known, here, frames).flip(1).cummin(dim=1).values.flip(1)
        after = torch.cat((following[:, 1:], following.new_full((len(known), 1), frames)), dim=1)
        row, before = (known & (after > here + 1) & (after < frames)).nonzero(as_tuple=True)
        return Gaps(row, before, after[row, before], known[row])

    def into(self) -> Tensor:
        """Return how far each frame lies into its gap, [N, T]: 0 at and before `before`, 1 at and after `after`."""
        here = torch.arange(self.known.shape[1], device=self.row.device)
        return ((here - self.before[:, None]) / (self.after - self.before)[:, None]).clamp(0, 1)


class GapNetwork(nn.Module):
    """Course of a gap, as sine coefficients with their uncertainty, from the frames around it."""

    spread: Tensor

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        own, shared = 2 * len(OFFSETS) + 4 + LABEL, 2 * len(OFFSETS) + 6
        self.label = nn.Parameter(torch.randn(channels, LABEL))
        self.first = _layers(own + shared, width, width)
        self.second = _layers(2 * width, width, width)
        self.course = nn.Sequential(nn.Linear(3 * width, width), nn.SiLU(), nn.Linear(width, WAVES))
        self.doubt = nn.Linear(3 * width, WAVES)
        self.register_buffer("spread", torch.ones(channels))  # deviation of each channel, set from the data
        with torch.no_grad():  # untrained, the course is the straight line
            for parameter in self.course[-1].parameters():
                parameter.zero_()

    def forward(self, path: Tensor, gaps: Gaps, posture: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return sine coefficients [N, WAVES, C] of the gaps in a path [B, T, C], and their log variances.

        Motion and answers are in units of each channel's own motion around the gap. `posture` [N] is 0 where training
        withholds where the hand is, so that the network learns to do without.
        """
        frames = path.shape[1]
        unit = self.spread.mean()
        offsets = torch.tensor(OFFSETS, device=path.device)
        at = torch.cat((gaps.before[:, None] - offsets, gaps.after[:, None] + offsets), dim=1)  # [N, 2 O]
        inside = (at >= 0) & (at < frames)
        at = at.clamp(0, frames - 1)
        seen = (inside & gaps.known.gather(1, at)).to(path.dtype)
        start, end = path[gaps.row, gaps.before], path[gaps.row, gaps.after]
        near = torch.stack((start, end), dim=1).repeat_interleave(len(OFFSETS), dim=1)
        around = torch.where(seen[..., None] > 0, path[gaps.row[:, None], at] - near, 0.0)
        own = torch.cat((around, (end - start)[:, None]), dim=1).transpose(1, 2)  # [N, C, 2 O + 1]
        power = own.square().mean(-1)
        whole = power.mean(1, keepdim=True)
        size = (power + POOLED_SHARE * whole + (SMALLEST * unit) ** 2).sqrt()
        length = (gaps.after - gaps.before - 1).to(path.dtype)[:, None]
        shared = torch.cat(
            (
                seen,
                length.log() / 4,
                length / 32,
                *((length / offset).log() / 3 for offset in (1, 4, 11)),
                ((whole + 1e-8).sqrt() / unit).log() / 3,
            ),
            dim=1,
        )
        activity = ((size.square() / (whole + 1e-12)).log() / 3).clamp(-4, 4)
        place = torch.stack((start, end), dim=-1) / self.spread[:, None]
        place = torch.cat((place, self.label.expand(len(place), -1, -1)), dim=-1)
        if posture is not None:
            place = place * posture[:, None, None]
        spread_out = shared[:, None].expand(-1, path.shape[2], -1)
        x = torch.cat((own / size[..., None], activity[..., None], place, spread_out), -1)
        share = (size / size.sum(1, keepdim=True))[..., None]
        hidden = self.first(x)
        pooled = (hidden * share).sum(1, keepdim=True).expand_as(hidden)
        hidden = hidden + self.second(torch.cat((hidden, pooled), -1))
        found = torch.cat((hidden, (hidden * share).sum(1, keepdim=True).expand_as(hidden), pooled), -1)
        exists = (torch.arange(1, WAVES + 1, device=path.device) <= length)[:, None]  # no wave shorter than two frames
        falling = torch.arange(1, WAVES + 1, dtype=path.dtype, device=path.device).rsqrt()
        course = torch.where(exists, self.course(found) * size[..., None] * falling, 0.0)
        log_var = self.doubt(found.detach()).clamp(*LOG_VAR_RANGE) + 2 * size.detach().log()[..., None]
        return course.transpose(1, 2), log_var.transpose(1, 2)


def average_course(network: GapNetwork, path: Tensor, gaps: Gaps) -> tuple[Tensor, Tensor]:
    """Return what `network` returns, the mean over four readings of each gap: forwards and backwards in time, with and
    without the hand's posture.

    The network learned all four, and their errors differ. Motion backwards is filled as motion forwards is. The
    readings' own variance is added to the network's.
    """
    last = path.shape[1] - 1
    reversed_gaps = Gaps(gaps.row, last - gaps.after, last - gaps.before, gaps.known.flip(1))
    signs = (-1.0) ** torch.arange(WAVES, dtype=path.dtype, device=path.device)[:, None]  # of sin(k pi (1 - t))
    courses, log_vars = [], []
    for posture in (None, path.new_zeros(len(gaps.row))):
        for seen, which, sign in ((path, gaps, signs.abs()), (path.flip(1), reversed_gaps, signs)):
            course, log_var = network(seen, which, posture)
            courses.append(course * sign)
            log_vars.append(log_var)
    found = torch.stack(courses)
    variance = torch.stack(log_vars).exp().mean(0) + found.var(0, unbiased=False)
    return found.mean(0), variance.log()


def sines(into: Tensor) -> Tensor:
    """Return the waves [..., WAVES] at how far into the gap a frame lies, [...] in 0..1; zero outside."""
    numbers = torch.arange(1, WAVES + 1, dtype=into.dtype, device=into.device)
    inside = (into > 0) & (into < 1)
    return torch.where(inside[..., None], torch.sin(math.pi * into[..., None] * numbers), 0.0)


def _layers(size_in: int, width: int, size_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size_in, width), nn.SiLU(), nn.Linear(width, size_out), nn.SiLU())
