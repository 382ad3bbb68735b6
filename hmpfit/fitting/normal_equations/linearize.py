"""Second-order model of a problem at a motion: the blocks of J'WJ and J'Wr, never a whole matrix.

Per frame a block over (rotation, translation[, pose]), chained to the next frame; bordered by the latents of the
frame's own and previous window and by the shape. What terms say is summed in `local_sums.py`; the chain to the unknowns
is the hand's analytic Jacobian and the decoder's (`latent_blocks.py`). A clip is gone through in pieces.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from hmpfit.fitting.normal_equations.blocks import ArrowheadSystem
from hmpfit.fitting.normal_equations.latent_blocks import PreviousWindow, add_latents
from hmpfit.fitting.normal_equations.local_sums import POSE, RIGID, SHAPE, LinearizationPoint, LocalSums
from hmpfit.fitting.pose_field import PoseField, WindowGroup
from hmpfit.fitting.problem import Problem, retract
from hmpfit.hands.kinematics import landmark_jacobian
from hmpfit.interfaces.term import Motion, cast, take_frames

__all__ = ["POSE", "RIGID", "SHAPE", "ArrowheadSystem", "linearize", "with_gradient"]

_HELD_STD = 1e-4  # of betas that are not free
FRAMES = {"cpu": 384, "cuda": 8192}  # of a piece where no latent is free; with latents it is a group of windows


@dataclass(frozen=True)
class _Chunk:
    """Frames first..last of the clip, and the group of windows that begin in them, which reach up to `stop`."""

    first: int
    last: int
    stop: int
    group: WindowGroup | None

    def seen(self, frames: int) -> tuple[int, int]:
        """Return the frames whose terms depend on these: one more on either side for the steps."""
        return max(self.first - 1, 0), max(self.stop, min(self.last + 1, frames))


def linearize(problem: Problem, motion: Motion, work: Problem | None = None) -> ArrowheadSystem:
    """Return the blocks of the Gauss-Newton model at `motion`, robust kernels taken as weights (IRLS).

    `motion` comes from `problem.motion`. `work` is the same problem in the dtype that derivatives and blocks shall have
    (default: the problem's own); residuals are always evaluated in the problem's.
    """
    work = work or problem
    low = cast(motion, work.kinematics.joints.dtype)
    field = work.field if "latent" in problem.free and low.latent is not None else None
    blocks = _empty(low, RIGID + POSE if "hand_pose" in problem.free else RIGID, field)
    frames = low.transl.shape[1]
    tail: PreviousWindow | None = None
    for piece in _pieces(frames, field, low.transl.device):
        first, last = piece.seen(frames)
        sums = _sums(problem, motion, low, work, first, last, begins=piece.first == 0)
        _put(blocks, sums, piece, first)
        if piece.group is not None:
            tail = add_latents(blocks, take_frames(low, first, last), sums, piece.group, first, tail)
    return blocks if "betas" in problem.free else _with_shape_held(blocks)


def _with_shape_held(blocks: ArrowheadSystem) -> ArrowheadSystem:
    """Return the blocks of a problem whose shape is known: nothing depends on it, and it does not move."""
    known = torch.eye(blocks.betas.shape[-1]).to(blocks.betas) / _HELD_STD**2
    return replace(
        blocks,
        frame_betas=torch.zeros_like(blocks.frame_betas),
        latent_betas=torch.zeros_like(blocks.latent_betas),
        betas=known.expand(blocks.betas.shape).clone(),
        g_betas=torch.zeros_like(blocks.g_betas),
    )


def with_gradient(blocks: ArrowheadSystem, problem: Problem, motion: Motion) -> ArrowheadSystem:
    """Return the blocks with the gradient at another motion, J'Wr by reverse mode: far less work than `linearize`."""
    zero = {"global_orient": motion.transl, "transl": motion.transl, "betas": motion.betas, "latent": motion.latent}
    zero["hand_pose"] = motion.hand_R[..., 0]
    with torch.enable_grad():
        at = {
            name: torch.zeros_like(like).requires_grad_() for name in problem.free if (like := zero[name]) is not None
        }
        cost = problem.own_cost(problem.motion(retract(motion, at)), filled=True).sum()
        found = dict(zip(at, torch.autograd.grad(cost, list(at.values()), allow_unused=True), strict=True))
    half = {name: 0.5 * g if (g := found.get(name)) is not None else torch.zeros_like(at[name]) for name in at}
    frame = [
        half.get("global_orient"),
        half.get("transl"),
        half["hand_pose"].flatten(2) if "hand_pose" in half else None,
    ]
    like = blocks.frame
    return blocks.with_gradient(
        torch.cat([part for part in frame if part is not None], dim=-1).to(like),
        half["betas"].to(like) if "betas" in half else blocks.g_betas,
        half["latent"].to(like) if "latent" in half else blocks.g_latent,
    )


def _pieces(frames: int, field: PoseField | None, device: torch.device) -> Iterator[_Chunk]:
    if field is None:
        most = FRAMES[device.type]
        for first in range(0, frames, most):
            last = min(first + most, frames)
            yield _Chunk(first, last, last, None)
        return
    segments, windows = field.layout.segments, field.layout.windows
    for group in field.groups:
        covered = group.windows
        yield _Chunk(segments[covered.start][0], segments[covered.stop - 1][1], windows[covered.stop - 1][1], group)


def _sums(
    problem: Problem, motion: Motion, low: Motion, work: Problem, first: int, last: int, begins: bool
) -> LocalSums:
    """Sum the terms' derivatives over frames first..last; those of shape and latents where the clip `begins`."""
    motion, low = take_frames(motion, first, last), take_frames(low, first, last)
    low_points, d_points = landmark_jacobian(work.kinematics, low.global_R, low.hand_R, low.betas[:, None], low.transl)
    if not ("hand_pose" in problem.free or ("latent" in problem.free and work.field is not None)):
        d_points = d_points[..., : RIGID + SHAPE]
    points = low_points if work is problem else problem.points(motion)
    evidence, low_evidence = (take_frames(one.evidence, first, last) for one in (problem, work))
    at = LinearizationPoint(problem, evidence, motion, points, low, low_points, low_evidence, d_points)
    sums = LocalSums(at, RIGID + POSE if "hand_pose" in problem.free else RIGID)
    for item in problem.terms:
        if begins or item.term.depends_on not in ("betas", "latent"):
            sums.add(at, item)
    return sums


def _empty(low: Motion, size: int, field: PoseField | None) -> ArrowheadSystem:
    b, t = low.transl.shape[:2]
    new = low.transl.new_zeros
    if field is None or low.latent is None:
        windows, latent, code = 1, 0, 0
    else:
        (windows, latent), code = low.latent.shape[1:], field.code_size
    return ArrowheadSystem(
        new(b, t, size, size), new(b, t, size, size), new(b, t, size, SHAPE), new(b, t, 2, size, code),
        new(b, SHAPE, SHAPE), new(b, windows, latent, latent), new(b, windows, latent, latent),
        new(b, windows, latent, SHAPE), new(b, t, size), new(b, SHAPE), new(b, windows, latent), field,
    )  # fmt: skip


def _put(blocks: ArrowheadSystem, sums: LocalSums, piece: _Chunk, start: int) -> None:
    """Put the sums over the frames from `start` on where the piece's frames lie in the blocks."""
    shape = slice(RIGID, RIGID + SHAPE)
    columns = torch.arange(sums.local.shape[-1], device=sums.local.device)
    columns = torch.cat((columns[:RIGID], columns[RIGID + SHAPE :]))[: sums.size]
    at, here = slice(piece.first, piece.last), slice(piece.first - start, piece.last - start)
    local, g_local = sums.local[:, here], sums.g_local[:, here]
    blocks.frame[:, at] = local[..., columns, :][..., columns]
    blocks.g_frame[:, at] = g_local[..., columns]
    blocks.frame_betas[:, at] = local[..., columns, :][..., shape]
    after = sums.first[:, here]  # of the steps that begin in a frame; the clip's last frame has none
    following = slice(piece.first, piece.first + after.shape[1])
    blocks.frame[:, following] += after
    blocks.g_frame[:, following] += sums.g_first[:, here]
    skipped = 1 if piece.first == 0 else 0  # and of those that end in it; the clip's first frame has none
    ends, steps = slice(piece.first + skipped, piece.last), slice(here.start + skipped - 1, here.stop - 1)
    blocks.frame[:, ends] += sums.second[:, steps]
    blocks.g_frame[:, ends] += sums.g_second[:, steps]
    blocks.before[:, ends] = sums.cross[:, steps]
    blocks.betas.add_(sums.betas + local[..., shape, shape].sum(1))
    blocks.g_betas.add_(sums.g_betas + g_local[..., shape].sum(1))
    if blocks.field is not None:
        torch.diagonal(blocks.latent, dim1=-2, dim2=-1).add_(sums.latent_diagonal)
        blocks.g_latent.add_(sums.g_latent)
