"""A package of somebody else adds one plug-in of each family by entry points; commands use every one by its name."""

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hmpfit import registry
from hmpfit.command_line.main import main
from hmpfit.errors import UnknownNameError
from hmpfit.recipes import apply_overrides, load_recipe
from hmpfit.video.writer import VideoWriter

PACKAGE = Path(__file__).parents[1] / "plug_in"
FRAMES = 8


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package installed where pip puts packages that are not the environment's own."""
    site = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "plug_in"
    shutil.copytree(PACKAGE, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", site, source], check=True, capture_output=True, timeout=120)
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    registry._installed.cache_clear()
    yield site
    sys.path.remove(str(site))
    sys.modules.pop("hmpfit_plug_in", None)
    registry._installed.cache_clear()


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    with VideoWriter(folder / "empty.mp4", 30, 160, 120) as writer:
        for frame in range(FRAMES):
            writer.write(np.full((120, 160, 3), 90, np.uint8), frame / 30)
    return folder


def run(*arguments: object) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert stopped.value.code == 0


def test_every_family_knows_the_package(installed: Path) -> None:
    for family in registry.FAMILIES:
        name = "plug_in_network" if family == "networks" else "plug_in"
        assert name in registry.names(family)
        assert registry.load(family, name) is not None


def test_a_run_uses_them_by_name_and_an_export_too(installed: Path, videos: Path, tmp_path: Path) -> None:
    chosen = ("--keypoints", "plug_in", "--init", "plug_in", "--prior", "plug_in", "--hand-model", "plug_in")
    said = ("--solver", "plug_in", "--set", "stages.1.weights.plug_in=2", "--set", "stages.1.options.plug_in={scale=3}")
    run("run", videos / "empty.mp4", "-o", tmp_path / "run", *chosen, *said, "--quiet")
    summary = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [summary[key] for key in ("keypoints", "initializer", "solver", "hand_model")] == 4 * ["plug_in"]
    assert summary["prior"].startswith("plug_in") and "plug_in" in summary["stages"][1]["terms_end"]
    with np.load(tmp_path / "run" / "result.npz") as result:
        assert np.abs(result["transl"][0] - [0.05, 0.0, 0.5]).max() < 0.003  # from a centimeter beside it
    run("export", tmp_path / "run", "--to", "plug_in", "--hand-model", "plug_in", "--quiet")
    assert np.loadtxt(tmp_path / "run" / "export" / "wrists.txt").shape == (FRAMES, 3)


def test_a_network_and_a_data_set_work_by_name(installed: Path, videos: Path, tmp_path: Path) -> None:
    from hmpfit.regressors.checkpoints import save_network

    plan = registry.load("networks", "plug_in_network")
    weights = tmp_path / "weights.safetensors"
    save_network(plan.build(plan.sizes["small"]), plan.name, plan.sizes["small"], weights)
    settings = ("--keypoints", "plug_in", "--init", "plug_in_network", "--checkpoint", weights, "--solver", "none")
    run("run", videos / "empty.mp4", "-o", tmp_path / "run", *settings, "--quiet")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["initializer"] == "plug_in_network"
    dataset = registry.load("datasets", "plug_in").open(videos, "all", None)
    assert [sequence.name for sequence in dataset.sequences] == ["empty"]


def test_options_of_its_term_are_checked_like_ours(installed: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'size'; known: scale"):
        apply_overrides(load_recipe("default"), ["stages.1.options.plug_in={size=3}"])
