"""The examples run as a reader would run them, on a short rendered clip."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hmpfit.geometry.cameras import assumed_intrinsics
from hmpfit.hands.model_files import load_hand_models
from hmpfit.records import Camera
from hmpfit.synthesis.clips import make_clip
from hmpfit.synthesis.demo_motion import demo_motion

ROOT = Path(__file__).parents[2]
SECONDS = 0.8


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = load_hand_models()
    motion = demo_motion(models, np.random.default_rng(0), SECONDS, 30.0)
    camera = Camera(assumed_intrinsics(480, 360)[None], 480, 360)
    return make_clip(tmp_path_factory.mktemp("clip"), motion, models, camera)[0]


def run(name: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / name, *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_fit_a_clip(clip: Path, tmp_path: Path) -> None:
    said = run("01_fit_a_clip.py", clip, tmp_path / "run")
    seen, of = said.split("right hand: seen in ")[1].split(" frames")[0].split(" of ")
    assert int(of) == 24 and int(seen) >= 23
    assert (tmp_path / "run" / "report.html").is_file()


def test_write_a_term(clip: Path) -> None:
    without, with_term = run("02_write_a_term.py", clip, 0.9).splitlines()
    assert with_term.startswith("with the term: the wrist is 0.9")
    assert not without.startswith("without the term: the wrist is 0.90")


def test_bring_your_own_keypoints(clip: Path) -> None:
    said = run("03_bring_your_own_keypoints.py", clip)
    assert float(said.split("passes ")[1].split(" px")[0]) < 15


def test_train_a_prior(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    said = run("04_train_a_prior.py", tmp_path, 3)
    assert float(said.split("to ")[1].split(" degrees")[0]) < 15
    assert (tmp_path / "prior.safetensors").is_file()


def test_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / "examples" / "05_look_at_a_fit.ipynb", 4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # results are made, not kept
    client.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    said = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert float(said.split("(PA): ")[1].split(" mm")[0]) < 25
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert (tmp_path / "look_at_a_fit" / "export" / "hands.glb").is_file()
