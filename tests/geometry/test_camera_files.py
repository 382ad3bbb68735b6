"""Cameras of other tools: what they mean is read, what cannot have taken the clip is refused with its reason."""

import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.geometry.intrinsics import camera_for
from hmpfit.records import Camera

K = np.array([[500.0, 0, 320], [0, 500, 180], [0, 0, 1]])
ROS = """image_width: 640
image_height: 360
camera_name: narrow
camera_matrix:
  rows: 3
  cols: 3
  data: [500, 0, 320, 0, 500, 180, 0, 0, 1]
distortion_model: {model}
distortion_coefficients:
  rows: 1
  cols: {count}
  data: {values}
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
"""
ROS_MESSAGE = """header: {stamp: 0}
height: 360
width: 640
distortion_model: plumb_bob
D: [0.1, -0.05, 0.0, 0.0, 0.0]
K: [500.0, 0.0, 320.0, 0.0, 500.0, 180.0, 0.0, 0.0, 1.0]
R: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
P: [480.0, 0.0, 320.0, 0.0, 0.0, 480.0, 180.0, 0.0, 0.0, 0.0, 1.0, 0.0]
"""
KALIBR = """cam0:
  camera_model: pinhole
  distortion_coeffs: [0.1, -0.05, 0.001, 0.002]
  distortion_model: radtan
  intrinsics: [500.0, 500.0, 320.0, 180.0]
  resolution: [640, 360]
cam1:
  T_cn_cnm1: [[1, 0, 0, 0.1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
  camera_model: pinhole
  distortion_coeffs: [0.01, 0.02, 0.03, 0.04]
  distortion_model: equidistant
  intrinsics: [500.0, 500.0, 320.0, 180.0]
  resolution: [640, 360]
"""
RADTAN, FISHEYE = [0.1, -0.05, 0.001, 0.002, 0.0], [0.01, 0.02, 0.03, 0.04]


def read(text: str | Path, width: int = 640, height: int = 360, **more: object) -> Camera:
    """Read `--intrinsics` for a clip of 640 x 360."""
    return camera_for(width, height, str(text), 0.9, **more)  # type: ignore[arg-type]


def opencv_file(path: Path, coefficients: list[float]) -> Path:
    """Let OpenCV write a calibration."""
    store = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    store.write("image_width", 640)
    store.write("image_height", 360)
    store.write("camera_matrix", K)
    store.write("distortion_coefficients", np.array([coefficients]))
    store.release()
    return path


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json", ".xml"])
def test_opencvs_files(suffix: str, tmp_path: Path) -> None:
    camera = read(opencv_file(tmp_path / f"calibration{suffix}", RADTAN))
    np.testing.assert_allclose(camera.K[0], K)
    assert camera.distortion is not None and camera.distortion.tolist() == RADTAN
    rational = [0.1, 0.01, 0, 0, 0, 0.2, 0.1, 0.05]
    camera = read(opencv_file(tmp_path / f"eight{suffix}", rational))
    assert camera.distortion is not None and camera.distortion.tolist() == rational
    with pytest.raises(InputError, match="thin-prism"):
        read(opencv_file(tmp_path / f"twelve{suffix}", [*rational, 0.1, 0, 0, 0]))


@pytest.mark.parametrize(
    ("model", "values", "expected"),
    [
        ("plumb_bob", RADTAN, RADTAN),
        ("rational_polynomial", [0.1, 0, 0, 0, 0, 0.2, 0.1, 0.0], [0.1, 0, 0, 0, 0, 0.2, 0.1, 0.0]),
        ("equidistant", FISHEYE, FISHEYE),
        ("plumb_bob", [0, 0, 0, 0, 0], None),
    ],
)
def test_ros_camera_info(model: str, values: list[float], expected: list[float] | None, tmp_path: Path) -> None:
    (tmp_path / "info.yaml").write_text(ROS.format(model=model, count=len(values), values=values))
    camera = read(tmp_path / "info.yaml")
    np.testing.assert_allclose(camera.K[0], K)
    assert (None if camera.distortion is None else camera.distortion.tolist()) == expected
    (tmp_path / "message.yaml").write_text(ROS_MESSAGE)
    camera = read(tmp_path / "message.yaml")
    np.testing.assert_allclose(camera.K[0], K, err_msg="K, not P, which is of the rectified picture")


