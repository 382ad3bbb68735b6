"""The Graph U-Net that disturbs graph features: pool to the highest-scoring nodes, and scatter back.

Training only. Source: Gao and Ji 2019, "Graph U-Nets". Without the final sum with the input, which would let the
output be the input; HandDGCL's argument needs the bottleneck (docs/papers.md).
"""

import torch
from torch import Tensor, nn


class GraphUNet(nn.Module):
    """Down `depth` times to a share `ratio` of the nodes, and up again with skip sums."""

    def __init__(self, width: int, depth: int, ratio: float, dropout: float) -> None:
        super().__init__()
        self.ratio, self.dropout = ratio, nn.Dropout(dropout)
        self.down = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.score = nn.ModuleList([nn.Linear(width, 1) for _ in range(depth)])
        self.bottom = nn.Linear(width, width)
        self.up = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Disturb nodes [B, n, C] of graphs with edges [n, n] or [B, n, n], 1 where joined; return [B, n, C]."""
        batch, count = nodes.shape[:2]
        eye = torch.eye(count, dtype=nodes.dtype, device=nodes.device)
        graph = ((edges + eye) > 0).to(nodes.dtype).expand(batch, count, count)
        stack = []
        for layer, score in zip(self.down, self.score):
            nodes = self._convolve(nodes, graph, layer)
            value = score(nodes)[..., 0].sigmoid()
            kept = value.topk(max(2, int(self.ratio * nodes.shape[1])), dim=1).indices
            stack.append((nodes, graph, kept))
            nodes = (nodes * value[..., None]).gather(1, kept[..., None].expand(-1, -1, nodes.shape[-1]))
            graph = pooled_graph(graph, kept)
        nodes = self._convolve(nodes, graph, self.bottom)
        for layer, (skip, finer, kept) in zip(self.up, stack[::-1]):
            scattered = torch.zeros_like(skip).scatter(1, kept[..., None].expand(-1, -1, skip.shape[-1]), nodes)
            nodes = self._convolve(scattered, finer, layer) + skip
        return nodes

    def _convolve(self, nodes: Tensor, graph: Tensor, layer: nn.Module) -> Tensor:
        out: Tensor = layer(by_degree(graph) @ self.dropout(nodes)).relu()
        return out


def by_degree(graph: Tensor) -> Tensor:
    """Return a graph [B, n, n] whose rows sum to one."""
    return graph / graph.sum(-1, keepdim=True).clamp_min(1e-12)


def pooled_graph(graph: Tensor, kept: Tensor) -> Tensor:
    """Return the graph [B, k, k] of the kept nodes [B, k]: joined where a walk of two edges joined them before."""
    two = ((graph @ graph) > 0).to(graph.dtype)
    rows = two.gather(1, kept[..., None].expand(-1, -1, two.shape[-1]))
    return rows.gather(2, kept[:, None].expand(-1, kept.shape[1], -1))
