"""The contrastive half of HandDGCL's training: pairs, the queue of earlier pairs, and the two losses.

Training only. Source: Han et al. 2023, equations 3, 5, 6 and 11 to 13; the queue and its slow network from MoCo
(He et al. 2020).
"""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hmpfit.regressors.handdgcl.chebyshev import GraphDecoder
from hmpfit.regressors.handdgcl.switches import HandDgclSwitches
from hmpfit.skeleton import OPENPOSE_MIDDLE_MCP


@dataclass(frozen=True)
class Contrast:
    """One hand's decoded nodes and their disturbed copies, with the pool's features and poses."""

    decoded: Tensor  # [B, 4 n, C]
    disturbed: Tensor  # [B, 4 n, C]
    queue: Tensor  # [Q, D]
    queued_poses: Tensor  # [Q, 63]
    read_joints: Tensor | None  # [B, 21, 3] by the generative branch, about the middle knuckle
    temperature: float
    similarity: bool


def embed(decoded: Tensor) -> Tensor:
    """Return unit vectors [B, D] of decoded nodes [B, 4 n, C]: averaged over the four below each coarsest node.

    The average is ours: a queue of 2,048 features of 4 n nodes would take a quarter of a gigabyte.
    """
    pooled = decoded.unflatten(1, (-1, 4)).mean(2)
    return nn.functional.normalize(pooled.flatten(1), dim=-1)


def pose_direction(joints: Tensor) -> Tensor:
    """Return unit vectors [B, 63] of joints [B, 21, 3] about the middle knuckle; their products are equation 6."""
    rooted = joints - joints[:, OPENPOSE_MIDDLE_MCP, None]
    return nn.functional.normalize(rooted.flatten(1), dim=-1)


def self_contrast(features: Tensor, disturbed: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Return L_self (equation 13), a mean log-likelihood, at most 0.

    Of each feature [B, D] to know its disturbed copy [B, D] among the batch's and among the queue's [Q, D].
    """
    scores = torch.cat((features @ disturbed.T, features @ queue.T), dim=1) / temperature
    return scores.log_softmax(dim=1).diagonal().mean()


def cross_contrast(features: Tensor, poses: Tensor, queue: Tensor, queued_poses: Tensor) -> Tensor:
    """Return L_cross (equation 12) as a root mean square over pairs: likeness of features against that of poses.

    Pairs are the batch [B, D] with itself and with the queue [Q, D]; likeness of poses [B, 63] is at least 0.
    """
    predicted = torch.cat((features @ features.T, features @ queue.T), dim=1)
    true = torch.cat((poses @ poses.T, poses @ queued_poses.T), dim=1).clamp_min(0)
    return ((predicted - true).square().mean() + 1e-12).sqrt()


class FeaturePosePool(nn.Module):
    """The last `size` pairs of feature and pose of one hand, and the slow copy of its GCN that makes the features."""

    features: Tensor
    poses: Tensor
    filled: Tensor

    def __init__(self, gcn: GraphDecoder, switches: HandDgclSwitches, nodes: int) -> None:
        super().__init__()
        self.slow = copy.deepcopy(gcn).requires_grad_(False)
        self.momentum = switches.momentum
        self.register_buffer("features", torch.zeros(switches.queue, nodes * switches.dims[-1]))
        self.register_buffer("poses", torch.zeros(switches.queue, 63))
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))  # pairs ever put in

    def known(self) -> tuple[Tensor, Tensor]:
        """Return the features [Q, D] and poses [Q, 63] that are there, without gradient."""
        count = min(int(self.filled), len(self.features))
        return self.features[:count].clone(), self.poses[:count].clone()

    @torch.no_grad()
    def put(self, gcn: GraphDecoder, graph: Tensor, poses: Tensor) -> None:
        """Move the slow network towards the fast one, and put what it makes of graphs [B, n, C] over the oldest."""
        for slow, fast in zip(self.slow.parameters(), gcn.parameters()):
            slow.lerp_(fast, 1 - self.momentum)
        was = self.slow.training
        made = embed(self.slow.eval()(graph))
        self.slow.train(was)
        start, size = int(self.filled) % len(self.features), len(self.features)
        rows = (start + torch.arange(len(made), device=made.device)) % size
        self.features[rows], self.poses[rows] = made.to(self.features), poses.to(self.poses)
        self.filled += len(made)
