"""Disturb graph features: the paper's generative branch, and the explicit ways it is compared with.

Training only. Source: Han et al. 2023, section 3.2; how strong the explicit disturbances are is ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hmpfit.regressors.handdgcl.graph_unet import GraphUNet
from hmpfit.regressors.handdgcl.switches import DISTURBANCES, HandDgclSwitches
from hmpfit.skeleton import OPENPOSE_21


@dataclass(frozen=True)
class Disturbed:
    """The disturbed graph of one hand; `laplacian` [B, n, n] only where edges were changed."""

    nodes: Tensor  # [B, n, C]
    laplacian: Tensor | None = None
    joints: Tensor | None = None  # [B, 21, 3] that the generative branch reads from it


class Disturbance(nn.Module):
    """F_gen of equation 1, or one of the explicit disturbances; both hands share it."""

    def __init__(self, switches: HandDgclSwitches, nodes: int) -> None:
        super().__init__()
        assert switches.disturbance in DISTURBANCES, switches.disturbance
        self.switches, self.kind = switches, switches.disturbance
        width = switches.dims[0]
        if self.kind == "unet":
            self.generate = GraphUNet(width, switches.unet_depth, switches.unet_ratio, switches.dropout)
            self.read_pose = nn.Linear(nodes * width, len(OPENPOSE_21) * 3)  # equation 4, linear
            nn.init.normal_(self.read_pose.weight, std=1e-4)
            nn.init.zeros_(self.read_pose.bias)

    def forward(self, nodes: Tensor, edges: Tensor, generator: torch.Generator | None = None) -> Disturbed:
        """Disturb graph features [B, n, C] of the graph with weighted edges [n, n]; explicit ones draw anew each time.

        What the paper prints: (a) a random mask on the feature dimension, one for all nodes of a graph, (b) random
        noise on the features, (c) random edges added, (d) edges flipped: those chosen go where they are and come where
        they are not. Only what was drawn changes: a new edge weighs as much as the graph's mean edge.
        """
        if self.kind == "unet":
            made = self.generate(nodes, edges)
            return Disturbed(made, joints=self.read_pose(made.flatten(1)).unflatten(-1, (-1, 3)))
        if self.kind == "mask":
            kept = _uniform((len(nodes), 1, nodes.shape[-1]), nodes, generator) >= self.switches.mask_share
            return Disturbed(nodes * kept)
        if self.kind == "noise":
            drawn = torch.randn(nodes.shape, generator=generator).to(nodes)
            return Disturbed(nodes + self.switches.noise_std * drawn)
        count = len(edges)
        chosen = (_uniform((len(nodes), count, count), nodes, generator) < self.switches.edge_share).triu(1)
        chosen, present = chosen | chosen.mT, edges > 0
        mean = edges.sum() / present.sum().clamp_min(1)
        changed = torch.where(chosen & ~present, mean, edges.expand_as(chosen))
        if self.kind == "flip_edge":
            changed = torch.where(chosen & present, torch.zeros_like(changed), changed)
        return Disturbed(nodes, laplacian=scaled_laplacian(changed))


@torch.no_grad()
def scaled_laplacian(edges: Tensor) -> Tensor:
    """Return normalized Laplacians [B, n, n] of weighted graphs, scaled to -1..1 as `hierarchy.laplacian` does."""
    degree = edges.sum(-1)
    inverse = torch.where(degree > 0, degree.clamp_min(1e-12).rsqrt(), torch.zeros_like(degree))
    unit = torch.eye(edges.shape[-1], dtype=edges.dtype, device=edges.device)
    plain = unit - inverse[..., None] * edges * inverse[..., None, :]
    largest = torch.linalg.eigvalsh(plain)[..., -1, None, None]
    return 2 / largest * plain - unit


def _uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(shape, generator=generator).to(like.device)
