"""The in-betweener's objective: gaps cut into windows, and the distance of its course from the truth.

Apart from the VAE's objective because it needs neither decoder nor rotations: thousands of gaps cost what one window of
the whole network does.
"""

import torch
from torch import Tensor

from hmpfit.priors.motion_field.gap_network import WAVES, Gaps, sines

SHORTEST, LONGEST = 4, 62  # frames
LEAST_BESIDE = 3
NOISY_SHARE, NOISE = 0.25, 0.06  # of the gaps; largest deviation of a known frame, in the path's radians
BLIND_SHARE = 0.25  # of the gaps whose posture is withheld
FLOOR = 0.05  # radians: below it a gap counts by its error, not by the share of a straight line's
DOUBT_WEIGHT = 0.02


def sample_gaps(valid: Tensor, count: int, generator: torch.Generator) -> Gaps:
    """Cut up to `count` gaps into windows, valid [B, T]: whole runs of true frames, in contexts of many kinds."""
    batch, frames = valid.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    row = torch.randint(batch, (count,), generator=generator)
    slow = torch.rand(count, generator=generator) < 0.5
    even = uniform(SHORTEST, LONGEST + 1, count)
    log = (SHORTEST * (LONGEST / SHORTEST) ** uniform(0, 1, count)).round()
    length = torch.where(slow, even, log).long().clamp(max=frames - 2 * LEAST_BESIDE - 2)
    before = (LEAST_BESIDE + (frames - length - 2 * LEAST_BESIDE - 1) * uniform(0, 1, count)).long()
    after = before + length + 1
    here = torch.arange(frames)
    within = (here >= before[:, None]) & (here <= after[:, None])
    whole = (valid[row] | ~within).all(1)
    row, before, after, within = row[whole], before[whole], after[whole], within[whole]
    known = valid[row] & ~((here > before[:, None]) & (here < after[:, None]))
    left, right = uniform(3, 90, len(row), 1), uniform(3, 90, len(row), 1)
    near = (here >= before[:, None] - left) & (here <= after[:, None] + right)
    start = uniform(-20, frames, len(row), 1)
    other = (here >= start) & (here < start + uniform(4, 40, len(row), 1))
    sparse = torch.rand(len(row), frames, generator=generator) < uniform(0.0, 0.7, len(row), 1)
    kind = torch.rand(len(row), 1, generator=generator)
    seen = torch.where(kind < 0.4, near, torch.where(kind < 0.6, ~other, torch.where(kind < 0.7, ~sparse, kind < 2)))
    ends = (here == before[:, None]) | (here == after[:, None])
    return Gaps(row, before, after, known & (seen | ends))


def gap_loss(network: torch.nn.Module, path: Tensor, gaps: Gaps, generator: torch.Generator) -> dict[str, Tensor]:
    """Return the loss ("total"), "gap_to_line" (error over a straight line's, 1 = no gain) and "doubt".

    path [B, T, C] is the truth. The error is the mean distance in path space, absolute, so that large motion counts as
    it does in millimeters, plus a share of it relative to the line's, so that slow motion counts too.
    """
    device = path.device
    size = torch.rand(len(path), 1, 1, generator=generator)
    size = (size * NOISE * (torch.rand(len(path), 1, 1, generator=generator) < NOISY_SHARE)).to(device)
    seen = path + size * torch.randn(path.shape, generator=generator).to(device)
    posture = (torch.rand(len(gaps.row), generator=generator) >= BLIND_SHARE).to(path.dtype).to(device)
    course, log_var = network(seen, gaps, posture)
    into = gaps.into().to(path.dtype)
    profile, hidden = sines(into), ((into > 0) & (into < 1)).to(path.dtype)
    start, end = seen[gaps.row, gaps.before], seen[gaps.row, gaps.after]
    line = start[:, None] + (end - start)[:, None] * into[..., None]
    rest = (path[gaps.row] - line) * hidden[..., None]
    frames = hidden.sum(1)
    by_line = ((rest.square().sum(-1) + 1e-8).sqrt() * hidden).sum(1) / frames
    error = (((rest - profile @ course).square().sum(-1) + 1e-8).sqrt() * hidden).sum(1) / frames
    relative = (error / (by_line.mean() + 0.2 * FLOOR)).mean() + 0.3 * (error / (by_line + FLOOR)).mean()
    waves = profile.mT @ rest * (2 / (frames + 1))[:, None, None]  # the sine transform is orthogonal
    exists = (torch.arange(1, WAVES + 1, device=device) <= frames[:, None])[..., None]
    doubt = 0.5 * (log_var + (waves - course.detach()).square() * (-log_var).exp())
    doubt = doubt[exists.expand_as(doubt)].mean()
    return {"total": relative + DOUBT_WEIGHT * doubt, "gap_to_line": error.mean() / by_line.mean(), "doubt": doubt}
