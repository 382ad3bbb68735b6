"""Poses from landmarks: synthetic truth, outliers, rays, shape, limits."""

import numpy as np
import pytest
import torch

from hmpfit.geometry.rotations import exp
from hmpfit.hands.anatomy import anatomy
from hmpfit.hands.bone_lengths import fit_shape, lengths, log_lengths, robust_lengths, with_measured_bones
from hmpfit.hands.inverse_kinematics import IKSettings, Targets, place_by_rays, solve_pose
from hmpfit.hands.joint_limits import ANATOMICAL_LIMITS, from_anatomical, to_anatomical
from hmpfit.hands.kinematics import Kinematics, landmark_points
from hmpfit.hands.model_files import load_hand_models
from hmpfit.skeleton import MANO_HAND_JOINTS, openpose

EXACT = IKSettings(points_std_m=0.002, anatomy_strength=0.3, steps=25)


@pytest.fixture(scope="module")
def kin() -> Kinematics:
    return Kinematics.of(load_hand_models().right)


def poses_within_limits(count: int, seed: int = 0) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    low, high = ANATOMICAL_LIMITS[..., 0], ANATOMICAL_LIMITS[..., 1]
    angles = low + (high - low) * generator.uniform(0.1, 0.9, size=(count, 15, 3))
    for finger in ("index", "middle", "ring", "pinky"):
        middle, last = (MANO_HAND_JOINTS.index(f"{finger}{part}") for part in (2, 3))
        angles[:, last, 0] = np.clip(0.66 * angles[:, middle, 0], low[last, 0], high[last, 0])
    return torch.as_tensor(from_anatomical(angles))


