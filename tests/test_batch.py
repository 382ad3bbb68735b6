"""Batches: bad sequences are reported and the rest is done, a killed batch resumes, results equal single runs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmpfit.batch import Job, run_batch
from hmpfit.front_door import fit_video
from hmpfit.geometry.cameras import assumed_intrinsics
from hmpfit.hands.model_files import load_hand_models
from hmpfit.pipeline import fit_videos
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import Camera
from hmpfit.results.npz import read_result
from hmpfit.synthesis.clips import make_clip
from hmpfit.synthesis.demo_motion import demo_motion
from hmpfit.video.writer import VideoWriter

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two short clips with a hand, one without, and one that is no video."""
    folder = tmp_path_factory.mktemp("clips")
    models = load_hand_models()
    camera = Camera(assumed_intrinsics(320, 240)[None], 320, 240)
    for seed in range(2):
        motion = demo_motion(models, np.random.default_rng(seed), 0.4, 30.0)
        make_clip(folder / f"hand{seed}", motion, models, camera, seed)
    (folder / "empty").mkdir()
    with VideoWriter(folder / "empty" / "clip.mp4", 30, 320, 240) as writer:
        for frame in range(6):
            writer.write(np.full((240, 320, 3), 90, np.uint8), frame / 30)
    (folder / "broken").mkdir()
    (folder / "broken" / "clip.mp4").write_bytes(b"no video")
    return folder


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "cli.py"), "batch", *map(str, arguments)]


def run(*arguments: object) -> tuple[int, dict[str, Any], str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command(*arguments, "--json"), capture_output=True, text=True, timeout=600, env=env)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def test_good_ones_are_done_and_bad_ones_reported(clips: Path, tmp_path: Path) -> None:
    code, said, errors = run("--dataset", f"synthetic:{clips}", "-o", tmp_path, "--views", 0, "--quiet")
    assert code == 1 and said["succeeded"] == 2 and said["failed"] == 2
    reasons = {one["name"]: one["error"] for one in said["sequences"] if one["error"]}
    assert "hand" in reasons["empty"] and set(reasons) == {"empty", "broken"}
    assert json.loads((tmp_path / "batch.json").read_text()) == said
    assert "Traceback" not in errors
    stamps = {name: (tmp_path / name / "result.npz").stat().st_mtime_ns for name in ("hand0", "hand1")}
    code, again, _ = run("--dataset", f"synthetic:{clips}", "-o", tmp_path, "--views", 0, "--quiet")
    assert code == 1 and again["succeeded"] == 2
    assert stamps == {name: (tmp_path / name / "result.npz").stat().st_mtime_ns for name in stamps}


def test_wrong_arguments_are_one_sentence(tmp_path: Path) -> None:
    code, _, errors = run("-o", tmp_path)
    assert code == 2 and "Give videos, or --dataset" in errors
    code, _, errors = run("x.mp4", "-o", tmp_path, "--devices", "cuda:7")
    assert code == 2 and "--devices cuda:7 is no device of this machine" in errors
    code, _, errors = run("--dataset", "synthetic:/nowhere", "-o", tmp_path)
    assert code == 2 and "There is no folder" in errors


