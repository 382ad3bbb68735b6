"""The terms between two hands: derivatives, zero apart, less as they part; the fit that has them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hmpfit.fitting.batching.gather import evidence_tensors
from hmpfit.fitting.normal_equations.linearize import linearize
from hmpfit.fitting.problem import Problem, read_terms, retract
from hmpfit.fitting.solvers.first_order import _zeros
from hmpfit.fitting.stages import fit
from hmpfit.fitting.two_hands.contact_points import contact_jacobian, contact_points
from hmpfit.fitting.two_hands.hand_pairs import HandPairs
from hmpfit.geometry import rotations
from hmpfit.geometry.cameras import project
from hmpfit.hands.as_right_hands import motion_as_right
from hmpfit.hands.collision import vertices_inside
from hmpfit.hands.kinematics import Kinematics, landmark_jacobian, landmark_points
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.watertight import HandSurface
from hmpfit.interfaces.term import Motion
from hmpfit.recipes import KernelSettings, load_recipe
from hmpfit.records import Camera, KeypointTracks
from hmpfit.synthesis.two_hands import sample_two_hands

FREE = ("global_orient", "transl", "betas", "hand_pose")
STAGE = replace(
    load_recipe("default").stages[1],
    weights={"penetration": 100.0},
    kernels={"penetration": KernelSettings("tanh", 0.02)},
)
CAMERA = Camera(np.array([[[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]]), 640, 480, None, "given")


def tracks_of(motion, models):
    """Exact evidence of a motion: the landmark points' pixels and hand-centered places."""
    upright = motion_as_right(motion)
    kinematics = Kinematics.of(models.right)
    fields = (torch.as_tensor(part) for part in (upright.global_orient, upright.hand_pose))
    turn, pose = (rotations.exp(part) for part in fields)
    betas, transl = torch.as_tensor(upright.betas)[:, None], torch.as_tensor(upright.transl)
    points = landmark_points(kinematics, turn, pose, betas, transl)
    flip = torch.where(torch.as_tensor(motion.is_right)[:, None], 1.0, torch.tensor([-1.0, 1, 1]))[:, None, None]
    real = points * flip
    xy = project(real, torch.as_tensor(CAMERA.K)[None, :, None]).numpy()
    seen = np.ones(xy.shape[:2], dtype=bool)
    world = (real - real.mean(2, keepdim=True)).numpy()
    times = np.arange(xy.shape[1]) / 30
    return KeypointTracks(xy, np.ones(xy.shape[:3]), seen, motion.is_right, times, world)


def overlap_of(motion, models):
    """The mean count of vertices of either hand inside the other."""
    right, left = torch.as_tensor(pose_hands(models, motion, vertices=True).vertices)
    surface = HandSurface.of(models.right)
    return float(vertices_inside(right, left, surface).sum() + vertices_inside(left, right, surface).sum())


@pytest.fixture(scope="module")
def pushed(models):
    """Two hands of a clip, 12 frames, the left one pushed 12 mm into the right one: the problem and where it is."""
    true = sample_two_hands("clasping", 0.4, 30.0, models, np.random.default_rng(4))
    place = pose_hands(models, true).joints.mean(2)
    towards = place[0] - place[1]
    moved = true.transl.copy()
    moved[1] += 0.012 * towards / np.linalg.norm(towards, axis=-1, keepdims=True)
    start = motion_as_right(replace(true, transl=moved))
    evidence = evidence_tensors(start, tracks_of(true, models), CAMERA, true.is_right, torch.float64, "cpu")
    motion = Motion(evidence.initial_R, evidence.initial_transl, evidence.initial_betas, evidence.initial_hand_R)
    problem = Problem(Kinematics.of(models.right), evidence, read_terms(STAGE, FREE), FREE)
    pairs = HandPairs.of(true, models, evidence)
    coupled, touching = pairs.planes(evidence, motion, problem.points(motion))
    assert touching
    return replace(problem, evidence=coupled), motion, pairs