def test_a_kalibr_chain(tmp_path: Path) -> None:
    (tmp_path / "camchain.yaml").write_text(KALIBR)
    with pytest.raises(InputError, match="cam0, cam1; name one, such as FILE#cam0"):
        read(tmp_path / "camchain.yaml")
    for name, expected in (("cam0", RADTAN), ("cam1", FISHEYE)):
        camera = read(f"{tmp_path / 'camchain.yaml'}#{name}")
        np.testing.assert_allclose(camera.K[0], K)
        assert camera.distortion is not None and camera.distortion.tolist() == expected
    with pytest.raises(InputError, match="no 'cam7'"):
        read(f"{tmp_path / 'camchain.yaml'}#cam7")
    (tmp_path / "omni.yaml").write_text(KALIBR.replace("pinhole", "omni").partition("cam1")[0])
    with pytest.raises(InputError, match="'omni' cannot be used"):
        read(tmp_path / "omni.yaml")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("SIMPLE_PINHOLE 640 360 500 320 180", None),
        ("PINHOLE 640 360 500 500 320 180", None),
        ("SIMPLE_RADIAL 640 360 500 320 180 0.1", [0.1, 0, 0, 0, 0]),
        ("RADIAL 640 360 500 320 180 0.1 -0.05", [0.1, -0.05, 0, 0, 0]),
        ("OPENCV 640 360 500 500 320 180 0.1 -0.05 0.001 0.002", RADTAN),
        ("FULL_OPENCV 640 360 500 500 320 180 0.1 -0.05 0 0 0 0.2 0 0", [0.1, -0.05, 0, 0, 0, 0.2, 0, 0]),
        ("OPENCV_FISHEYE 640 360 500 500 320 180 0.01 0.02 0.03 0.04", FISHEYE),
        ("RADIAL_FISHEYE 640 360 500 320 180 0.01 0.02", [0.01, 0.02, 0, 0]),
    ],
)
def test_colmaps_models(line: str, expected: list[float] | None, tmp_path: Path) -> None:
    (tmp_path / "cameras.txt").write_text(f"# Camera list\n1 {line}\n")
    camera = read(tmp_path / "cameras.txt")
    np.testing.assert_allclose(camera.K[0], K)
    assert (None if camera.distortion is None else camera.distortion.tolist()) == expected
    with (tmp_path / "cameras.txt").open("a") as file:
        file.write("7 PINHOLE 640 360 400 400 320 180\n")
    with pytest.raises(InputError, match="cameras 1, 7"):
        read(tmp_path / "cameras.txt")
    assert read(f"{tmp_path / 'cameras.txt'}#7").K[0, 0, 0] == 400


@pytest.mark.parametrize("line", ["THIN_PRISM_FISHEYE 640 360 1 1 1 1 1 1 1 1 1 1 1 1", "PINHOLE 640 360 500 320 180"])
def test_colmap_that_cannot_be_used(line: str, tmp_path: Path) -> None:
    (tmp_path / "cameras.txt").write_text(f"1 {line}\n")
    with pytest.raises(InputError, match="COLMAP's"):
        read(tmp_path / "cameras.txt")


def test_our_json_names_its_lens(tmp_path: Path) -> None:
    def written(**content: object) -> Path:
        (tmp_path / "K.json").write_text(json.dumps({"K": K.tolist(), **content}))
        return tmp_path / "K.json"

    for distortion, model, expected in (
        ([0.1, -0.05, 0.001, 0.002], None, RADTAN), (FISHEYE, "fisheye", FISHEYE), ([0] * 4, "fisheye", [0] * 4),
        ([0] * 5, None, None),
    ):  # fmt: skip
        camera = read(written(distortion=distortion, distortion_model=model))
        assert (None if camera.distortion is None else camera.distortion.tolist()) == expected
    with pytest.raises(InputError, match="'funny' is not known"):
        read(written(distortion=FISHEYE, distortion_model="funny"))


