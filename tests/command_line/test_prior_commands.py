"""`hmpfit train-prior` and `hmpfit eval-prior`: from files to weights that fit, resuming after a kill, refusals."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from hmpfit.cards import read_card
from hmpfit.command_line.eval_prior import eval_prior
from hmpfit.command_line.train_prior import train_prior
from hmpfit.errors import InputError
from hmpfit.fitting.solvers.gauss_newton import solve
from hmpfit.geometry import rotations
from hmpfit.priors.motion_field.loading import load_default, load_prior
from hmpfit.priors.opening import open_prior
from hmpfit.skeleton import MANO_21, OPENPOSE_21
from tests.amass_files import fingers, smpl_h, tree
from tests.made_problem import make, take_prior

ROOT = Path(__file__).parents[2]
SHORT = ("--steps", 4, "--batch", 2, "--device", "cpu", "--quiet", "--json")


def invoke(command: Any, *arguments: object) -> dict[str, Any]:
    done = CliRunner().invoke(command, [*map(str, arguments)], catch_exceptions=False, standalone_mode=False)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_amass_becomes_a_prior_with_a_card(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    root = tree(tmp_path / "amass")
    said = invoke(train_prior, "--amass", root, "-o", tmp_path / "mine", *SHORT)
    assert "6 hands of 8 AMASS files" in said["data"] and len(said["skipped"]) == 4
    prior = load_prior(said["prior"])
    card = read_card(Path(said["prior"]))
    assert card["sha256"] == said["sha256"] and card["figures"]["training"]["steps"] == 4
    assert prior.window_frames == 128
    with (tmp_path / "mine" / "metrics.csv").open() as stream:
        assert any(row["held_out/total"] for row in csv.DictReader(stream))
    problem, start = take_prior(make(hands=1, frames=30), open_prior(said["prior"]).double())  # `run --prior PATH`
    solved = solve(problem, start, replace(make(hands=1, frames=2).stage, steps=3), None)
    assert solved.report.cost_end < solved.report.cost_start
    before = (tmp_path / "mine" / "prior.safetensors").read_bytes()
    with pytest.raises(InputError, match="training with steps = 4"):
        invoke(train_prior, "--amass", root, "-o", tmp_path / "mine", "--steps", 9, "--quiet")
    assert (tmp_path / "mine" / "prior.safetensors").read_bytes() == before


def test_training_begins_with_another_priors_weights_and_keeps_its_recordings(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    joints = load_default().points(rotations.exp(torch.as_tensor(fingers(90, 3).reshape(90, 15, 3))).float())
    openpose = joints.numpy()[:, [MANO_21.index(name) for name in OPENPOSE_21]]
    (tmp_path / "seen").mkdir()
    np.savez(tmp_path / "seen" / "hand.npz", joints_m=openpose, fps=30.0, is_right=True)
    still = np.repeat(openpose[:1], 90, axis=0)
    np.savez(tmp_path / "seen" / "still.npz", joints_m=still, fps=30.0, is_right=True)
    recorded = ("--motion", tmp_path / "seen", "--motion-share", 1)
    said = invoke(train_prior, *recorded, "--start", "default", "-o", tmp_path / "on", *SHORT)
    assert said["data"] == "1 recorded hands of seen"  # a hand that never moves teaches nothing
    mine, shipped = load_prior(said["prior"]).state_dict(), load_default().state_dict()
    same = {key for key in mine if torch.equal(mine[key], shipped[key])}
    assert "decoder.path_basis" in same and "encoder.gaps.course.2.weight" not in same
    with np.load(tmp_path / "on" / "recordings_0.npz") as kept:
        assert kept["pose_0"].shape == (90, 15, 3) and kept["valid_0"].all()
    with pytest.raises(InputError, match="'default' is not of size nemf"):
        invoke(train_prior, *recorded, "--start", "default", "--size", "nemf", "-o", tmp_path / "other", *SHORT)
    with pytest.raises(InputError, match="--refit-codec is for --size small with --start"):
        invoke(train_prior, *recorded, "--refit-codec", "-o", tmp_path / "other", *SHORT)
    with pytest.raises(InputError, match="--start is for --kind motion_field"):
        invoke(train_prior, *recorded, "--start", "default", "--kind", "gmm", "-o", tmp_path / "other", "--quiet")


def test_a_field_of_size_nemf_learns_a_motion_and_fits(tmp_path: Path) -> None:
    """The VAE itself: no latent path, z in every layer, the decoder continuous in time."""
    pytest.importorskip("lightning")
    said = invoke(train_prior, "--generated", 6, "--size", "nemf", "-o", tmp_path / "field", *SHORT)
    prior = load_prior(said["prior"])
    assert not prior.has_path and prior.sizes.latent_in_layers and prior.sizes.layers
    problem, start = take_prior(make(hands=1, frames=30), open_prior(said["prior"]).double())
    solved = solve(problem, start, replace(make(hands=1, frames=2).stage, steps=3), None)
    assert solved.report.cost_end < solved.report.cost_start


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_losses(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def command(out: str) -> list[str]:
        options = ["--generated", "12", "--steps", "400", "--batch", "4", "--device", "cpu", "--quiet", "-o", out]
        return [sys.executable, str(ROOT / "cli.py"), "train-prior", *options]

    def losses(folder: str) -> dict[int, float]:
        with (tmp_path / folder / "metrics.csv").open() as stream:
            rows = [row for row in csv.DictReader(stream) if row["held_out/total"]]
        return {int(row["step"]): float(row["held_out/total"]) for row in rows}

    subprocess.run(command(str(tmp_path / "whole")), env=env, check=True, timeout=900)
    started = subprocess.Popen(command(str(tmp_path / "parts")), env=env)
    while not (tmp_path / "parts" / "last.safetensors").is_file() and started.poll() is None:
        time.sleep(0.05)
    os.kill(started.pid, signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    subprocess.run(command(str(tmp_path / "parts")), env=env, check=True, timeout=900)
    whole, parts = losses("whole"), losses("parts")
    assert whole.keys() == parts.keys() and all(abs(whole[step] - parts[step]) < 1e-5 for step in whole)
    one, two = (load_prior(str(tmp_path / name / "prior.safetensors")).state_dict() for name in ("whole", "parts"))
    assert all(np.allclose(one[key], two[key], atol=1e-3) for key in one)


def test_nothing_to_learn_from_is_one_sentence(tmp_path: Path) -> None:
    for arguments, sentence in (
        ((), "Give something to learn from"),
        (("--amass", tmp_path), "holds no AMASS files"),
        (("--motion", tmp_path), "holds no recordings"),
    ):
        with pytest.raises(InputError, match=sentence):
            invoke(train_prior, *arguments, "-o", tmp_path / "out", "--quiet")


def test_the_shipped_prior_is_measured_on_generated_motion(tmp_path: Path) -> None:
    found = invoke(eval_prior, "default", "--generated", 2, "--no-baselines", "--json", "--quiet")
    assert {"mpjpe_mm", "pa_mpjpe_mm", "gaps", "files"} <= set(found)
    assert 0 < found["mpjpe_mm"] < 4 and abs(found["pa_mpjpe_mm"] - found["mpjpe_mm"]) < 1
    assert set(found["gaps"]) == {"5", "15", "30", "60"}
    assert found["gaps"]["60"]["slerp"] > found["gaps"]["5"]["slerp"] > 0
    assert set(found["rates"]) == {"60", "120"} and all(0 < error < 8 for error in found["rates"].values())
    assert 0 <= found["sample_violations"] < 0.5


@pytest.mark.slow
def test_baselines_and_recordings(inputs: Path) -> None:
    found = invoke(eval_prior, "default", "--motion", inputs / "motion", "--generated", 50, "--json", "--quiet")
    assert set(found["gaps"]["15"]) == {"prior", "decoded", "slerp", "pca", "gmm", "ratio_to_slerp"}
    assert any(name.startswith("pinch") for name in found["files"])
    assert found["sources"]["recorded"]["mpjpe_mm"] < 4 and found["sources"]["generated"]["windows"] == 50
    for gap, most, of_recorded in (("15", 0.60, 0.65), ("30", 0.75, 0.75), ("60", 0.85, 0.85)):
        row = found["gaps"][gap]  # of 53 recorded and 50 generated windows
        assert row["ratio_to_slerp"] <= most
        assert found["sources"]["recorded"]["gaps"][gap]["ratio_to_slerp"] <= of_recorded
        assert row["decoded"] < row["slerp"] < row["pca"]


def test_wrong_input_of_eval_prior(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Give motion to measure on"):
        invoke(eval_prior, "default")
    with pytest.raises(InputError, match="holds no recordings"):
        invoke(eval_prior, "default", "--motion", tmp_path)
    (tmp_path / "x_poses.npz").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"x_poses.npz' cannot be used: it cannot be read"):
        invoke(eval_prior, "default", "--motion", tmp_path)


def test_a_prior_is_measured_on_motion_capture(tmp_path: Path) -> None:
    """AMASS's poses, and joints of both hands, as files of their own."""
    smpl_h(tmp_path / "mocap" / "s1" / "drill_poses.npz", frames=640)
    joints = load_default().points(rotations.exp(torch.as_tensor(fingers(200, 3).reshape(200, 15, 3))).float())
    openpose = joints.numpy()[:, [MANO_21.index(name) for name in OPENPOSE_21]]
    mirror = np.array([-1.0, 1.0, 1.0])
    np.savez(tmp_path / "mocap" / "left.npz", joints_m=openpose * mirror, fps=60.0, is_right=False)
    found = invoke(eval_prior, "default", "--motion", tmp_path / "mocap", "--no-baselines", "--json", "--quiet")
    assert found["files"] == ["drill_poses", "left"]
    assert 0 < found["mpjpe_mm"] < 6 and found["gaps"]["15"]["ratio_to_slerp"] < 1
