"""The whole family of terms: zero at the truth, batch = loop, and derivatives by another route."""

from dataclasses import replace

import pytest
import torch

from hmpfit import registry
from hmpfit.errors import InputError, UnknownNameError
from hmpfit.fitting.normal_equations.linearize import linearize
from hmpfit.fitting.problem import read_terms, retract
from hmpfit.fitting.solvers.first_order import _zeros
from hmpfit.fitting.terms.keypoints import Keypoint3dOptions
from hmpfit.geometry import rotations
from hmpfit.hands.anatomy import anatomy
from hmpfit.recipes import KernelSettings, apply_overrides, load_recipe
from tests.made_problem import make, take

FREE_LATENT = ("global_orient", "transl", "betas", "latent")
FREE_POSE = ("global_orient", "transl", "betas", "hand_pose")
TERMS = registry.names("terms")
MOVES = ("orient_smooth", "transl_smooth", "pose_smooth", "overlap")
FRAMES_OF = {"overlap": 120}  # more than one window
NOT_ZERO_AT_TRUTH = (*MOVES, "anatomy")


def stage_of(made, name, **options):
    kernels = {name: KernelSettings("geman_mcclure", 3.0)}
    given = {name: registry.load("terms", name).options(**options)} if options else {}
    return replace(made.stage, weights={name: 2.5}, kernels=kernels, options=given)


def away_from_zero(made, name):
    """A state at which a term and its derivative are not zero: what is drawn to the start is looked at elsewhere."""
    return made.truth if name.endswith("to_initial") or name == "prior" else made.start


def free_for(name):
    return FREE_POSE if name.startswith("pose") else FREE_LATENT


@pytest.mark.parametrize("name", [name for name in TERMS if name not in NOT_ZERO_AT_TRUTH])
def test_a_term_is_zero_at_the_truth_of_exact_evidence(name):
    made = make(noise=0.0, pair=True)
    problem = made.problem(*free_for(name), stage=stage_of(made, name))
    assert problem.cost(made.truth).abs().max() < 1e-18


@pytest.mark.parametrize("name", MOVES)
def test_a_smoothness_term_is_zero_for_a_hand_at_rest(name):
    made = make(noise=0.0, frames=120)
    still = replace(
        made.truth,
        global_R=made.truth.global_R[:, :1].expand_as(made.truth.global_R),
        transl=made.truth.transl[:, :1].expand_as(made.truth.transl),
        hand_R=made.truth.hand_R[:, :1].expand_as(made.truth.hand_R),
    )
    problem = made.problem(*free_for(name), stage=stage_of(made, name))
    if name == "overlap":
        same = replace(made.truth, rot6d=made.truth.rot6d[:, :, :1].expand_as(made.truth.rot6d))
        values = problem.terms[0].term.residuals(same, problem.points(same), made.evidence, {}).values
        assert values.abs().max() == 0 and problem.cost(made.truth).min() > 0
    else:
        assert problem.cost(still).abs().max() < 1e-18 < problem.cost(made.start).min()


@pytest.mark.parametrize("name", TERMS)
def test_the_gradient_of_the_blocks_is_the_gradient_of_the_cost(name):
    made = make(frames=FRAMES_OF.get(name, 70), pair=True)
    free = free_for(name)
    problem = made.problem(*free, stage=stage_of(made, name))
    motion = problem.motion(away_from_zero(made, name))
    blocks = linearize(problem, motion)
    delta = _zeros(problem, motion)
    problem.cost(retract(motion, delta)).sum().backward()
    assert any(part.grad is not None and part.grad.any() for part in delta.values())

    def agrees(block, grad):
        torch.testing.assert_close(2 * block, grad if grad is not None else torch.zeros_like(block))

    agrees(blocks.g_frame[..., :3], delta["global_orient"].grad)
    agrees(blocks.g_frame[..., 3:6], delta["transl"].grad)
    agrees(blocks.g_betas, delta["betas"].grad)
    if "latent" in free:
        agrees(blocks.g_latent, delta["latent"].grad)
    else:
        agrees(blocks.g_frame[..., 6:].unflatten(-1, (15, 3)), delta["hand_pose"].grad)


