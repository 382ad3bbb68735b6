"""A left and a right hand-model file, two different hands: one problem, each hand by its own model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hmpfit.fitting.stages import fit
from hmpfit.geometry import rotations
from hmpfit.geometry.cameras import project
from hmpfit.hands.as_right_hands import motion_as_right
from hmpfit.hands.collision import vertices_inside
from hmpfit.hands.kinematics import Kinematics, landmark_jacobian, landmark_points
from hmpfit.hands.left_right import mirror_arrays
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.hands.watertight import HandSurface
from hmpfit.recipes import KernelSettings, load_recipe
from hmpfit.records import Camera, KeypointTracks
from hmpfit.synthesis.two_hands import sample_two_hands
from tests.model_fixtures import smplx_arrays, write_released_pickle

CAMERA = Camera(np.array([[[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]]), 640, 480, None, "given")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two files in MANO's layout: the open hand, and a left hand that is 15 % larger."""
    folder, right = tmp_path_factory.mktemp("mano"), load_hand_models("open").right
    larger = replace(right, v_template=1.15 * right.v_template)
    write_released_pickle(folder / "MANO_RIGHT.pkl", smplx_arrays(right))
    write_released_pickle(folder / "MANO_LEFT.pkl", smplx_arrays(replace(larger, **mirror_arrays(vars(larger)))))
    models = load_hand_models(folder)
    assert models.left is not models.right
    return models


def stacked(models, is_right):
    return Kinematics.stack([Kinematics.of(models.side(bool(side))) for side in is_right])


def meeting(models):
    """Both hands 10 frames long, the left one pushed 15 mm into the right one, and exact evidence of just that."""
    true = sample_two_hands("clasping", 0.33, 30.0, models, np.random.default_rng(4))
    place = pose_hands(models, true).joints.mean(2)
    towards = (place[0] - place[1]) / np.linalg.norm(place[0] - place[1], axis=-1, keepdims=True)
    transl = true.transl.copy()
    transl[1] += 0.015 * towards
    start = replace(true, transl=transl)
    upright = motion_as_right(start)
    turn, pose = (rotations.exp(torch.as_tensor(part)) for part in (upright.global_orient, upright.hand_pose))
    betas, moves = torch.as_tensor(upright.betas)[:, None], torch.as_tensor(upright.transl)
    points = landmark_points(stacked(models, start.is_right), turn, pose, betas, moves)
    points = points * torch.tensor([[1.0, 1, 1], [-1.0, 1, 1]])[:, None, None]
    xy = project(points, torch.as_tensor(CAMERA.K)[None, :, None]).numpy()
    seen, world = np.ones(xy.shape[:2], dtype=bool), (points - points.mean(2, keepdim=True)).numpy()
    return start, KeypointTracks(xy, np.ones(xy.shape[:3]), seen, start.is_right, np.arange(xy.shape[1]) / 30, world)


def test_a_batch_of_two_models_is_each_model_by_itself(pair):
    generator = torch.Generator().manual_seed(1)
    turn = rotations.exp(torch.randn(2, 4, 3, generator=generator, dtype=torch.float64))
    pose = rotations.exp(0.3 * torch.randn(2, 4, 15, 3, generator=generator, dtype=torch.float64))
    betas = torch.randn(2, 1, 10, generator=generator, dtype=torch.float64)
    transl = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    both = stacked(pair, (True, False))
    found = (landmark_points(both, turn, pose, betas, transl), *landmark_jacobian(both, turn, pose, betas, transl))
    for row, model in enumerate((pair.right, pair.left)):
        own = Kinematics.of(model)
        parts = turn[row], pose[row], betas[row], transl[row]
        for got, wanted in zip(found, (landmark_points(own, *parts), *landmark_jacobian(own, *parts))):
            torch.testing.assert_close(got[row], wanted)
        picked = both.rows(torch.tensor([row]))
        torch.testing.assert_close(landmark_points(picked, *(part[None] for part in parts))[0], found[0][row])
    assert (
        found[0][0] - landmark_points(Kinematics.of(pair.left), turn[0], pose[0], betas[0], transl[0])
    ).abs().max() > 0.005


def test_a_pair_of_files_is_fitted_as_one_problem(pair):
    start, tracks = meeting(pair)
    recipe = load_recipe("default")
    stage = replace(recipe.stages[1], free=recipe.stages[0].free)
    weights = {**stage.weights, "orient_smooth": 1500.0, "orient_to_initial": 0.0}  # free to turn out of each other
    stage = replace(stage, weights=weights, kernels={**stage.kernels, "orient_smooth": KernelSettings("huber", 0.1)})
    recipe = replace(recipe, stages=[stage])
    joint = fit(start, tracks, CAMERA, pair, None, recipe)
    weights = {k: v for k, v in stage.weights.items() if k != "penetration"}
    stage = replace(stage, weights=weights, share_shape=False)
    apart = fit(start, tracks, CAMERA, pair, None, replace(recipe, stages=[stage]))

    def overlap(found):
        right, left = torch.as_tensor(pose_hands(pair, found.motion, vertices=True).vertices)
        surfaces = HandSurface.of(pair.right), HandSurface.of(pair.left)
        return float(vertices_inside(right, left, surfaces[1]).sum() + vertices_inside(left, right, surfaces[0]).sum())

    assert overlap(joint) < 0.4 * overlap(apart) > 20
    for found in (joint, apart):  # each hand is still where its own model, and no other, puts the landmarks
        assert np.linalg.norm(found.landmarks_px - tracks.xy_px, axis=-1).mean() < 6
    shapes = [np.linalg.norm(found.motion.betas[0] - found.motion.betas[1]) for found in (joint, apart)]
    assert shapes[0] < 1e-6 < shapes[1]


def test_one_hand_of_a_pair_is_fitted_by_its_own_file(pair):
    start, tracks = meeting(pair)
    left = replace(start, **{name: value[1:] for name, value in vars(start).items()})
    parts = {
        name: value[1:] for name, value in vars(tracks).items() if isinstance(value, np.ndarray) and name != "times_s"
    }
    recipe = load_recipe("default")
    recipe = replace(recipe, stages=recipe.stages[:1])
    found = fit(left, replace(tracks, **parts), CAMERA, pair, None, recipe)
    assert np.linalg.norm(found.landmarks_px - tracks.xy_px[1:], axis=-1).mean() < 1
