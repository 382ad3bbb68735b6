"""Place two hands beside each other: out of each other, near in depth where their pictures meet; the shortest moves.

Both hands are one system here: six numbers a frame (their translations), the objective's own second-order model around
the solution as it is, chained over time by its smoothness terms, and on top the penetration term and what
`near_in_depth.py` says. A banded solve costs next to nothing; most of the time goes into finding where the hands are.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from hmpfit.fitting.kernels import Kernel
from hmpfit.fitting.normal_equations.linearize import linearize
from hmpfit.fitting.problem import Problem, WeightedTerm
from hmpfit.fitting.term import Motion
from hmpfit.fitting.two_hands.contacts import Pairs, Planes

Array = NDArray[np.float64]

RIGID = ("global_orient", "transl", "betas")
_OF_WINDOWS = ("latent", "overlap")  # terms that do not change while fingers stay as they are
_STILL_M = 1e-5
_ROUNDS = 12  # of reweighting between two looks at the meshes
_SLACK_M = 2e-4  # a plane just left behind still counts, so that hands come to rest at it
_NEIGHBOURS = 3  # frames that agree on the side on which hands leave each other
_AGAINST = 0.3  # cosine against it, from which a plane is left out
_MOVES = slice(3, 6)  # the translation's columns of a frame


@dataclass(frozen=True)
class _Stiffness:
    """What moving both hands costs: d' H d, H block tridiagonal over frames."""

    own: Array  # [T, 6, 6] right hand, left hand, camera's frame
    following: Array  # [T - 1, 6, 6]


@dataclass(frozen=True)
class Pull:
    """What wants both hands moved: N residuals, each of a frame, that shrink as the hands go its way."""

    frames: Array  # [N] one frame after the other
    ways: Array  # [N, 6] of the right and the left hand, camera's frame
    size: Array  # [N] metres where the hands are at first
    share: Array  # [N]
    weight: float
    kernel: Kernel
    one_sided: bool  # whether nothing is left to do once the size is below 0


@dataclass(frozen=True)
class Placing:
    """Two hands of a problem, their stiffness, and the motion that they are moved from."""

    motion: Motion
    rows: tuple[int, int]
    flips: tuple[Array, Array]
    stiffness: _Stiffness
    near: Pull

    @classmethod
    def of(cls, problem: Problem, motion: Motion, pairs: Pairs, near: Pull) -> "Placing":
        """Look at the pair of a problem around a motion; `near` says what else than penetration moves the hands."""
        ((right, left),) = pairs.rows
        terms = tuple(one for one in problem.terms if one.term.reads not in (*_OF_WINDOWS, "contact"))
        rigid = replace(problem, terms=terms, free=RIGID)
        blocks = linearize(rigid, replace(motion, latent=None, six=None))
        flips = tuple(pairs.flips[row].double().cpu().numpy() for row in (right, left))
        stiffness = _joined([_of_hand(blocks, row, flip) for row, flip in zip((right, left), flips)])
        return cls(motion, (right, left), (flips[0], flips[1]), stiffness, near)

    def near_each_other(self) -> Array:
        """Return the moves [T, 6] of both hands that bring them near in depth, be they in each other or not."""
        return _settled(self.stiffness, (self.near,), np.zeros((self.motion.transl.shape[1], 6)))

    def apart(
        self, pairs: Pairs, points: Tensor, item: WeightedTerm, looks: int, skin_m: float, firmness: float
    ) -> Array:
        """Return the moves [T, 6] that also take them out of each other, `skin_m` metres between their surfaces.

        `item` is the penetration term as the stage weighs it, here `firmness` times, `points` [B, T, 21, 3] are the
        motion's. Looks at the meshes up to `looks` times.
        """
        near, move = self.near_each_other(), np.zeros((points.shape[1], 6))
        placed = self.moved(near)
        meetings = pairs.meetings(placed, points + (placed.transl - self.motion.transl)[:, :, None])
        for meeting in meetings:
            for look in range(looks):
                planes = meeting.moved(torch.as_tensor(move)).planes(pairs.bodies)
                if not planes.touching:
                    break
                frames, ways, depth, share = _one_way(planes.rows(meeting.frames, skin_m), len(move))
                depth = depth + (ways * move[frames.astype(np.int64)]).sum(1)  # where the hands were at first
                out = Pull(frames, ways, depth, share, firmness * item.weight, item.kernel, one_sided=True)
                move = _settled(self.stiffness, (out,), move)
                if look == 0:
                    meeting = meeting.some(_around(planes))
        return near + move

    def moved(self, move: Array) -> Motion:
        """Return the motion with both hands moved by [T, 6]."""
        transl = self.motion.transl.clone()
        for row, part, flip in zip(self.rows, (move[:, :3], move[:, 3:]), self.flips):
            transl[row] = self.motion.transl[row] + torch.as_tensor(part * flip).to(transl)
        return replace(self.motion, transl=transl)


