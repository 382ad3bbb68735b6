"""Graph features made a little different: the paper's generative branch, and the explicit ways it is compared with.

Training only. Source: Han et al. 2023, section 3.2; how strong the explicit disturbances are is ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hmpfit.regressors.handdgcl.graph_unet import GraphUNet
from hmpfit.regressors.handdgcl.switches import DISTURBANCES, HandDgclSwitches
from hmpfit.skeleton import OPENPOSE_21

MASKED_SHARE, NOISE_STD, EDGE_SHARE = 0.1, 0.1, 0.05  # of features, of a unit feature, of pairs of nodes


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
        self.kind = switches.disturbance
        width = switches.dims[0]
        if self.kind == "unet":
            self.generate = GraphUNet(width, switches.unet_depth, switches.unet_ratio, switches.dropout)
            self.read_pose = nn.Linear(nodes * width, len(OPENPOSE_21) * 3)  # equation 4, linear
            nn.init.normal_(self.read_pose.weight, std=1e-4)
            nn.init.zeros_(self.read_pose.bias)

    def forward(self, nodes: Tensor, edges: Tensor, generator: torch.Generator | None = None) -> Disturbed:
        """Disturb graph features [B, n, C] of the graph with edges [n, n]; explicit ones draw from the generator."""
        if self.kind == "unet":
            made = self.generate(nodes, edges)
            return Disturbed(made, joints=self.read_pose(made.flatten(1)).unflatten(-1, (-1, 3)))
        if self.kind == "mask":
            kept = _uniform((len(nodes), 1, nodes.shape[-1]), nodes, generator) >= MASKED_SHARE
            return Disturbed(nodes * kept)
        if self.kind == "noise":
            drawn = torch.randn(nodes.shape, generator=generator).to(nodes)
            return Disturbed(nodes + NOISE_STD * drawn)
        count = len(edges)
        chosen = (_uniform((len(nodes), count, count), nodes, generator) < EDGE_SHARE).triu(1)
        chosen = (chosen | chosen.mT).to(nodes.dtype)
        present = (edges > 0).to(nodes.dtype)
        changed = (present + chosen).clamp_max(1) if self.kind == "random_edge" else (present - chosen).abs()
        return Disturbed(nodes, laplacian=scaled_laplacian(changed))


def scaled_laplacian(edges: Tensor) -> Tensor:
    """Return normalized Laplacians [B, n, n] of 0/1 graphs, shifted into -1..1 (largest eigenvalue taken as 2)."""
    degree = edges.sum(-1)
    inverse = torch.where(degree > 0, degree.clamp_min(1e-12).rsqrt(), torch.zeros_like(degree))
    return -inverse[..., None] * edges * inverse[..., None, :]


def _uniform(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(shape, generator=generator).to(like.device)