def test_planes_are_at_vertices_of_the_meshes_and_their_depths_are_seen(pushed):
    problem, motion, pairs = pushed
    landmarks = problem.points(motion)
    points = contact_points(motion, landmarks, problem.evidence) + landmarks[:, :, :1]
    mesh = pairs._mesh(0, 0, motion, torch.arange(12)).double()
    real = problem.evidence.contact_weight[0] > 0
    nearest = torch.cdist(points[0], mesh).amin(-1)
    assert nearest[real].max() < 1e-6 and real.sum() > 50
    depth = problem.terms[0].term.residuals(motion, problem.points(motion), problem.evidence, {}).values
    torch.testing.assert_close(depth[0], depth[1], atol=1e-6, rtol=0)
    assert 0.004 < depth.max() < 0.03


def test_the_jacobian_of_the_vertices_is_right_by_finite_differences(pushed):
    problem, motion, _ = pushed
    points, d_points = landmark_jacobian(
        problem.kinematics, motion.global_R, motion.hand_R, motion.betas[:, None], motion.transl
    )
    found = contact_jacobian(motion, points, d_points, problem.evidence)
    h = 1e-6
    for column in (0, 2, 4, 8, 16, 25, 47, 60):
        ends = []
        for step in (h, -h):
            d = motion.transl.new_zeros(*motion.transl.shape[:2], 61)
            d[..., column] = step
            changed = Motion(
                rotations.exp(d[..., :3]) @ motion.global_R, motion.transl + d[..., 3:6], motion.betas,
                motion.hand_R @ rotations.exp(d[..., 16:].unflatten(-1, (15, 3))),
            )  # fmt: skip
            betas = motion.betas[:, None] + d[..., 6:16]
            at = landmark_points(problem.kinematics, changed.global_R, changed.hand_R, betas, changed.transl)
            ends.append(contact_points(changed, at, problem.evidence))
        torch.testing.assert_close(found[..., column], (ends[0] - ends[1]) / (2 * h), atol=1e-7, rtol=1e-5)


def test_the_gradient_is_right_in_the_blocks_and_by_finite_differences(pushed):
    problem, motion, _ = pushed
    motion = replace(motion, betas=motion.betas + 0.1 * torch.arange(20).reshape(2, 10))
    delta = _zeros(problem, motion)
    problem.cost(retract(motion, delta)).sum().backward()
    blocks = linearize(problem, motion)
    torch.testing.assert_close(2 * blocks.g_frame[..., :3], delta["global_orient"].grad)
    torch.testing.assert_close(2 * blocks.g_frame[..., 3:6], delta["transl"].grad)
    torch.testing.assert_close(2 * blocks.g_betas, delta["betas"].grad)
    torch.testing.assert_close(2 * blocks.g_frame[..., 6:].unflatten(-1, (15, 3)), delta["hand_pose"].grad)
    generator = torch.Generator().manual_seed(0)
    direction = {k: torch.randn(v.shape, generator=generator, dtype=v.dtype) for k, v in delta.items()}
    h = 1e-7

    def cost(step):
        with torch.no_grad():
            return problem.cost(retract(motion, {k: step * d for k, d in direction.items()})).sum()

    slope = sum((delta[k].grad * d).sum() for k, d in direction.items())
    assert float((cost(h) - cost(-h)) / (2 * h)) == pytest.approx(float(slope), rel=1e-4) and slope != 0


def test_it_falls_as_the_hands_part_and_is_zero_apart(pushed):
    problem, motion, pairs = pushed
    kinds = {item.term.name: item for item in problem.terms}
    problem = replace(problem, terms=(kinds["penetration"],))
    places = problem.points(motion).mean(2) * pairs.flips[:, None]
    away = places[:1] - places[1:]  # the right hand goes back the way that the left one was pushed
    away = away / away.norm(dim=-1, keepdim=True)
    costs = []
    for meters in (0.0, 0.002, 0.004, 0.006, 0.1):
        moved = replace(motion, transl=torch.cat((motion.transl[:1] + meters * away, motion.transl[1:])))
        evidence, touching = pairs.planes(problem.evidence, moved, problem.points(moved))
        costs.append(float(replace(problem, evidence=evidence).cost(moved).sum()))
    assert costs == sorted(costs, reverse=True) and costs[0] > 2 * costs[2] > 0
    assert costs[-1] == 0 and not touching and evidence.contact_joint is None