@pytest.mark.parametrize("name", TERMS)
def test_the_gradient_is_right_by_finite_differences(name):
    made = take(make(frames=FRAMES_OF.get(name, 40), pair=True), 0)
    free = free_for(name)
    problem = made.problem(*free, stage=stage_of(made, name))
    motion = problem.motion(away_from_zero(made, name))
    delta = _zeros(problem, motion)
    problem.cost(retract(motion, delta)).sum().backward()
    generator = torch.Generator().manual_seed(1)
    direction = {k: torch.randn(v.shape, generator=generator, dtype=v.dtype) for k, v in delta.items()}
    h = 1e-6

    def cost(step):
        with torch.no_grad():
            return problem.cost(retract(motion, {k: step * d for k, d in direction.items()}))[0]

    slope = sum((delta[k].grad * d).sum() for k, d in direction.items() if delta[k].grad is not None)
    assert slope != 0
    assert float((cost(h) - cost(-h)) / (2 * h)) == pytest.approx(float(slope), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", TERMS)
def test_a_batch_costs_what_its_hands_cost_alone(name):
    made = make(hands=3, frames=FRAMES_OF.get(name, 40), pair=True)
    batch = made.problem(*free_for(name), stage=stage_of(made, name)).cost(away_from_zero(made, name))
    assert (batch > 0).all()
    for hand in range(3):
        one = take(made, hand)
        alone = one.problem(*free_for(name), stage=stage_of(one, name)).cost(away_from_zero(one, name))
        torch.testing.assert_close(alone[0], batch[hand])


def test_smoothness_means_the_same_at_any_frame_rate():
    made = make(frames=60, noise=0.0)
    problem = made.problem(stage=stage_of(made, "transl_smooth"))
    twice_as_fast = replace(made.evidence, times_s=made.evidence.times_s / 2)
    slow, fast = problem.cost(made.truth), replace(problem, evidence=twice_as_fast).cost(made.truth)
    assert (fast > 3 * slow).all()


@pytest.mark.parametrize("name", ["orient_smooth", "transl_smooth", "pose_smooth"])
def test_a_steady_motion_costs_the_same_per_second_however_often_it_is_seen(name):
    made = make(frames=61, noise=0.0)
    ramp = torch.linspace(0, 0.5, 61, dtype=made.truth.transl.dtype)[:, None].expand(61, 3)
    turns = rotations.exp(ramp)
    steady = replace(
        made.truth,
        global_R=turns.expand_as(made.truth.global_R),
        hand_R=turns[:, None].expand_as(made.truth.hand_R),
        transl=ramp.expand_as(made.truth.transl),
    )
    every_sixth = slice(None, None, 6)
    sixth = replace(
        steady,
        global_R=steady.global_R[:, every_sixth],
        hand_R=steady.hand_R[:, every_sixth],
        transl=steady.transl[:, every_sixth],
    )
    often = replace(made.evidence, times_s=torch.arange(61, dtype=torch.float64) / 30)
    seldom = replace(made.evidence, times_s=often.times_s[every_sixth])
    term = registry.load("terms", name)
    for per_time, ratio in ((True, 1.0), (False, 6.0)):
        costs = []
        for motion, evidence in ((steady, often), (sixth, seldom)):
            found = term.residuals(motion, motion.transl, evidence, term.options(per_time=per_time))
            costs.append(((found.values**2).sum(-1) * found.confidence).sum())
        assert float(costs[0] / costs[1]) == pytest.approx(ratio, rel=1e-6)


def test_a_smaller_and_nearer_hand_moves_no_less_where_smoothness_has_no_scale():
    made = make(frames=60, noise=0.0)
    nearer = replace(made.truth, transl=0.9 * made.truth.transl)
    costs = {}
    for scale_free in (False, True):
        problem = made.problem(stage=stage_of(made, "transl_smooth", scale_free=scale_free))
        costs[scale_free] = [problem.cost(motion) for motion in (made.truth, nearer)]
    assert (costs[False][1] < 0.9 * costs[False][0]).all()
    assert torch.allclose(costs[True][1], costs[True][0])


def test_moves_along_the_line_of_sight_alone_may_count_more():
    made = make(frames=60, noise=0.0)
    place = torch.zeros_like(made.truth.transl)
    place[..., 2] = 0.6
    steps = torch.linspace(0, 0.02, 60, dtype=place.dtype)
    for axis, ratio in ((0, 1.0), (2, 4.0)):
        moving = place.clone()
        moving[..., axis] = moving[..., axis] + steps
        motion = replace(made.truth, transl=moving)
        term = registry.load("terms", "transl_smooth")
        plain, along = (
            term.residuals(motion, moving, made.evidence, term.options(along_ray=factor)).values.norm()
            for factor in (1.0, 4.0)
        )
        assert along / plain == pytest.approx(ratio, rel=0.01)


def test_a_misspelt_term_option_or_kernel_is_refused():
    recipe = load_recipe("default")
    stage = recipe.stages[1]
    with pytest.raises(UnknownNameError, match="keypoints_2d"):
        read_terms(replace(stage, weights={"keypoint_2d": 1.0}), FREE_LATENT)
    with pytest.raises(UnknownNameError, match="least_confidence"):
        apply_overrides(recipe, ["stages.1.options.keypoints_2d.units=px"])
    with pytest.raises(InputError, match="Keypoint2dOptions"):
        read_terms(replace(stage, options={"keypoints_2d": {"unit": "px"}}), FREE_LATENT)
    with pytest.raises(UnknownNameError, match="geman_mcclure"):
        read_terms(replace(stage, kernels={"keypoints_2d": KernelSettings("cauchy")}), FREE_LATENT)
    with pytest.raises(InputError, match="keypoints_2d"):
        read_terms(replace(stage, weights={"keypoints_2d": -1.0}), FREE_LATENT)
    with pytest.raises(UnknownNameError, match="coarse"):
        read_terms(replace(stage, coarse={"priors": 4.0}), FREE_LATENT)


@pytest.mark.parametrize("name", ["keypoints_2d", "keypoints_3d"])
def test_a_landmark_that_was_not_seen_enters_nothing_even_with_a_least_confidence(name):
    made = make(frames=12)
    thumb = slice(1, 5)
    hidden = {
        key: getattr(made.evidence, key).clone() for key in ("seen", "confidence", "world_seen", "world_confidence")
    }
    for tensor in hidden.values():
        tensor[:, 5, thumb] = 0
    evidence = replace(made.evidence, **hidden)
    elsewhere = replace(evidence, xy_px=evidence.xy_px.clone(), world_m=evidence.world_m.clone())
    elsewhere.xy_px[:, 5, thumb] = 0
    elsewhere.world_m[:, 5, thumb] = 7.0
    costs = [
        replace(made, evidence=one)
        .problem(*FREE_POSE, stage=stage_of(made, name, least_confidence=0.25))
        .cost(made.start)
        for one in (evidence, elsewhere)
    ]
    torch.testing.assert_close(*costs, rtol=1e-12, atol=0)


def test_depths_of_3d_landmarks_weigh_less_by_the_square_of_depth_std():
    made = make(frames=12)
    problem = made.problem(*FREE_POSE, stage=stage_of(made, "keypoints_3d"))
    points = problem.points(made.start)
    term = problem.terms[0].term
    plain, weak = (
        term.residuals(made.start, points, made.evidence, Keypoint3dOptions(depth_std=d)).values for d in (1.0, 2.5)
    )
    torch.testing.assert_close(weak[..., :2], plain[..., :2])
    torch.testing.assert_close(weak[..., 2] * 2.5, plain[..., 2])


def test_the_anatomy_of_the_fit_is_that_of_the_inverse_kinematics():
    made = make(frames=12)
    problem = made.problem(*FREE_POSE, stage=replace(made.stage, weights={"anatomy": 1.0}, kernels={}, options={}))
    angles = rotations.log(made.start.hand_R).flatten(-2)
    expected = (anatomy().cost(angles) * made.evidence.initial_confidence).sum(1)
    torch.testing.assert_close(problem.cost(made.start), expected)


def test_the_center_of_a_hand_counts_whatever_its_landmarks_weigh():
    made = make(frames=12)
    stage = stage_of(made, "center_2d")
    covered = replace(made.evidence, seen=0.1 * made.evidence.seen, confidence=0.0 * made.evidence.confidence)
    costs = [
        replace(made, evidence=one).problem(*FREE_POSE, stage=stage).cost(made.start)
        for one in (made.evidence, covered)
    ]
    assert costs[0].min() > 0
    torch.testing.assert_close(*costs, rtol=1e-12, atol=0)


def test_the_pull_to_the_mean_shape_grows_with_the_clip_if_asked_and_holds_the_size_more():
    made = make(frames=12)
    moved = replace(made.truth, betas=made.evidence.initial_betas + torch.eye(10, dtype=torch.float64)[0])
    other = replace(made.truth, betas=made.evidence.initial_betas + torch.eye(10, dtype=torch.float64)[3])
    stage = stage_of(made, "betas_to_initial", per_frame=True, size=4.0)
    stage = replace(stage, kernels={})
    problem = made.problem(*FREE_POSE, stage=stage)
    frames = made.evidence.initial_confidence.sum(1)
    torch.testing.assert_close(problem.cost(other), 2.5 * frames)
    torch.testing.assert_close(problem.cost(moved), 4.0 * 2.5 * frames)
