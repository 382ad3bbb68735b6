"""The prior's losses, unreduced where a reader may want to look closer (docs/method.md section 5).

Apart from the training loop, because fitting and evaluation measure with the same functions.
"""

import torch
from torch import Tensor

from hmpfit.geometry import rotations


def geodesic(rot6d: Tensor, target_R: Tensor) -> Tensor:
    """Return the angle in radians, [...], between decoded 6D rotations [..., 6] and rotations [..., 3, 3].

    From the chord, so that its gradient stays finite at zero angle: |A - B|_F = 2 sqrt(2) sin(angle / 2).
    """
    chord = (rotations.from_6d(rot6d) - target_R).square().sum((-1, -2)).add(1e-10).sqrt() / 8**0.5
    return 2 * torch.asin(chord.clamp(max=1 - 1e-6))


def position(points: Tensor, target: Tensor) -> Tensor:
    """Return the absolute coordinate differences in meters, [..., 3], of forward-kinematics points (L1)."""
    return (points - target).abs()


def kl_to_standard(mu: Tensor, log_var: Tensor) -> Tensor:
    """Return KL(N(mu, exp(log_var)) || N(0, 1)) per latent number, [B, L], in nats."""
    return 0.5 * (mu.square() + log_var.exp() - 1 - log_var)


def kl_between(mu_a: Tensor, log_var_a: Tensor, mu_b: Tensor, log_var_b: Tensor) -> Tensor:
    """Return KL(a || b) of diagonal Gaussians per latent number, [B, L], in nats.

    With a the posterior of the whole motion and b that of the masked motion it teaches b to be as wide as its error
    (the objective of neural processes, Garnelo et al. 2018).
    """
    return 0.5 * (log_var_b - log_var_a + ((mu_a - mu_b).square() + log_var_a.exp()) * (-log_var_b).exp() - 1)
