"""Chebyshev graph convolutions on fixed graphs, and the three-level decoder built of them.

Written here: on graphs of some hundred nodes shared by a whole batch a dense product is the fastest form, and
torch-geometric would be a dependency for twenty lines. Source: Defferrard et al. 2016; blocks as in IntagHand.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from hmpfit.regressors.handdgcl.hierarchy import Hierarchy, laplacian
from hmpfit.regressors.handdgcl.switches import HandDgclSwitches


def spread(matrix: Tensor, nodes: Tensor) -> Tensor:
    """Return matrix [m, n] or [B, m, n] times nodes [B, n, C]; one matrix for all is one product, not B of them."""
    if matrix.ndim == 3:
        return matrix @ nodes
    flat = matrix @ nodes.transpose(0, 1).flatten(1)
    return flat.unflatten(1, (len(nodes), nodes.shape[-1])).transpose(0, 1)


class Chebyshev(nn.Module):
    """sum over k < order of T_k(L) x W_k, plus a bias."""

    def __init__(self, into: int, out: int, order: int) -> None:
        super().__init__()
        self.order = order
        self.mix = nn.Linear(order * into, out)
        nn.init.xavier_uniform_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def forward(self, nodes: Tensor, scaled_laplacian: Tensor) -> Tensor:
        """Filter nodes [B, n, C] with a Laplacian [n, n] or [B, n, n] whose eigenvalues lie in -1..1."""
        terms = [nodes]
        if self.order > 1:
            terms.append(spread(scaled_laplacian, nodes))
        for _ in range(2, self.order):
            terms.append(2 * spread(scaled_laplacian, terms[-1]) - terms[-2])
        out: Tensor = self.mix(torch.cat(terms, dim=-1))
        return out


class ResidualBlock(nn.Module):
    """Two convolutions beside a linear shortcut, normalized together."""

    def __init__(self, into: int, out: int, order: int, dropout: float) -> None:
        super().__init__()
        self.first, self.second = Chebyshev(into, out, order), Chebyshev(out, out, order)
        self.inside, self.outside = nn.LayerNorm(out, eps=1e-6), nn.LayerNorm(out, eps=1e-6)
        self.shortcut, self.dropout = nn.Linear(into, out), nn.Dropout(dropout)

    def forward(self, nodes: Tensor, scaled_laplacian: Tensor) -> Tensor:
        """Map [B, n, C] to [B, n, C']."""
        inner = self.inside(self.first(nodes, scaled_laplacian)).relu()
        inner = self.dropout(self.second(inner, scaled_laplacian))
        out: Tensor = self.outside(inner + self.shortcut(nodes))
        return out


class GraphDecoder(nn.Module):
    """The main GCN of one hand: coarse node features -> features on four times as many nodes."""

    def __init__(self, switches: HandDgclSwitches, hierarchy: Hierarchy) -> None:
        super().__init__()
        self.places = nn.ParameterList()
        self.levels = nn.ModuleList()
        self.laplacians: list[str] = []
        for level, ((into, out), graph) in enumerate(zip(pairwise(switches.dims), hierarchy.adjacency)):
            self.places.append(nn.Parameter(torch.randn(len(graph), into) * 0.5))
            widths = [into] + [out] * switches.blocks
            self.levels.append(
                nn.ModuleList([ResidualBlock(a, b, switches.order, switches.dropout) for a, b in pairwise(widths)])
            )
            # Fixed by the mesh, so it is no part of the weights.
            self.register_buffer(f"laplacian{level}", _float32(laplacian(graph)), persistent=False)
            self.laplacians.append(f"laplacian{level}")

    def forward(self, nodes: Tensor, coarsest_laplacian: Tensor | None = None) -> Tensor:
        """Map nodes [B, n, C] of the coarsest graph to [B, 4 n, C'].

        `coarsest_laplacian` [B, n, n] stands in for the mesh's own where edges are disturbed.
        """
        for level, (place, blocks, name) in enumerate(zip(self.places, self._blocks(), self.laplacians)):
            if level:
                nodes = nodes.repeat_interleave(2, dim=1)
            graph = getattr(self, name)
            if level == 0 and coarsest_laplacian is not None:
                graph = coarsest_laplacian
            nodes = nodes + place
            for number, block in enumerate(blocks):
                nodes = block(nodes.relu() if number else nodes, graph)
        return nodes

    def _blocks(self) -> Sequence[nn.ModuleList]:
        return [level for level in self.levels if isinstance(level, nn.ModuleList)]


def _float32(array: object) -> Tensor:
    return torch.as_tensor(array, dtype=torch.float32)
