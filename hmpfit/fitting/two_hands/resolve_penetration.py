"""Move two overlapping hands apart by the shortest translations that the rest of the objective allows.

Both hands are one system here: six numbers a frame (their translations), the objective's own second-order model around
the solution, chained over time by its smoothness terms, and on top the term `penetration`. A banded solve costs next to
nothing; most of the time goes into finding where the meshes overlap.
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
from hmpfit.fitting.two_hands.contact_planes import CloseFrames, CollisionHand, ContactPlanes
from hmpfit.fitting.two_hands.hand_pairs import HandPairs
from hmpfit.interfaces.term import Motion

Array = NDArray[np.float64]

RIGID = ("global_orient", "transl", "betas")
_OF_WINDOWS = ("latent", "overlap")  # terms that do not change while fingers stay as they are
_CONVERGED_M = 1e-5
_IRLS_STEPS = 12  # of reweighting between two searches of the meshes
_SLACK_M = 2e-4  # a plane just left behind still counts, so that hands come to rest at it
_NEIGHBORS = 3  # frames that agree on the side on which hands leave each other
_OPPOSING = 0.3  # cosine against that side, from which a plane is left out
_TRANSL = slice(3, 6)  # the translation's columns of a frame


@dataclass(frozen=True)
class _Hessian:
    """What moving both hands costs: d' H d, H block tridiagonal over frames."""

    own: Array  # [T, 6, 6] right hand, left hand, camera's frame
    following: Array  # [T - 1, 6, 6]


@dataclass(frozen=True)
class OffsetResidual:
    """N one-sided residuals, each of a frame, that shrink as the hands are translated along `directions`."""

    frames: Array  # [N] one frame after the other
    directions: Array  # [N, 6] of the right and the left hand, camera's frame
    size: Array  # [N] meters before any translation; nothing is left to do below 0
    share: Array  # [N]
    weight: float
    kernel: Kernel


@dataclass(frozen=True)
class TranslationSolver:
    """Two hands of a problem, the Hessian of their translations, and the motion that they are moved from."""

    motion: Motion
    rows: tuple[int, int]
    flips: tuple[Array, Array]
    hessian: _Hessian

    @classmethod
    def of(cls, problem: Problem, motion: Motion, pairs: HandPairs) -> "TranslationSolver":
        """Linearize the pair of a problem around a motion."""
        ((right, left),) = pairs.rows
        terms = tuple(one for one in problem.terms if one.term.depends_on not in (*_OF_WINDOWS, "contact"))
        rigid = replace(problem, terms=terms, free=RIGID)
        blocks = linearize(rigid, replace(motion, latent=None, rot6d=None))
        flips = tuple(pairs.flips[row].double().cpu().numpy() for row in (right, left))
        hessian = _joined([_of_hand(blocks, row, flip) for row, flip in zip((right, left), flips)])
        return cls(motion, (right, left), (flips[0], flips[1]), hessian)

    def separate(
        self, close_frames: list[CloseFrames], hands: tuple[CollisionHand, CollisionHand], term: WeightedTerm,
        iterations: int, clearance_m: float, weight_factor: float,
    ) -> Array:  # fmt: skip
        """Return the translations [T, 6] that take both hands out of each other, `clearance_m` between their surfaces.

        `term` is the penetration term as the stage weighs it, here `weight_factor` times. The meshes are searched for
        overlap up to `iterations` times.
        """
        move = np.zeros((self.motion.transl.shape[1], 6))
        for close in close_frames:
            for iteration in range(iterations):
                planes = close.moved(torch.as_tensor(move)).planes(hands)
                if not planes.touching:
                    break
                frames, directions, depth, share = _without_opposing(
                    planes.residual_rows(close.frames, clearance_m), len(move)
                )
                depth = depth + (directions * move[frames.astype(np.int64)]).sum(1)  # before any translation
                weight = weight_factor * term.weight
                move = _irls(self.hessian, OffsetResidual(frames, directions, depth, share, weight, term.kernel), move)
                if iteration == 0:
                    close = close.select_frames(_near_contact(planes))
        return move

    def moved(self, move: Array) -> Motion:
        """Return the motion with both hands translated by [T, 6]."""
        transl = self.motion.transl.clone()
        for row, part, flip in zip(self.rows, (move[:, :3], move[:, 3:]), self.flips):
            transl[row] = self.motion.transl[row] + torch.as_tensor(part * flip).to(transl)
        return replace(self.motion, transl=transl)


def _near_contact(planes: ContactPlanes) -> Tensor:
    """Return in which frames the hands are in each other, neighboring frames included, [N]."""
    touching = (planes.gap > 0).any(1).float()[None, None]
    reach = 2 * _NEIGHBORS + 1
    return torch.nn.functional.max_pool1d(touching, reach, 1, _NEIGHBORS)[0, 0] > 0


def _without_opposing(rows: tuple[Array, Array, Array, Array], count: int) -> tuple[Array, Array, Array, Array]:
    """Leave out planes that would take a hand out on the other side than most of its depth, then and shortly after."""
    frames, directions, depth, share = rows
    at = frames.astype(np.int64)
    side = np.zeros((count, 6))
    np.add.at(side, at, directions * (np.maximum(depth, 0) * share)[:, None])
    side = gaussian_filter1d(side, _NEIGHBORS, axis=0, mode="nearest")
    side /= np.linalg.norm(side, axis=1, keepdims=True).clip(1e-12)
    kept = ((side[at] * directions).sum(1) > -_OPPOSING) | (depth <= 0)
    return frames[kept], directions[kept], depth[kept], share[kept]


def _irls(hessian: _Hessian, residual: OffsetResidual, start: Array) -> Array:
    """Minimize d' H d + sum of weight rho(size) over both hands' translations [T, 6], by reweighted least squares."""
    move, at = start, residual.frames.astype(np.int64)
    for _ in range(_IRLS_STEPS):
        own, right = hessian.own.copy(), np.zeros_like(move)
        if len(at):
            held, starts = np.unique(at, return_index=True)
            now = residual.size - (residual.directions * move[at]).sum(1)
            depth = np.maximum(now, 0)
            weight = residual.weight * residual.share * residual.kernel.weight(torch.as_tensor(depth**2)).numpy()
            weight = weight * (now > -_SLACK_M)
            outer = (weight[:, None, None] * residual.directions[:, :, None]) * residual.directions[:, None, :]
            own[held] += np.add.reduceat(outer, starts)
            right[held] += np.add.reduceat((weight * residual.size)[:, None] * residual.directions, starts)
        after = _solve(own, hessian.following, right)
        if np.abs(after - move).max() < _CONVERGED_M:
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
    """Return a hand's hessian against moves in the camera's frame, [T, 3, 3] and [T - 1, 3, 3]."""
    turn = flip[:, None] * flip
    parts = (blocks.frame[row, :, _TRANSL, _TRANSL], blocks.next[row, :, _TRANSL, _TRANSL])
    return tuple(part.double().cpu().numpy() * turn for part in parts)


def _joined(hands: list[tuple[Array, Array]]) -> _Hessian:
    out = []
    for right, left in zip(*hands):
        both = np.zeros((len(right), 6, 6))
        both[:, :3, :3], both[:, 3:, 3:] = right, left
        out.append(both)
    return _Hessian(out[0], out[1])