def _around(planes: Planes) -> Tensor:
    """Tell in which frames the hands are in each other, neighbouring frames included, [N]."""
    touching = (planes.gap > 0).any(1).float()[None, None]
    reach = 2 * _NEIGHBOURS + 1
    return torch.nn.functional.max_pool1d(touching, reach, 1, _NEIGHBOURS)[0, 0] > 0


def _one_way(rows: tuple[Array, Array, Array, Array], count: int) -> tuple[Array, Array, Array, Array]:
    """Leave out planes that would take a hand out on the other side than most of its depth, then and shortly after."""
    frames, ways, depth, share = rows
    at = frames.astype(np.int64)
    way = np.zeros((count, 6))
    np.add.at(way, at, ways * (np.maximum(depth, 0) * share)[:, None])
    way = gaussian_filter1d(way, _NEIGHBOURS, axis=0, mode="nearest")
    way /= np.linalg.norm(way, axis=1, keepdims=True).clip(1e-12)
    kept = ((way[at] * ways).sum(1) > -_AGAINST) | (depth <= 0)
    return frames[kept], ways[kept], depth[kept], share[kept]


def _settled(stiffness: _Stiffness, pulls: tuple[Pull, ...], start: Array) -> Array:
    """Minimise d' H d + sum of weight rho(size) over both hands' moves [T, 6], by reweighted least squares."""
    move = start
    for _ in range(_ROUNDS):
        own, right = stiffness.own.copy(), np.zeros_like(move)
        for pull in pulls:
            if not len(pull.frames):
                continue
            at = pull.frames.astype(np.int64)
            held, starts = np.unique(at, return_index=True)
            now = pull.size - (pull.ways * move[at]).sum(1)
            off = np.maximum(now, 0) if pull.one_sided else now
            weight = pull.weight * pull.share * pull.kernel.weight(torch.as_tensor(off**2)).numpy()
            if pull.one_sided:
                weight = weight * (now > -_SLACK_M)
            own[held] += np.add.reduceat(
                (weight[:, None, None] * pull.ways[:, :, None]) * pull.ways[:, None, :], starts
            )
            right[held] += np.add.reduceat((weight * pull.size)[:, None] * pull.ways, starts)
        after = _solve(own, stiffness.following, right)
        if np.abs(after - move).max() < _STILL_M:
            return after
        move = after
    return move


def _solve(own: Array, following: Array, right: Array) -> Array:
    """Solve the symmetric block-tridiagonal system, blocks [T, 6, 6] and [T - 1, 6, 6], right side [T, 6]."""
    count, size = right.shape
    bands = np.zeros((2 * size, count * size))  # lower form: bands[i - j, j]
    for i in range(size):
        for j in range(size):
            if i >= j:
                bands[i - j, j::size] = own[:, i, j]
            bands[size + i - j, j : (count - 1) * size : size] = following[:, j, i]
    bands[0] += 1e-6 * bands[0].max()
    return np.asarray(solveh_banded(bands, right.reshape(-1), lower=True).reshape(count, size))


def _of_hand(blocks: Any, row: int, flip: Array) -> tuple[Array, Array]:
    """Return a hand's stiffness against moves in the camera's frame, [T, 3, 3] and [T - 1, 3, 3]."""
    turn = flip[:, None] * flip
    parts = (blocks.frame[row, :, _MOVES, _MOVES], blocks.next[row, :, _MOVES, _MOVES])
    return tuple(part.double().cpu().numpy() * turn for part in parts)


def _joined(hands: list[tuple[Array, Array]]) -> _Stiffness:
    out = []
    for right, left in zip(*hands):
        both = np.zeros((len(right), 6, 6))
        both[:, :3, :3], both[:, 3:, 3:] = right, left
        out.append(both)
    return _Stiffness(out[0], out[1])
