"""Convolutions in time over the hand's joint tree, the encoder's building block (docs/method.md section 5).

A joint hears only joints at graph distance <= 2; pooling joins a finger's outer joints, then the whole finger. Tensors
are [B, joints * channels, T], a joint's channels side by side.
"""

from itertools import product

import torch
from torch import Tensor, nn

from hmpfit.skeleton import FINGERS, MANO_JOINTS, MANO_PARENTS

REACH = 2
Tree = tuple[int, ...]  # parent of each joint, -1 for the root


def pooled_levels() -> tuple[tuple[Tree, tuple[tuple[int, ...], ...]], ...]:
    """Return per encoder level its joint tree and the groups of its joints that the level's end pools into one.

    16 -> 11 (outer two joints of each finger) -> 6 (each finger) -> 6.
    """
    order = sorted({name[:-1] for name in MANO_JOINTS[1:]}, key=lambda finger: MANO_JOINTS.index(f"{finger}1"))
    assert set(order) == set(FINGERS)
    outer = [(0,)] + [group for f in range(5) for group in ((3 * f + 1,), (3 * f + 2, 3 * f + 3))]
    whole = [(0,)] + [(2 * f + 1, 2 * f + 2) for f in range(5)]
    star = (-1, 0, 0, 0, 0, 0)
    two = (-1, *(parent for f in range(5) for parent in (0, 2 * f + 1)))
    same = tuple((joint,) for joint in range(6))
    return (MANO_PARENTS, tuple(outer)), (two, tuple(whole)), (star, same), (star, same)


def neighbors(tree: Tree) -> Tensor:
    """Return which joints [J, J] of a tree lie within `REACH` bones of each other."""
    adjacent = torch.eye(len(tree))
    for child, parent in enumerate(tree):
        if parent >= 0:
            adjacent[child, parent] = adjacent[parent, child] = 1
    return torch.linalg.matrix_power(adjacent, REACH) > 0


class SkeletonConvolution(nn.Module):
    """A convolution in time whose weights between distant joints do not exist."""

    def __init__(self, tree: Tree, channels_in: int, channels_out: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        joints, self.stride, self.padding = len(tree), stride, padding
        near = neighbors(tree)
        mask = near.repeat_interleave(channels_out, 0).repeat_interleave(channels_in, 1)[..., None]
        self.register_buffer("mask", mask.float(), persistent=False)
        fan_in = near.sum(1).float().repeat_interleave(channels_out) * channels_in * kernel
        bound = fan_in.rsqrt()
        self.weight = nn.Parameter(
            (torch.rand(joints * channels_out, joints * channels_in, kernel) * 2 - 1) * bound[:, None, None] * mask
        )
        self.bias = nn.Parameter((torch.rand(joints * channels_out) * 2 - 1) * bound)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [B, J * in, T] to [B, J * out, T / stride]."""
        assert isinstance(self.mask, Tensor)
        weight = self.weight * self.mask
        return nn.functional.conv1d(x, weight, self.bias, stride=self.stride, padding=self.padding)


class SkeletonBlock(nn.Module):
    """A residual block: half the time steps, more channels, then pooled joints."""

    def __init__(
        self, tree: Tree, groups: tuple[tuple[int, ...], ...], channels_in: int, channels_out: int, extra: int
    ) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for _ in range(extra):
            steps += [SkeletonConvolution(tree, channels_in, channels_in, 3, 1, 1), nn.Tanh()]
        steps += [SkeletonConvolution(tree, channels_in, channels_out, 4, 2, 1)]
        steps += [nn.GroupNorm(4, len(tree) * channels_out)]
        self.residual = nn.Sequential(*steps)
        self.shortcut = SkeletonConvolution(tree, channels_in, channels_out, 1, 2, 0)
        pool = torch.zeros(len(groups), len(tree))
        for row, joint in product(range(len(groups)), range(len(tree))):
            if joint in groups[row]:
                pool[row, joint] = 1 / len(groups[row])
        self.register_buffer("pool", pool, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, J * in, T] to [B, J' * out, T / 2]."""
        assert isinstance(self.pool, Tensor)
        x = torch.tanh(self.residual(x) + self.shortcut(x))
        if self.pool.shape[0] == self.pool.shape[1]:
            return x
        return torch.einsum("pj,bjct->bpct", self.pool, x.unflatten(1, (self.pool.shape[1], -1))).flatten(1, 2)
