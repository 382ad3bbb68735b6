"""DGCLNet: the branch that only training has, with the disturbance and the pools of both hands.

Separate from the network, so that what is shipped and run is the network alone (Han et al. 2023, section 3.1).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hmpfit.regressors.handdgcl.chebyshev import GraphDecoder
from hmpfit.regressors.handdgcl.contrast import Contrast, FeaturePosePool, pose_direction
from hmpfit.regressors.handdgcl.disturbance import Disturbance
from hmpfit.regressors.handdgcl.hierarchy import Hierarchy
from hmpfit.regressors.handdgcl.switches import HandDgclSwitches


class DisturbingBranch(nn.Module):
    """Makes each hand's disturbed copy, decodes it with the hand's own GCN, and remembers."""

    def __init__(
        self, switches: HandDgclSwitches, gcns: Sequence[GraphDecoder], hierarchies: Sequence[Hierarchy]
    ) -> None:
        super().__init__()
        self.switches = switches
        alike = len({len(hierarchy.positions) for hierarchy in hierarchies}) == 1
        shared = hierarchies[:1] if alike else hierarchies  # both hands share it where their graphs are of one size
        self.disturb = nn.ModuleList([Disturbance(switches, len(hierarchy.positions)) for hierarchy in shared])
        self.pools = nn.ModuleList([FeaturePosePool(g, switches, len(h.positions)) for g, h in zip(gcns, hierarchies)])
        for side, hierarchy in enumerate(hierarchies):
            edges = torch.as_tensor(hierarchy.adjacency[0], dtype=torch.float32)
            self.register_buffer(f"edges{side}", edges, persistent=False)

    def forward(self, graph: Tensor, decoded: Tensor, gcns: Sequence[GraphDecoder]) -> list[Contrast]:
        """Return what the contrastive losses need of graphs [B, 2, n, C] and of what the GCNs made of them."""
        found = []
        for side, (gcn, pool) in enumerate(zip(gcns, self._pools())):
            disturb = self.disturb[side % len(self.disturb)]
            # A draw depends on the number of pairs seen, so that a resumed training repeats it.
            generator = torch.Generator().manual_seed(2 * int(pool.filled) + side)
            made = disturb(graph[:, side], getattr(self, f"edges{side}"), generator)
            again = gcn(made.nodes, made.laplacian)
            found.append(
                Contrast(
                    decoded[:, side], again, *pool.known(), made.joints, self.switches.temperature,
                    self.switches.similarity,
                )
            )  # fmt: skip
        return found

    @torch.no_grad()
    def remember(self, graph: Tensor, gcns: Sequence[GraphDecoder], joints: Tensor, valid: Tensor) -> None:
        """Put the known hands of a batch into the pools: graphs [B, 2, n, C], joints [B, 2, 21, 3], valid [B, 2]."""
        for side, (gcn, pool) in enumerate(zip(gcns, self._pools())):
            known = valid[:, side] > 0
            if bool(known.any()):
                pool.put(gcn, graph[known, side], pose_direction(joints[known, side]))

    def _pools(self) -> list[FeaturePosePool]:
        return [pool for pool in self.pools if isinstance(pool, FeaturePosePool)]
