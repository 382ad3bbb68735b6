"""The code blocks of docs/conventions.md do what the page says, on a result of two hands."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smplx
from smplx.utils import Struct

from hmpfit.hands.model_files import load_hand_models
from hmpfit.registry import load
from hmpfit.skeleton import openpose
from tests.made_result import two_hands, write_run
from tests.model_fixtures import smplx_arrays

PAGE = Path(__file__).parents[2] / "docs" / "conventions.md"


def block(heading: str) -> str:
    section = PAGE.read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    found = re.search(r"```python\n(.*?)```", section, re.S)
    assert found is not None
    return found[1]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    models = load_hand_models("open")
    stored = two_hands(models, 30)
    write_run(tmp_path / "run", stored, models)
    load("exporters", "glb")(stored, models, tmp_path / "run" / "export")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(heading: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(block(heading), names)
    return names


def test_mediapipe_order(here: Path) -> None:
    names = run("Joint order")
    result = names["result"]
    assert np.array_equal(names["tip"], result["joints"][0, :, openpose("index_tip")])
    assert np.allclose(names["pixels"], result["keypoints_px"][0, :, openpose("index_tip")])


def test_mano_through_smplx(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, model = smplx.MANO, load_hand_models("open").right

    def with_the_open_hand(folder: str, is_rhand: bool, **options: Any) -> Any:
        return original("", data_struct=Struct(**smplx_arrays(model)), is_rhand=is_rhand, **options)

    monkeypatch.setattr(smplx, "MANO", with_the_open_hand)
    assert run("MANO through smplx")["apart_mm"] < 0.01


@pytest.mark.slow
def test_blender(here: Path) -> None:
    """Run the page's code in an interpreter that has bpy, where HMPFIT_BLENDER_PYTHON names one."""
    python = os.environ.get("HMPFIT_BLENDER_PYTHON")
    if python is None:
        pytest.skip("no interpreter with bpy; set HMPFIT_BLENDER_PYTHON")
    code = "import bpy\nbpy.ops.wm.read_factory_settings(use_empty=True)\n" + block("Blender") + "\nprint(*wrist)"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, env=environment)
    x, y, z = np.load("run/result.npz")["joints"][0, 10, 0]
    assert np.allclose([float(word) for word in done.stdout.split()[-3:]], [x, z, -y], atol=1e-4)


def test_every_block_is_tested() -> None:
    assert PAGE.read_text().count("```python") == sum(name.startswith("test_") for name in globals()) - 1
