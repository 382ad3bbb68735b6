"""Hands whose pictures meet: drawn together in depth, by turning and moving; clear evidence and distant hands win."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hmpfit.fitting.batching.gather import gather_evidence
from hmpfit.fitting.normal_equations.linearize import linearize
from hmpfit.fitting.problem import Problem, read_terms, retract
from hmpfit.fitting.solvers.first_order import _zeros
from hmpfit.fitting.stages import fit
from hmpfit.fitting.term import Motion
from hmpfit.fitting.two_hands.contacts import Pairs
from hmpfit.fitting.two_hands.near_in_depth import THICK_M, NearInDepth, where_pictures_meet
from hmpfit.fitting.two_hands.resolve_penetration import Placing
from hmpfit.hands.as_right_hands import motion_as_right
from hmpfit.hands.kinematics import Kinematics
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.recipes import load_recipe
from hmpfit.synthesis.two_hands import draw_meeting
from tests.test_two_hand_fit import CAMERA, FREE, STAGE, tracks_of


@pytest.fixture(scope="module")
def models():
    return load_hand_models()


def behind(models, metres, across=0.0):
    """Clasped hands, the left one moved back along its line of sight and sideways."""
    true = draw_meeting("clasping", 0.3, 30.0, models, np.random.default_rng(4))
    transl = true.transl.copy()
    place = pose_hands(models, true).joints[1].mean(1)
    transl[1] += metres * place / place[:, 2:] + np.array([across, 0, 0])
    return replace(true, transl=transl)


def stated(models, motion, weights):
    """Return the problem, the motion and the pair of a clip whose evidence is exact."""
    start = motion_as_right(motion)
    evidence = gather_evidence(start, tracks_of(motion, models), CAMERA, motion.is_right, torch.float64, "cpu")
    at = Motion(evidence.initial_R, evidence.initial_transl, evidence.initial_betas, evidence.initial_hand_R)
    problem = Problem(Kinematics.of(models.right), evidence, read_terms({**STAGE, "weights": weights}, FREE), FREE)
    return problem, at, Pairs.of(motion, models, evidence)


def gap(problem, motion, pairs):
    points = problem.points(motion) * pairs.flips[:, None, None]
    meet = where_pictures_meet(points[0], points[1])
    return (meet.depths[0] - meet.depths[1]).mean().item()


def test_only_pictures_that_meet_say_anything(models):
    problem, motion, pairs = stated(models, behind(models, 0.1), {})
    pull = NearInDepth(pairs, 4000.0, 0.2).pull(problem, motion)
    assert len(pull.frames) == len(motion.transl[0]) and (pull.size < 0).all()
    assert gap(problem, motion, pairs) == pytest.approx(pull.size.mean() - THICK_M, abs=1e-6)
    for away, across in ((0.0, 0.0), (0.1, 0.4)):  # touching already, and beside each other
        problem, motion, pairs = stated(models, behind(models, away, across), {})
        assert len(NearInDepth(pairs, 4000.0, 0.2).pull(problem, motion).frames) <= (6 if away == 0 else 0)


def test_moves_bring_hands_near_along_their_lines_of_sight(models):
    problem, motion, pairs = stated(models, behind(models, 0.1), {"keypoints_2d": 1.0, "transl_smooth": 1.0})
    pull = NearInDepth(pairs, 1e6, 0.2).pull(problem, motion)
    placing = Placing.of(problem, motion, pairs, pull)
    moved = placing.moved(placing.near_each_other())
    assert abs(gap(problem, moved, pairs)) < 0.5 * abs(gap(problem, motion, pairs))
    places = [(problem.points(one) / problem.points(one)[..., 2:])[..., :2].mean(2) for one in (motion, moved)]
    assert (places[0] - places[1]).norm(dim=-1).max() * 600 < 4  # pixels
    none = replace(pull, weight=0.0)
    assert np.abs(Placing.of(problem, motion, pairs, none).near_each_other()).max() < 1e-12


def test_the_term_has_the_gradient_of_its_cost(models):
    problem, motion, pairs = stated(models, behind(models, 0.1), {})
    held = NearInDepth(pairs, 4000.0, 0.2).held(problem, motion)
    delta = _zeros(held, motion)
    held.cost(retract(motion, delta)).sum().backward()
    blocks = linearize(held, motion)
    torch.testing.assert_close(2 * blocks.g_frame[..., :3], delta["global_orient"].grad)
    torch.testing.assert_close(2 * blocks.g_frame[..., 3:6], delta["transl"].grad)
    assert delta["transl"].grad[0, :, 2].max() < 0 < delta["transl"].grad[1, :, 2].min()  # back, and to the front


def test_a_fit_believes_clear_evidence_that_hands_are_apart(models):
    recipe = load_recipe("default")
    apart = {**recipe["stages"][1]["apart"], "bends": 1, "near_weight": 4000.0}
    recipe["stages"] = [{**recipe["stages"][1], "free": recipe["stages"][0]["free"], "apart": apart}]
    start = behind(models, 0.25)
    found = fit(start, tracks_of(start, models), CAMERA, models, None, recipe).motion
    wrists = [pose_hands(models, one).joints[:, :, 0] for one in (start, found)]
    off = (wrists[0][1] - wrists[0][0]) - (wrists[1][1] - wrists[1][0])
    assert np.linalg.norm(off, axis=-1).mean() < 0.05
