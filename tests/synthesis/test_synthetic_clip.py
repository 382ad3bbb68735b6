"""Ground-truth clips: what is drawn is where the truth says, and the same seed draws it again."""

from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.geometry.cameras import assumed_intrinsics
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.records import Camera
from hmpfit.results.npz import read_result
from hmpfit.synthesis.clips import make_clip
from hmpfit.synthesis.demo_motion import demo_motion
from hmpfit.synthesis.several_people import sample_people
from hmpfit.video.clip import open_clip

WIDTH, HEIGHT = 320, 240


def make(folder: Path, seed: int = 3, **choices: Any) -> tuple[Path, Path]:
    models = load_hand_models()
    motion = demo_motion(models, np.random.default_rng(seed), seconds=0.4, fps=10)
    camera = Camera(assumed_intrinsics(WIDTH, HEIGHT)[None], WIDTH, HEIGHT, source="given")
    return make_clip(folder, motion, models, camera, seed=seed, fps=10, **choices)


def test_clip_and_truth_belong_together(tmp_path: Path) -> None:
    clip_path, truth_path = make(tmp_path / "a")
    clip, truth = open_clip(clip_path), read_result(truth_path)
    assert (clip.frames, clip.width, clip.height) == (4, WIDTH, HEIGHT)
    np.testing.assert_allclose(clip.times_s, truth.tracks.times_s, atol=1e-3)
    joints = pose_hands(load_hand_models(), truth.motion).joints
    np.testing.assert_allclose(truth.joints, joints, atol=1e-9)
    with np.load(truth_path) as stored:
        visibility, pixels = stored["visibility"], stored["keypoints_px"]
        assert stored["vertices"].shape[:2] == (1, 4)
    assert visibility.shape == (1, 4, 21) and 0.4 < visibility.mean() <= 1
    image = next(clip.images())[1].astype(int)
    on_the_hand = image[tuple(pixels[0, 0, [1, 5, 9, 13, 17]].astype(int)[:, ::-1].T)]
    assert (on_the_hand[:, 0] - on_the_hand[:, 2] > 20).mean() > 0.7, "skin is redder than it is blue"


def test_the_same_seed_gives_the_same_clip(tmp_path: Path) -> None:
    first, second, other = make(tmp_path / "a"), make(tmp_path / "b"), make(tmp_path / "c", seed=4)
    assert first[0].read_bytes() == second[0].read_bytes() != other[0].read_bytes()
    with np.load(first[1]) as one, np.load(second[1]) as two:
        for key in one.files:
            np.testing.assert_array_equal(one[key], two[key])


def test_a_hand_alone_has_the_surroundings_of_the_clip_with_others(tmp_path: Path) -> None:
    models = load_hand_models()
    motion = sample_people(models, 1, 0.2, 10, np.random.default_rng(0))
    camera = Camera(assumed_intrinsics(WIDTH, HEIGHT)[None], WIDTH, HEIGHT, source="given")
    both = make_clip(tmp_path / "both", motion, models, camera, seed=2, fps=10)
    left = make_clip(tmp_path / "left", motion, models, camera, seed=2, fps=10, drawn=(1,))
    with np.load(both[1]) as of_both, np.load(left[1]) as of_left:
        np.testing.assert_array_equal(of_left["joints"], of_both["joints"][1:])
        x, y = of_both["keypoints_px"][0, 0, [5, 9, 13]].astype(int).T
    first, second = (next(open_clip(clip).images())[1].astype(int) for clip, _ in (both, left))
    assert np.abs(first - second)[:, WIDTH // 2 :].mean() < 4, "the half of the left hand"
    assert np.abs(first - second)[y, x].mean() > 20, "no right hand"
