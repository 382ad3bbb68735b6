"""Results that know the world: their file, exports in its frame, report, viewer and warnings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pygltflib
import pytest
from click.testing import CliRunner

from hmpfit.command_line.export import export
from hmpfit.errors import InputError
from hmpfit.geometry.rigid_transforms import apply
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model_files import load_hand_models
from hmpfit.records import CameraMotion
from hmpfit.results.npz import StoredResult, read_result, write_copy
from hmpfit.viewing.map_chart import MapInset
from hmpfit.viewing.report import write_report
from hmpfit.viewing.warnings import warnings
from tests.made_result import camera_path, summary_of, two_hands, write_run

FRAMES = 6
MODELS = load_hand_models("open")
PATH = camera_path(FRAMES)


def moving() -> StoredResult:
    return replace(two_hands(MODELS, FRAMES), camera_motion=CameraMotion(PATH, "moving", 0.2))


def unscaled() -> StoredResult:
    unknown = PATH.copy()
    unknown[:, :3, 3] = np.nan
    motion = CameraMotion(unknown, "moving, scale unobserved", np.inf, "", PATH)
    return replace(two_hands(MODELS, FRAMES), camera_motion=motion)


def test_the_file_keeps_the_world_and_joints_in_it(tmp_path: Path) -> None:
    write_copy(moving(), MODELS, tmp_path)
    with np.load(tmp_path / "result.npz") as stored:
        assert np.array_equal(stored["world_from_camera"], PATH)
        assert str(stored["camera_status"]) == "moving" and float(stored["scale_std"]) == 0.2
        assert np.allclose(stored["joints_world"], apply(PATH[None], stored["joints"]))
    again = read_result(tmp_path)
    assert again.camera_motion is not None and again.camera_motion.status == "moving"
    write_copy(unscaled(), MODELS, tmp_path)
    again = read_result(tmp_path)
    assert again.world_from_camera is None and again.camera_motion is not None
    assert again.camera_motion.map_from_camera is not None
    assert np.array_equal(again.camera_motion.map_from_camera, PATH)


def test_export_in_the_world_s_frame_draws_the_camera(tmp_path: Path) -> None:
    write_copy(moving(), MODELS, tmp_path)
    told = [str(tmp_path), "--to", "glb", "--to", "amass", "--frame", "world", "-o", str(tmp_path / "out"), "--quiet"]
    CliRunner().invoke(export, told, catch_exceptions=False, standalone_mode=False)
    file = pygltflib.GLTF2().load(str(tmp_path / "out" / "hands.glb"))
    names = [node.name for node in file.nodes]
    assert {"camera", "camera_path"} <= set(names)
    K = moving().camera.K[0]
    assert file.cameras[0].perspective.yfov == pytest.approx(2 * np.arctan2(240, K[1, 1]))
    place = PATH[0, :3, 3] * [1, -1, -1]
    assert np.allclose(file.nodes[names.index("camera")].translation, place, atol=1e-6)
    # the first hand's wrist stands where joints_world has it, in upright axes
    wrist = apply(PATH[None], moving().joints)[0, 0, 0] * [1, -1, -1]
    assert np.allclose(file.nodes[names.index("right_wrist")].translation, wrist, atol=1e-5)


def test_a_world_of_unknown_scale_is_not_exported(tmp_path: Path) -> None:
    write_copy(unscaled(), MODELS, tmp_path)
    with pytest.raises(InputError, match=r"scale unobserved.*--camera file:PATH"):
        CliRunner().invoke(
            export, [str(tmp_path), "--to", "glb", "--frame", "world"], catch_exceptions=False, standalone_mode=False
        )


def test_parameters_in_the_world_pose_the_joints_of_the_world() -> None:
    from hmpfit.results.frames import move_result

    moved = move_result(moving(), MODELS, PATH)
    assert np.allclose(pose_hands(MODELS, moved.motion).joints, moved.joints, atol=1e-9)


def test_the_report_draws_the_world_and_warns_where_it_is_not_known(tmp_path: Path) -> None:
    write_run(tmp_path / "known", moving(), MODELS)
    page = write_report(tmp_path / "known").read_text()
    assert "In the world, from above" in page and "may be 20% too long or too short" in page
    write_run(tmp_path / "unknown", unscaled(), MODELS)
    page = write_report(tmp_path / "unknown").read_text()
    assert "In the world, from above" not in page and "scale unobserved" in page
    lost = replace(two_hands(MODELS, FRAMES), camera_motion=CameraMotion(PATH * np.nan, "moving, path not found"))
    assert any("path was not found" in said for said in warnings(lost, summary_of(lost)))
    still = CameraMotion(np.repeat(np.eye(4)[None], FRAMES, 0), "static")
    assert warnings(replace(lost, camera_motion=still), summary_of(lost)) == warnings(
        replace(lost, camera_motion=None), summary_of(lost)
    )


def test_the_map_in_a_corner_shows_the_path_so_far() -> None:
    result = moving()
    wrists = apply(PATH[None], result.joints[:, :, :1])[:, :, 0]
    inset = MapInset(PATH[:, :3, 3], wrists, [(250, 150, 70), (80, 170, 250)])
    images = [np.full((480, 640, 3), 90, np.uint8) for _ in range(2)]
    for image, frame in zip(images, (0, FRAMES - 1)):
        inset.draw(image, frame)
        assert (image[:, :400] == 90).all()
    bright = [int((image[:110, 530:] > 200).all(-1).sum()) for image in images]
    assert 0 < bright[0] < bright[1]
