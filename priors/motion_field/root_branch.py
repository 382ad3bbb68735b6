"""NeMF's global branch, `paper` size only: three more layers that decode the wrist's rotation.

Fitting never calls it (the wrist is free there); it exists so that the paper's size and its loss L_ori are complete.
"""

import torch
from torch import Tensor, nn

from hmpfit.priors.motion_field.sizes import Sizes

LAYERS = 3


class RootBranch(nn.Module):
    """Layers on [h, gamma(t), z, z_g], as the decoder's own, with a 6D output."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        extra = 2 * sizes.frequencies + sizes.latent + sizes.root_latent
        self.layers = nn.ModuleList(nn.Linear(sizes.width + extra, sizes.width) for _ in range(LAYERS))
        self.norms = nn.ModuleList(nn.LayerNorm(sizes.width) for _ in range(LAYERS))
        self.out = nn.Linear(sizes.width, 6)

    def forward(self, hidden: Tensor, gamma: Tensor, z: Tensor, z_root: Tensor) -> Tensor:
        """Decode hidden [B, T, width], gamma [T, 2F], z [B, L], z_root [B, L_g] to the wrist's 6D [B, T, 6]."""
        fixed = torch.cat((z, z_root), dim=-1)[:, None].expand(-1, len(gamma), -1)
        fixed = torch.cat((gamma.expand(len(z), -1, -1), fixed), dim=-1)
        for layer, norm in zip(self.layers, self.norms):
            hidden = torch.relu(norm(layer(torch.cat((hidden, fixed), dim=-1))))
        return self.out(hidden)
