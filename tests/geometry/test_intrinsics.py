"""`--intrinsics`: every form gives the same camera, anything else is one sentence that lists the forms."""

import json
from pathlib import Path

import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.geometry.intrinsics import camera_for


def test_a_camera_reads_from_every_form(tmp_path: Path) -> None:
    K = np.array([[[900.0, 0, 320], [0, 910.0, 240], [0, 0, 1]]])
    (tmp_path / "a.json").write_text(json.dumps({"K": K[0].tolist(), "distortion": [0.1]}))
    (tmp_path / "b.txt").write_text("900 0 320\n0 910 240\n0 0 1\n")
    np.savez(tmp_path / "c.npz", K=K.repeat(5, axis=0))
    for text in ("900,910,320,240", str(tmp_path / "a.json"), str(tmp_path / "b.txt")):
        camera = camera_for(640, 480, text, 0.9)
        np.testing.assert_array_equal(camera.K, K)
        assert camera.source == "given"
    assert camera_for(640, 480, str(tmp_path / "c.npz"), 0.9).K.shape == (5, 3, 3)
    distortion = camera_for(640, 480, str(tmp_path / "a.json"), 0.9).distortion
    assert distortion is not None and distortion.tolist() == [0.1, 0, 0, 0, 0]


def test_without_a_camera_the_focal_length_is_assumed_and_said_so() -> None:
    camera = camera_for(640, 480, None, 0.9)
    assert camera.source == "assumed"
    np.testing.assert_allclose(camera.K, [[[576, 0, 320], [0, 576, 240], [0, 0, 1]]])
    assert camera_for(640, 480, None, 0.9, focal_px=5000).K[0, 0, 0] == 5000


@pytest.mark.parametrize(
    "text", ["900,910,320", "a,b,c,d", "-1,900,3,3", "nan,900,3,3", "/absent/K.json", "/absent/K.npz", "/absent/K.txt"]
)
def test_wrong_intrinsics_are_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match="give fx,fy,cx,cy in pixels"):
        camera_for(640, 480, text, 0.9)


@pytest.mark.parametrize("content", ["", "{}", "[1, 2]", '{"K": 3}'])
def test_a_file_that_holds_no_camera_is_refused(content: str, tmp_path: Path) -> None:
    for suffix in (".json", ".npz", ".txt"):
        path = tmp_path / f"K{suffix}"
        path.write_text(content)
        with pytest.raises(InputError, match="give fx,fy,cx,cy in pixels"):
            camera_for(640, 480, str(path), 0.9)