def test_the_fit_takes_hands_out_of_each_other_and_stays_at_the_evidence(models):
    true = sample_two_hands("clasping", 0.4, 30.0, models, np.random.default_rng(4))
    place = pose_hands(models, true).joints.mean(2)
    towards = (place[0] - place[1]) / np.linalg.norm(place[0] - place[1], axis=-1, keepdims=True)
    wrong = true.transl.copy()
    wrong[1] += 0.02 * towards  # the evidence of the left hand says so too: it cannot be right
    start = replace(true, transl=wrong)
    tracks = tracks_of(start, models)
    recipe = load_recipe("default")
    stage = replace(recipe.stages[1], free=recipe.stages[0].free)
    recipe = replace(recipe, stages=[stage])
    joint = fit(start, tracks, CAMERA, models, None, recipe)
    uncoupled = replace(stage, weights={**stage.weights, "penetration": 0.0})
    apart = fit(start, tracks, CAMERA, models, None, replace(recipe, stages=[uncoupled]))
    assert overlap_of(joint.motion, models) < 0.35 * overlap_of(apart.motion, models) > 20
    errors = [
        np.linalg.norm(found.landmarks_px - tracks.xy_px, axis=-1).mean() for found in (joint, apart)
    ]  # fmt: skip
    assert errors[0] < errors[1] + 6


def test_one_hand_is_fitted_as_if_there_were_no_such_terms(models):
    true = sample_two_hands("clasping", 0.3, 30.0, models, np.random.default_rng(2))
    one = replace(true, **{name: value[:1] for name, value in vars(true).items()})
    tracks, recipe = tracks_of(one, models), load_recipe("default")
    stage = recipe.stages[0]
    recipe = replace(recipe, stages=[stage])
    found = fit(one, tracks, CAMERA, models, None, recipe)
    weights = {k: v for k, v in stage.weights.items() if k != "penetration"}
    apart = replace(stage, weights=weights, share_shape=False)
    plain = fit(one, tracks, CAMERA, models, None, replace(recipe, stages=[apart]))
    assert all(np.array_equal(a, b) for a, b in zip(vars(found.motion).values(), vars(plain.motion).values()))
    assert np.array_equal(found.linear_std_mm, plain.linear_std_mm)


@pytest.mark.parametrize("solver", ["gauss_newton", "adam", "lbfgs"])
def test_both_hands_of_a_person_find_the_shape_that_both_show(models, solver):
    true = sample_two_hands("clasping", 0.4, 30.0, models, np.random.default_rng(3))
    own = np.zeros((2, 10))
    own[:, 1] = (1.0, 2.0)  # what the evidence of each hand alone says
    true = replace(true, betas=own)
    start, recipe = replace(true, betas=np.zeros((2, 10))), load_recipe("default")
    weights = {"keypoints_2d": 1.0, "keypoints_3d": 4500.0, "betas_to_initial": 1e-3}
    stage = replace(recipe.stages[0], weights=weights, adam_steps=300)
    found = fit(start, tracks_of(true, models), CAMERA, models, None, replace(recipe, stages=[stage]), solver)
    betas = found.motion.betas
    np.testing.assert_allclose(betas[0], betas[1], atol=1e-9)
    assert (1.2 if solver == "gauss_newton" else 0.1) < betas[0, 1] < 1.8  # the others are still on their way
    alone = replace(stage, share_shape=False)
    apart = fit(start, tracks_of(true, models), CAMERA, models, None, replace(recipe, stages=[alone]), solver)
    assert abs(apart.motion.betas[0, 1] - apart.motion.betas[1, 1]) > 1e-3


def test_told_shapes_stay_each_hand_s_own(models):
    true = sample_two_hands("clasping", 0.3, 30.0, models, np.random.default_rng(2))
    told = replace(true, betas=np.array([[1.0] + [0.0] * 9, [-1.0] + [0.0] * 9]))
    recipe = load_recipe("default")
    stage = replace(recipe.stages[0], free=["global_orient", "transl"])
    found = fit(told, tracks_of(told, models), CAMERA, models, None, replace(recipe, stages=[stage]))
    np.testing.assert_array_equal(found.motion.betas, told.betas)
