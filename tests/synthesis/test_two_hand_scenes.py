"""Two hands that meet: they touch, and no vertex of either is ever inside the other."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy.spatial import cKDTree

from hmpfit.command_line.synthesize import synthesize
from hmpfit.errors import InputError, UnknownNameError
from hmpfit.hands.collision import vertices_inside
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.hands.watertight import HandSurface
from hmpfit.synthesis.scenes import sample_scene
from hmpfit.synthesis.two_hands import CONTACTS, sample_two_hands


@pytest.mark.parametrize("kind", CONTACTS)
def test_hands_touch_and_never_overlap(kind):
    models = load_hand_models()
    surface = HandSurface.of(models.right)
    motion = sample_two_hands(kind, 0.8, 30.0, models, np.random.default_rng(1))
    posed = pose_hands(models, motion, vertices=True).vertices
    right, left = torch.as_tensor(posed[0]), torch.as_tensor(posed[1])
    assert not vertices_inside(right, left, surface).any() and not vertices_inside(left, right, surface).any()
    gaps = [cKDTree(one).query(other)[0].min() for one, other in zip(*posed, strict=True)]
    assert min(gaps) < 0.005, "no frame in which the hands touch"
    assert motion.is_right.tolist() == [True, False] and motion.transl.shape == (2, 24, 3)
    assert np.linalg.norm(np.diff(motion.transl, n=2, axis=1), axis=-1).max() < 0.012


def test_the_same_seed_is_the_same_meeting_and_a_wrong_kind_is_named():
    models = load_hand_models()
    one, two = (sample_two_hands("mixed", 0.2, 30.0, models, np.random.default_rng(5)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(vars(one).values(), vars(two).values(), strict=True))
    with pytest.raises(UnknownNameError, match="clasping"):
        sample_two_hands("juggling", 0.2, 30.0, models, np.random.default_rng(0))
    with pytest.raises(InputError, match="--hands both"):
        sample_scene(models, 0, 6, "right", 64, 64, None, "mixed")


def test_the_command_renders_them(tmp_path):
    said = ["-o", str(tmp_path), "--hands", "both", "--contact", "clasping", "--size", "160x120"]
    done = CliRunner().invoke(synthesize, [*said, "--frames", "4", "--count", "1", "--json"], standalone_mode=False)
    (folder,) = json.loads(done.stdout)["clips"]
    assert "clasping" in folder
    with np.load(f"{folder}/truth.npz") as truth:
        assert truth["is_right"].tolist() == [True, False] and truth["joints"].shape == (2, 4, 21, 3)
        inside = (truth["keypoints_px"] > 0) & (truth["keypoints_px"] < [160, 120])
    assert inside.mean() > 0.8
