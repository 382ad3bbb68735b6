"""Derivatives of the exponential map against each other and against finite differences."""

import pytest
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


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_log_undoes_exp_at_every_angle_with_the_derivative_of_a_right_turn(dtype: torch.dtype) -> None:
    axes = torch.nn.functional.normalize(
        torch.randn(200, 3, dtype=dtype, generator=torch.Generator().manual_seed(3)), dim=-1
    )
    near = 2e-3 if dtype == torch.float32 else 1e-7
    for largest in (2.0, torch.pi - near):  # up to 120 degrees one way, beyond the other
        vectors = (
            axes
            * torch.cat((torch.tensor([0.0, 1e-6, 1e-4, largest]), torch.linspace(0, largest, 196))).to(dtype)[:, None]
        )
        close = 1e-4 if dtype == torch.float32 else 1e-8
        torch.testing.assert_close(rotations.log(rotations.exp(vectors)), vectors, atol=close, rtol=close)
    turned = torch.zeros(200, 3, dtype=dtype, requires_grad=True)
    vectors = axes * torch.linspace(0, 2.0, 200).to(dtype)[:, None]
    with torch.enable_grad():
        found = rotations.log(rotations.exp(vectors) @ rotations.exp(turned))
        slopes = torch.stack(
            [torch.autograd.grad(found[:, k].sum(), turned, retain_graph=True)[0] for k in range(3)], 1
        )
    torch.testing.assert_close(slopes, rotations.inverse_right_jacobian(vectors), atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-6, 1e-3, 1.0, 3.14159265, 6.0])
def test_exp_is_the_matrix_exponential_at_any_angle(angle: float) -> None:
    axis = torch.nn.functional.normalize(torch.tensor([[0.3, -0.5, 0.8], [1.0, 0.0, 0.0]], dtype=torch.float64), dim=-1)
    turn = (angle * axis).requires_grad_()
    expected = torch.linalg.matrix_exp(rotations.hat(turn))
    found = rotations.exp(turn)
    torch.testing.assert_close(found, expected, atol=1e-13, rtol=0)
    weights = torch.arange(9.0, dtype=torch.float64).view(3, 3) ** 2
    slopes = [torch.autograd.grad((one * weights).sum(), turn)[0] for one in (found, expected)]
    torch.testing.assert_close(*slopes, atol=1e-9, rtol=0)
