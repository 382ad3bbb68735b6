"""The solver benchmark: its loop poses the same hand, its made problem is reproducible, its figures add up."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from hmpfit.bench.published_loop import _decode_initial_poses, _Mesh
from hmpfit.command_line.bench import bench
from hmpfit.errors import InputError
from hmpfit.geometry import rotations
from hmpfit.hands.kinematics import Kinematics, landmark_points
from hmpfit.hands.model_files import load_hand_models
from hmpfit.priors.motion_field.decoder import Decoder
from hmpfit.priors.motion_field.sizes import Sizes
from hmpfit.synthesis.made_keypoints import make_keypoints


def drawn(*shape: int, scale: float = 0.5) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_full_skinning_gives_the_landmark_points_of_the_fast_path() -> None:
    model = load_hand_models().right
    orient, pose = rotations.exp(drawn(2, 4, 3)), rotations.exp(drawn(2, 4, 15, 3))
    betas, transl = drawn(2, 10), drawn(2, 4, 3)
    skinned = _Mesh.of(model).points(orient, pose, betas, transl)
    fast = landmark_points(Kinematics.of(model, torch.float32), orient, pose, betas[:, None], transl)
    torch.testing.assert_close(skinned, fast, rtol=0, atol=2e-6)


def test_the_loops_decoder_starts_at_the_initial_poses() -> None:
    sizes = Sizes(latent=16, width=160, layers=3, channels=(4, 4, 4, 4), root_latent=4)
    field = Decoder(sizes).eval().requires_grad_(False)
    pose = rotations.exp(torch.cumsum(drawn(1, 20, 15, 3, scale=0.05), 1))
    t, latent = torch.linspace(-1, 0.9, 20), torch.zeros(1, 16)
    _decode_initial_poses(field, latent, t, pose)
    assert rotations.angle_between(rotations.from_6d(field(latent, t)), pose).max() < 0.1


def test_made_keypoints_are_seeded_noisy_and_partly_hidden() -> None:
    models = load_hand_models()
    one, same, other = (make_keypoints(models, 128, 30.0, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.tracks.xy_px, same.tracks.xy_px)
    assert not np.array_equal(one.truth.hand_pose, other.truth.hand_pose)
    seen = one.tracks.seen[0]
    assert 100 < seen.sum() < 128 and np.isnan(one.tracks.xy_px[0, ~seen]).all()
    low = one.tracks.confidence[0, seen] < 0.5
    assert 0.02 < low.mean() < 0.5


def test_the_command_reports_both_ratios_of_one_run() -> None:
    done = CliRunner().invoke(bench, ["solver", "--steps", "2", "--json", "--quiet"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    one = said["windows"]["1"]
    ours, adam = one["solvers"]["gauss_newton"], one["solvers"]["adam"]
    assert one["frames"] == 128 and one["windows"] == [[0, 128]]
    assert said["ratio_vs_reference"] == pytest.approx(one["reference"]["seconds"] / ours["seconds"])
    ends = {name: solve["stages"][-1]["costs"][-1] for name, solve in one["solvers"].items() if "adam" in name}
    same, lowest = one["same_cost"], min(ends, key=lambda name: ends[name])
    assert set(ends) == {"adam", "adam_0.005", "adam_0.002"} and same["cost"] == ends[lowest] and same["of"] == lowest
    assert said["ratio_same_objective"] == pytest.approx(same[lowest] / same["gauss_newton"])
    assert one["reference"]["steps"] == 4 and len(one["reference"]["curve"]) == 4
    assert ours["joint_error_mm"] < 11 and ours["stages"][1]["cost_end"] < adam["stages"][1]["cost_end"]
    for solve in one["solvers"].values():
        for stage in solve["stages"]:
            assert len(stage["seconds"]) == len(stage["costs"]) and stage["seconds"] == sorted(stage["seconds"])


def test_windows_that_are_no_numbers_are_a_sentence() -> None:
    with pytest.raises(InputError, match="no list of whole numbers"):
        CliRunner().invoke(bench, ["solver", "--windows", "one"], catch_exceptions=False)