def made_hands(kin: Kinematics, count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pose = poses_within_limits(count, seed)
    turn = exp(2 * torch.randn(count, 3, generator=generator, dtype=torch.float64))
    betas = 0.5 * torch.randn(10, generator=generator, dtype=torch.float64)
    place = 0.1 * torch.randn(count, 3, generator=generator, dtype=torch.float64) + torch.tensor([0, 0, 0.6]).double()
    return landmark_points(kin, turn, exp(pose), betas, place), pose, betas


def targets_of(points: torch.Tensor, rays: bool) -> Targets:
    ones = points.new_ones(points.shape[:2])
    centered = points - points.mean(1, keepdim=True)
    if not rays:
        return Targets(centered, ones)
    return Targets(centered, ones, points[..., :2] / points[..., 2:], ones, points.new_full(points.shape[:1], 0.003))


@pytest.mark.parametrize("rays", [False, True])
def test_exact_landmarks_bring_back_the_hand(kin, rays):
    points, _, betas = made_hands(kin, 60)
    targets = targets_of(points, rays)
    found = solve_pose(kin, betas, targets, EXACT)
    again = landmark_points(kin, found.global_R, exp(found.pose), betas, found.transl)
    error_mm = 1e3 * (again - (points if rays else targets.points_m)).norm(dim=-1)
    assert error_mm.mean() < 0.5 and error_mm.amax(1).quantile(0.95) < 2.0


def test_frames_do_not_depend_on_their_batch(kin):
    points, _, betas = made_hands(kin, 7)
    together = solve_pose(kin, betas, targets_of(points, True), IKSettings(chunk=3))
    alone = solve_pose(kin, betas, targets_of(points[4:5], True))
    torch.testing.assert_close(together.pose[4:5], alone.pose, atol=1e-7, rtol=0)
    torch.testing.assert_close(together.transl[4:5], alone.transl, atol=1e-8, rtol=0)
    assert solve_pose(kin, betas, targets_of(points[:0], True)).pose.shape == (0, 15, 3)


def test_an_outlier_hardly_moves_the_hand(kin):
    points, _, betas = made_hands(kin, 20)
    targets = targets_of(points, False)
    corrupted = targets.points_m.clone()
    corrupted[:, openpose("middle_tip")] += torch.tensor([0.06, 0.0, 0.06])
    found = solve_pose(kin, betas, Targets(corrupted, targets.weights))
    again = landmark_points(kin, found.global_R, exp(found.pose), betas, found.transl)
    others = [i for i in range(21) if i != openpose("middle_tip")]
    error_mm = 1e3 * (again - targets.points_m)[:, others].norm(dim=-1)
    assert error_mm.median() < 3.0


def test_without_landmarks_the_hand_is_relaxed_and_finite(kin):
    zeros = torch.zeros(2, 21, dtype=torch.float64)
    found = solve_pose(kin, torch.zeros(10).double(), Targets(torch.zeros(2, 21, 3).double(), zeros))
    assert torch.isfinite(found.pose).all() and torch.isfinite(found.transl).all()
    torch.testing.assert_close(found.pose.reshape(2, 45), anatomy().rest.expand(2, 45), atol=0.1, rtol=0)


def test_noise_bends_no_finger_backwards_or_sideways(kin):
    points, _, betas = made_hands(kin, 40)
    targets = targets_of(points, False)
    noise = 0.01 * torch.randn(points.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    found = solve_pose(kin, betas, Targets(targets.points_m + noise, targets.weights))
    pose = found.pose.numpy()
    angles = to_anatomical(pose)
    beyond = angles - np.clip(angles, ANATOMICAL_LIMITS[..., 0], ANATOMICAL_LIMITS[..., 1])
    assert np.rad2deg(np.abs(beyond)).max() < 8.0


def test_rules_gradient_is_the_finite_difference():
    rules = anatomy()
    theta = 0.8 * torch.randn(3, 45, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradient, at_limit = rules.gradient_and_limits(theta)
    step = 1e-6 * torch.randn(3, 45, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    change = (rules.cost(theta + step) - rules.cost(theta - step)) / 2
    torch.testing.assert_close(2 * (gradient * step).sum(-1), change, rtol=1e-5, atol=1e-10)
    beyond = at_limit > 0
    rows = torch.cat((rules.rows.expand(3, -1, -1), beyond[..., None] * rules.axes / rules.limit_std), dim=1)
    torch.testing.assert_close(rows, rules.slopes(theta))


def test_place_by_rays_is_exact_for_exact_rays(kin):
    points, _, _ = made_hands(kin, 5)
    centered = points - points[:, :1]
    found = place_by_rays(centered, points[..., :2] / points[..., 2:], torch.ones(5, 21, dtype=torch.float64))
    torch.testing.assert_close(found, points[:, 0], atol=1e-6, rtol=0)


def test_logarithms_of_bone_lengths_and_their_derivatives(kin):
    betas = torch.linspace(-1, 1, 10, dtype=torch.float64)
    logs, by_betas = log_lengths(kin, betas)
    torch.testing.assert_close(logs, lengths(kin.rest(betas)[1]).log())
    expected = torch.autograd.functional.jacobian(lambda b: lengths(kin.rest(b)[1]).log(), betas)
    torch.testing.assert_close(by_betas, expected)


def test_shape_and_scale_follow_bone_lengths(kin):
    betas = torch.zeros(10, dtype=torch.float64)
    betas[0] = 1.5
    measured = lengths(kin.rest(betas)[1])
    close = fit_shape(kin, measured, relative_std=1e-3, free_scale=False)
    torch.testing.assert_close(lengths(kin.rest(close.betas)[1]), measured, rtol=2e-3, atol=0)
    shy = fit_shape(kin, measured, relative_std=10.0, free_scale=False)
    assert shy.betas.norm() < 0.1
    assert fit_shape(kin, lengths(kin.rest(betas * 0)[1]) * 1.3, 0.3, free_scale=True).scale == pytest.approx(1.3, 1e-3)
    unknown = torch.full((20,), torch.nan, dtype=torch.float64)
    assert fit_shape(kin, unknown, 0.05, False).betas.norm() == 0


def test_robust_lengths_ignore_unknown_and_wild_frames(kin):
    points = kin.points.expand(9, 21, 3).clone()
    points[3] *= 5
    weights = torch.ones(9, 21, dtype=torch.float64)
    weights[:, openpose("ring_tip")] = 0
    found = robust_lengths(points, weights)
    assert torch.isnan(found).sum() == 1
    known = torch.isfinite(found)
    torch.testing.assert_close(found[known], lengths(kin.points)[known])


def test_measured_bones_take_over_the_recorded_proportions(kin):
    factors = torch.linspace(0.8, 1.3, 21, dtype=torch.float64)[:, None]
    points, _, betas = made_hands(kin, 12)
    stretched = points[:, :1] + (points - points[:, :1]) * factors  # not rigid, but constant where the pose is
    still = stretched[:1].expand(12, 21, 3)
    own = with_measured_bones(kin, betas, still, torch.ones(21, dtype=torch.float64))
    fingers = [bone for bone in range(20) if bone % 4]
    torch.testing.assert_close(lengths(own.points)[fingers], lengths(still[0])[fingers])
