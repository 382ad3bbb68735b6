"""Lay two hands apart that a stage left in each other: the shortest moves, as the objective measures them.

Both hands are one system here: six numbers a frame (their translations), the objective's own second-order model around
the solution as it is, chained over time by its smoothness terms, and the penetration term on top. A banded solve costs
next to nothing, so most of the time goes into finding where the hands are.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from hmpfit.fitting.contacts import Pairs, Planes
from hmpfit.fitting.linearize import linearize
from hmpfit.fitting.problem import Problem, WeightedTerm
from hmpfit.fitting.term import Motion

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


def lay_apart(problem: Problem, motion: Motion, item: WeightedTerm, how: dict[str, Any], pairs: Pairs) -> Motion:
    """Return the motion with the translations of hands changed that are in each other; nothing else changes.

    `item` is the penetration term as the stage weighs it. Looks at the meshes up to `how["looks"]` times; the hands aim
    at `how["skin_m"]` metres between their surfaces.
    """
    terms = tuple(one for one in problem.terms if one.term.reads not in (*_OF_WINDOWS, "contact"))
    rigid = replace(problem, terms=terms, free=RIGID)
    meetings = pairs.meetings(motion, problem.points(motion))
    blocks = None
    moved = motion.transl.clone()
    for meeting in meetings:
        right, left = meeting.rows
        planes = meeting.planes(pairs.bodies)
        if not planes.touching:
            continue
        if blocks is None:
            blocks = linearize(rigid, replace(motion, latent=None, six=None))
        flips = [pairs.flips[row].double().cpu().numpy() for row in meeting.rows]
        stiffness = _joined([_of_hand(blocks, row, flip) for row, flip in zip(meeting.rows, flips)])
        move = np.zeros((motion.transl.shape[1], 6))
        for look in range(int(how["looks"])):
            if look:
                planes = meeting.moved(torch.as_tensor(move)).planes(pairs.bodies)
            if not planes.touching:
                break
            rows = planes.rows(meeting.frames, float(how["skin_m"]))
            move = _settled(stiffness, _one_way(rows, len(move)), item, move)
            if look == 0:
                meeting = meeting.some(_around(planes))
        for row, part, flip in ((right, move[:, :3], flips[0]), (left, move[:, 3:], flips[1])):
            moved[row] = motion.transl[row] + torch.as_tensor(part * flip).to(moved)
    return replace(motion, transl=moved)


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


def _settled(stiffness: _Stiffness, rows: tuple[Array, Array, Array, Array], item: WeightedTerm, start: Array) -> Array:
    """Minimise d' H d + weight sum rho(depth) over both hands' moves [T, 6], by reweighted least squares.

    `rows`: frames [N], ways [N, 6] in which the depth shrinks, depths [N] where the hands are at `start`, shares [N].
    """
    frames, ways, depth, share = rows
    at = frames.astype(np.int64)
    held, starts = np.unique(at, return_index=True)  # rows come frame by frame
    depth = depth + (ways * start[at]).sum(1)  # where the hands were at first
    move = start
    for _ in range(_ROUNDS):
        now = depth - (ways * move[at]).sum(1)
        squared = torch.as_tensor(np.maximum(now, 0) ** 2)
        weight = item.weight * share * item.kernel.weight(squared).numpy() * (now > -_SLACK_M)
        own, pull = stiffness.own.copy(), np.zeros_like(move)
        own[held] += np.add.reduceat((weight[:, None, None] * ways[:, :, None]) * ways[:, None, :], starts)
        pull[held] = np.add.reduceat((weight * depth)[:, None] * ways, starts)
        after = _solve(own, stiffness.following, pull)
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
