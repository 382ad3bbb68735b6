"""`import hmpfit` as a Python user meets it: wrong values in one sentence, and a result that can be used."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hmpfit
from hmpfit.errors import HmpfitError
from hmpfit.hands.model_files import load_hand_models
from hmpfit.results.npz import write_copy
from tests.made_result import several_hands


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"hands": "lefft"}, "Unknown value of hands 'lefft'; known: auto, both, left, right."),
        ({"device": "gpu"}, "Unknown value of device 'gpu'; known: auto, cpu, cuda."),
        ({"frames": "0:20"}, "frames takes a pair of whole numbers"),
        ({"frames": (0.5, 2)}, "frames takes a pair of whole numbers"),
        ({"hide_keypoints": [3]}, "hide_keypoints takes a pair"),
        ({"prior": "nonesuch"}, "Unknown prior 'nonesuch'"),
        ({"colour": 1}, "Unknown setting 'colour'"),
    ],
)
def test_wrong_values_are_one_sentence(wrong: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(HmpfitError) as caught:
        hmpfit.fit_video(tmp_path / "none.mp4", **wrong)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_everything_offered_is_there() -> None:
    for name in hmpfit.__all__:
        assert getattr(hmpfit, name) is not None
    with pytest.raises(AttributeError, match="it offers"):
        hmpfit.nonesuch  # noqa: B018


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> hmpfit.FitResult:
    models = load_hand_models("open")
    folder = tmp_path_factory.mktemp("run")
    write_copy(several_hands(models, 4, (True, False, True)), models, folder)
    return hmpfit.read_result(folder)


def test_a_result_projects_where_its_keypoints_are(result: hmpfit.FitResult) -> None:
    assert isinstance(result, hmpfit.FitResult)
    np.testing.assert_allclose(result.project(), result.tracks.xy_px, atol=1e-6)
    meshes = result.vertices()
    assert meshes.shape[:2] == (3, 4) and result.project(meshes).shape == (*meshes.shape[:3], 2)
    away = np.linalg.norm(meshes[:, :, None] - result.joints[:, :, :, None], axis=-1)
    assert away.min(-1).max() < 0.03  # every joint is inside its hand


def test_frames_come_in_order(result: hmpfit.FitResult) -> None:
    frames = list(result.frames())
    assert [frame.index for frame in frames] == [0, 1, 2, 3] and frames[1].status == ("detected",) * 3
    np.testing.assert_array_equal(frames[2].joints, result.joints[:, 2])


def test_what_is_saved_reads_the_same(result: hmpfit.FitResult, tmp_path: Path) -> None:
    again = hmpfit.read_result(result.save(tmp_path / "kept"))
    np.testing.assert_array_equal(again.joints, result.joints)
    np.testing.assert_array_equal(again.motion.hand_pose, result.motion.hand_pose)
    (file,) = result.export("csv", tmp_path / "out")
    assert file.is_file()
    with pytest.raises(HmpfitError, match=r"known: .*glb"):
        result.export("nonesuch", tmp_path)


def test_it_says_what_it_is(result: hmpfit.FitResult) -> None:
    said = repr(result)
    assert said.startswith("<FitResult of 4 frames; ") and "4 detected" in said and len(said) < 400
    assert result._repr_html_().count("<tr>") == 3
