"""Derivatives of the exponential map against each other and against finite differences."""

import torch

from hmpfit.geometry import rotations


def test_the_inverse_jacobian_undoes_the_jacobian_and_is_the_slope_of_the_logarithm() -> None:
    vectors = torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    vectors = 3 * vectors / (1 + vectors.norm(dim=-1, keepdim=True))  # angles below pi
    vectors[0], vectors[1] = 0.0, vectors[1] * 1e-5
    inverse = rotations.inverse_right_jacobian(vectors)
    product = inverse @ rotations.right_jacobian(vectors)
    torch.testing.assert_close(product, torch.eye(3, dtype=torch.float64).expand(40, 3, 3))
    step = 1e-6 * torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64)
    moved = rotations.log(rotations.exp(vectors) @ rotations.exp(step.expand(40, 3)))
    torch.testing.assert_close((moved - vectors)[1:] / 1e-6, (inverse @ step)[1:] / 1e-6, atol=1e-4, rtol=1e-4)
