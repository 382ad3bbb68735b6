"""The equations by finger against a whole matrix that automatic differentiation makes."""

import pytest
import torch

from hmpfit.geometry.rotations import exp
from hmpfit.hands.anatomy import anatomy
from hmpfit.hands.kinematics import Kinematics, landmark_points, pose_joints
from hmpfit.hands.model_files import load_hand_models
from hmpfit.hands.pose_equations import PointPull, pose_equations

FRAMES = 3


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("with_rays", [True, False])
def test_a_step_solves_the_whole_damped_matrix(side, with_rays):
    generator = torch.Generator().manual_seed(5)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    models, rules = load_hand_models(), anatomy()
    kin, betas = Kinematics.of(getattr(models, side)), drawn(10)
    turn, angles, target = exp(drawn(FRAMES, 3)), 0.5 * drawn(FRAMES, 45), 0.1 * drawn(FRAMES, 21, 3)
    roots = drawn(2, FRAMES, 21, 3, 3)

    def residuals(x: torch.Tensor) -> torch.Tensor:
        hand_R = exp((angles + x[:, 9:]).unflatten(-1, (15, 3)))
        points = landmark_points(kin, exp(x[:, :3]) @ turn, hand_R, betas, torch.zeros(FRAMES, 3).double())
        parts = [(roots[0] @ (points + x[:, None, 6:9] - target)[..., None]).flatten(1)]
        if with_rays:
            parts.append((roots[1] @ (points + x[:, None, 3:6] - target)[..., None]).flatten(1))
        return torch.cat((*parts, rules.residuals(angles + x[:, 9:])), dim=1)

    zero = torch.zeros(FRAMES, 54, dtype=torch.float64)
    by_all = torch.autograd.functional.jacobian(residuals, zero)
    rows = torch.stack([by_all[n, :, n] for n in range(FRAMES)])
    hessian, gradient = rows.mT @ rows, (rows.mT @ residuals(zero)[..., None])[..., 0]

    hand_R = exp(angles.unflatten(-1, (15, 3)))
    posed = pose_joints(kin, turn, hand_R, betas, torch.zeros(FRAMES, 3).double())
    points = landmark_points(kin, turn, hand_R, betas, torch.zeros(FRAMES, 3).double())
    weights = roots.mT @ roots
    pulls = [PointPull((weight @ (points - target)[..., None])[..., 0], weight) for weight in weights]
    equations = pose_equations(posed, points, angles, pulls[0], pulls[1] if with_rays else None, rules)
    damping = torch.tensor([1e-3, 0.1, 10.0], dtype=torch.float64)
    diagonal = hessian.diagonal(dim1=-2, dim2=-1)
    damped = hessian + torch.diag_embed(damping[:, None] * diagonal + 1e-9 * diagonal.amax(1, keepdim=True))
    expected = -torch.linalg.solve(damped, gradient)
    torch.testing.assert_close(equations.step(damping), expected, rtol=1e-7, atol=1e-10)
