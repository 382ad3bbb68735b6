"""Size from outside: a hand of the asked-for size looks as before in the picture and lies farther or nearer."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hmpfit.errors import InputError
from hmpfit.hands.hand_size import betas_of_size, hands_of_size, size_mm, sizes_mm
from hmpfit.hands.kinematics import Kinematics
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import HandMotion

MODELS = load_hand_models("open")
KIN = Kinematics.of(MODELS.right, landmark_offsets=False)


def motion() -> HandMotion:
    rng = np.random.default_rng(3)
    return HandMotion(
        global_orient=rng.normal(size=(2, 4, 3)), hand_pose=0.3 * rng.normal(size=(2, 4, 15, 3)),
        transl=np.array([0.05, -0.02, 0.6]) + 0.02 * rng.normal(size=(2, 4, 3)), betas=0.5 * rng.normal(size=(2, 10)),
        is_right=np.array([True, False]), status=np.full((2, 4), 2, np.uint8),
    )  # fmt: skip


@pytest.mark.parametrize("wanted", [140.0, 188.0, 215.0])
def test_the_shape_has_the_size_and_is_the_nearest_one(wanted: float) -> None:
    betas = betas_of_size(KIN, wanted, torch.zeros(10, dtype=torch.float64))
    assert size_mm(KIN, betas) == pytest.approx(wanted, abs=0.05)
    assert betas.abs().argmax() == 0 or betas.norm() < 0.1  # size is the first axis


def test_it_projects_where_it_did_up_to_proportions() -> None:
    given = motion()
    given = replace(given, betas=np.zeros_like(given.betas))
    larger = hands_of_size(given, 1.1 * sizes_mm(given, MODELS)[0], MODELS)
    assert sizes_mm(larger, MODELS) == pytest.approx([1.1 * sizes_mm(given, MODELS)[0]] * 2, abs=0.05)
    before, after = (pose_hands(MODELS, one).joints for one in (given, larger))
    np.testing.assert_allclose(after[:, :, 0], 1.1 * before[:, :, 0], rtol=2e-3)
    pixels = [points[..., :2] / points[..., 2:] for points in (before, after)]
    assert np.abs(pixels[0] - pixels[1]).max() < 0.01


def test_sizes_that_no_hand_has_are_refused() -> None:
    for wrong in (0.19, 19.0, 400.0, float("nan"), -180.0):
        with pytest.raises(InputError, match="is no hand's: give millimeters"):
            resolve_settings(hand_size_mm=wrong)
    with pytest.raises(InputError, match="give one of them"):
        resolve_settings(hand_size_mm=190.0, shape_from="run")
