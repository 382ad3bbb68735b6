"""A miniature HO3D tree: IFVONet trains on it for two epochs, resumes, and is scored by HO3D's own metrics."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from hmpfit.command_line.evaluate import evaluate
from hmpfit.command_line.predict import predict
from hmpfit.command_line.train import train
from hmpfit.datasets.hand_clips import open_hand_clips
from hmpfit.errors import InputError
from hmpfit.hands.model_files import load_hand_models
from hmpfit.regressors.samples import NOTHING, View, sample_crop
from tests.dataset_fixtures.ho3d import write_ho3d


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mini") / "HO3D_v3"
    write_ho3d(root)
    return root


def invoke(command: Any, *words: str) -> dict[str, Any]:
    done = CliRunner().invoke(command, [*words, "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output[done.output.index("{") :])
    return found


def test_pairs_of_the_tree_are_consecutive_and_true(tree: Path) -> None:
    clips = open_hand_clips(f"ho3d:{tree}", View(64), load_hand_models("open"))
    assert len(clips) == 10  # 12 frames, one holds None, the last is not listed
    first, after_hole, plain = clips[0], clips[3], clips[5]
    assert (first.images[0] == first.images[1]).all()  # the first frame is paired with itself
    assert np.isnan(after_hole.global_orient[0, 0]).all() and np.isfinite(after_hole.global_orient[0, 1]).all()
    assert np.isfinite(plain.joints_m).all() and (plain.images[0] != plain.images[1]).any()
    sample = sample_crop(after_hole, View(64), NOTHING, np.random.default_rng(0))
    assert np.isfinite(sample["image"]).all()


def test_two_epochs_resumed_and_scored_by_ho3ds_metrics(tree: Path, tmp_path: Path) -> None:
    words = ["ifvonet", "--data", f"ho3d:{tree}", "-o", str(tmp_path / "out"), "--device", "cpu", "--quiet"]
    words += [
        "--size",
        "tiny",
        "--set",
        "width=16",
        "--set",
        "heads=2",
        "--set",
        "upright=false",
        "--batch",
        "3",
        "--epochs",
        "2",
    ]
    told = invoke(train, *words)
    again = invoke(train, *words)  # a finished training goes on from its end
    assert told["held_out"] == again["held_out"] and told["sha256"] == again["sha256"]
    assert np.isfinite(list(told["held_out"].values())).all()
    place = ["--dataset", f"ho3d:{tree}", "--split", "evaluation"]
    made = invoke(
        predict, "ifvonet", *place, "--checkpoint", told["checkpoint"], "-o", str(tmp_path / "said"), "--quiet"
    )
    assert made["sequences"] == ["SM1"]
    scores = json.dumps(invoke(evaluate, *place, "--predictions", str(tmp_path / "said")))
    assert '"ho3d_joint_error' in scores and '"coverage": 1.0' in scores and "NaN" not in scores


def test_sources_without_parameters_and_upright_networks_are_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        invoke(train, "ifvonet", "--data", "ho3d:/nowhere", "-o", str(tmp_path / "x"))
    with pytest.raises(InputError, match=r"No weights|turned upright"):
        invoke(predict, "ifvonet", "--dataset", f"ho3d:{tree}", "-o", str(tmp_path / "y"))