def test_a_camera_of_another_size_is_scaled_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    big = {"K": [[1500, 0, 960], [0, 1500, 540], [0, 0, 1]], "width": 1920, "height": 1080}
    (tmp_path / "K.json").write_text(json.dumps(big))
    with caplog.at_level(logging.WARNING, "hmpfit"):
        camera = read(tmp_path / "K.json")
    np.testing.assert_allclose(camera.K[0], K)
    assert "Scaled from 1920x1080" in camera.note and camera.note in caplog.text
    with pytest.raises(InputError, match="another shape"):
        read(tmp_path / "K.json", 640, 480)
    with pytest.raises(InputError, match="shown turned"):
        read(tmp_path / "K.json", 1080, 1920)
    narrow = {"K": [[250, 0, 160], [0, 500, 180], [0, 0, 1]], "width": 320, "height": 360}
    (tmp_path / "K.json").write_text(json.dumps(narrow))
    np.testing.assert_allclose(read(tmp_path / "K.json", stored_size=(320, 360)).K[0], K)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1400,1400,960,540", "outside.*looks like one for 1920x1080.*466.667,466.667,320,180"),
        ("500,500,-1,180", "outside"),
        ("933,933,640,360", "outside.*one for 1280x720"),
        ("150,150,320,180", "focal length of 150"),
        ("5000,5000,320,180", "7.8 times the longer side"),
        ("35,35,320,180", "Is it in pixels"),
        ("400,1000,320,180", "square"),
        ("0,500,320,180", "no positive focal"),
        ("inf,500,320,180", "not finite"),
    ],
)
def test_implausible_cameras_are_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read(text)


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (K.T, "transposed"),
        (np.diag([500.0, 500.0, 0.0]), "no camera matrix"),
        (np.ones((3, 3)), "no camera matrix"),
        (K[:2], "shape"),
    ],
)
def test_wrong_matrices_are_refused(matrix: np.ndarray, says: str, tmp_path: Path) -> None:
    (tmp_path / "K.json").write_text(json.dumps({"K": matrix.tolist()}))
    with pytest.raises(InputError, match=says):
        read(tmp_path / "K.json")


def test_distortion_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    for distortion, says in (([0.1, float("nan"), 0, 0, 0], "not finite"), ([-3.0, 0, 0, 0, 0], "cannot be undone")):
        (tmp_path / "K.json").write_text(json.dumps({"K": K.tolist(), "distortion": distortion}))
        with pytest.raises(InputError, match=says):
            read(tmp_path / "K.json")


def test_an_odd_center_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hmpfit"):
        note = read("750,750,480,270").note
    assert note in caplog.text and "far from the middle" in caplog.text and "looks like one for 960x540" in caplog.text


@pytest.mark.parametrize("text", ["a: [1, 2", "- 1\n- 2", "%YAML:1.0\n---\nwidth: 3\n", "hello", "<opencv_storage>"])
def test_files_without_a_camera_are_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError, match="give fx,fy,cx,cy in pixels"):
        read(tmp_path / "c.yaml")


def test_the_cases(inputs: Path) -> None:
    cases = inputs / "cases"
    for name in ("opencv_calib.yaml", "colmap_cameras.txt"):
        np.testing.assert_allclose(read(cases / name).K[0], K)
    assert read(cases / "opencv_calib.yaml").distortion.tolist() == [0.1, -0.05, 0, 0, 0]  # type: ignore[union-attr]
    for name, says in (("K_of_1080p.json", "1920x1080"), ("K_transposed.json", "transposed")):
        with pytest.raises(InputError, match=says):
            read(cases / name)
    eight = read(cases / "K_8_distortion.json").distortion
    assert eight is not None and eight.tolist() == [0.1, 0.01, 0, 0, 0, 0.2, 0.1, 0.05], "none of them is dropped"