def twelve(clips: Path, folder: Path) -> list[Path]:
    """Ten copies of the clips under other names, one broken file and one without a hand."""
    folder.mkdir()
    made = []
    for index in range(12):
        source = clips / ("broken" if index == 3 else "empty" if index == 7 else f"hand{index % 2}") / "clip.mp4"
        made.append(folder / f"clip{index:02d}.mp4")
        made[-1].write_bytes(source.read_bytes())
    return made


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_killed_batch_resumes_to_the_same_results(engine: str, clips: Path, tmp_path: Path) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
    videos = twelve(clips, tmp_path / "videos")
    options = ("--views", 0, "--quiet", "--engine", engine, "--workers", 2)
    code, whole, _ = run(*videos, "-o", tmp_path / "whole", *options)
    assert code == 1 and whole["succeeded"] == 10 and whole["failed"] == 2
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = subprocess.Popen(
        command(*videos, "-o", tmp_path / "parts", *options), env=env, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while len(list((tmp_path / "parts").glob("*/result.npz"))) < 4 and started.poll() is None:
        time.sleep(0.2)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    if engine == "ray":
        subprocess.run([Path(sys.executable).parent / "ray", "stop", "--force"], capture_output=True)
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts").glob("*/result.npz")}
    assert 4 <= len(finished) < 10
    code, parts, _ = run(*videos, "-o", tmp_path / "parts", *options)
    assert code == 1 and parts["succeeded"] == 10
    assert finished == {path: path.stat().st_mtime_ns for path in finished}  # no finished work was done twice
    for path in (tmp_path / "whole").glob("*/result.npz"):
        assert path.read_bytes() == (tmp_path / "parts" / path.parent.name / "result.npz").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_worker_that_dies_costs_a_retry_only(engine: str, clips: Path, tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    if engine == "ray":
        pytest.importorskip("ray")
    videos = twelve(clips, tmp_path / "videos")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = subprocess.Popen(
        command(*videos, "-o", tmp_path / "out", "--views", 0, "--engine", engine, "--workers", 2, "--json"),
        env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    while len(list((tmp_path / "out").glob("*/result.npz"))) < 2 and started.poll() is None:
        time.sleep(0.1)
    mark = "run_job" if engine == "ray" else "spawn_main"
    victims = [
        child for child in psutil.Process(started.pid).children(recursive=True) if mark in " ".join(child.cmdline())
    ]
    assert victims
    victims[0].kill()
    said = json.loads(started.communicate(timeout=600)[0])
    assert said["succeeded"] == 10 and said["failed"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_an_interrupted_batch_says_so_and_resumes(engine: str, clips: Path, tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    if engine == "ray":
        pytest.importorskip("ray")
    videos = twelve(clips, tmp_path / "videos")
    options = ("-o", tmp_path / "out", "--views", 0, "--engine", engine, "--workers", 2)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = subprocess.Popen(
        command(*videos, *options), env=env, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while len(list((tmp_path / "out").glob("*/result.npz"))) < 2 and started.poll() is None:
        time.sleep(0.1)
    children = psutil.Process(started.pid).children(recursive=True)
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, errors = started.communicate(timeout=120)
    assert started.returncode == 130 and out == "" and "the same command resumes" in errors
    assert "Traceback" not in errors
    assert not psutil.wait_procs(children, timeout=20)[1]
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/result.npz")}
    assert 2 <= len(finished) < 10
    code, said, _ = run(*videos, *options)
    assert code == 1 and said["succeeded"] == 10
    assert finished == {path: path.stat().st_mtime_ns for path in finished}


@pytest.mark.slow
def test_batch_and_single_runs_agree(clips: Path, tmp_path: Path) -> None:
    K = assumed_intrinsics(320, 240)  # of the clips, which the batch reads from the dataset
    run("--dataset", f"synthetic:{clips}", "-o", tmp_path, "--quiet")
    given = ",".join(str(K[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    single = fit_video(clips / "hand0" / "clip.mp4", intrinsics=given)
    assert np.abs(read_result(tmp_path / "hand0").joints - single.joints).max() < 1e-4


def test_fits_side_by_side_are_those_of_single_runs(clips: Path, tmp_path: Path) -> None:
    settings = resolve_settings(views=0)
    videos = [clips / f"hand{number}" / "clip.mp4" for number in range(2)]
    fit_videos([(video, tmp_path / video.parent.name, settings) for video in videos])
    for video in videos:
        folder = tmp_path / video.parent.name
        made = (folder / "fit.npz").stat().st_mtime_ns
        together, alone = fit_video(video, out=folder, views=0), fit_video(video, views=0)
        assert (folder / "fit.npz").stat().st_mtime_ns == made  # the run took the fit that it found
        assert np.abs(together.joints - alone.joints).max() < 1e-4
    fit_videos([(video, tmp_path / video.parent.name, settings) for video in videos])  # finished runs are left alone


@pytest.mark.slow  # two spawned workers, twice
def test_a_batch_can_fit_side_by_side(clips: Path, tmp_path: Path) -> None:
    jobs = [Job(name, clips / name / "clip.mp4", tmp_path / name) for name in ("hand0", "broken", "hand1")]
    outcomes = run_batch(jobs, resolve_settings(views=0), workers=2, fit_together=2)
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    steps = [outcome.summary["stages"][0]["steps"] for outcome in outcomes if outcome.summary is not None]
    assert len(steps) == 2 and min(steps) > 0
