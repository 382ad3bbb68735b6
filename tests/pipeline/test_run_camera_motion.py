"""`hmpfit run --camera`: from pixels to the world, with the hands' landmarks given so that no detector has to run."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import hmpfit
from hmpfit.errors import InputError
from hmpfit.geometry.rigid_transforms import apply, inverse
from hmpfit.hands.model_files import load_hand_models
from hmpfit.records import FitRecord
from hmpfit.synthesis.clips import make_clip
from hmpfit.synthesis.scenes import sample_scene

FRAMES = 16
MODELS = load_hand_models("open")


def make(folder: Path, kind: str) -> Path:
    """Render a short clip and write its true landmarks as a keypoint file, and its camera as intrinsics."""
    scene = sample_scene(MODELS, 11, FRAMES, "right", 320, 240, None, camera_path=kind)
    make_clip(folder, scene.motion, MODELS, scene.camera, 11, 30.0, scene.look, place=scene.place)
    centered = scene.joints - scene.joints.mean(axis=2, keepdims=True)
    with np.load(folder / "truth.npz") as truth:
        np.savez(folder / "keypoints.npz", xy_px=truth["keypoints_px"], is_right=truth["is_right"], world_m=centered)
        np.savez(folder / "K.npz", K=truth["K"])
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: make(tmp_path_factory.mktemp(kind), kind) for kind in ("static", "walk")}


def fit(folder: Path, camera: str, **choices: object) -> FitRecord:
    return hmpfit.fit_video(
        folder / "clip.mp4", keypoints=f"file:{folder / 'keypoints.npz'}", intrinsics=str(folder / "K.npz"),
        camera_motion=camera, assignments=["stages.0.steps=6", "stages.1.steps=6"], **choices,
    )  # fmt: skip


def world_joints(result: FitRecord) -> np.ndarray:
    assert result.camera_motion is not None
    return apply(result.camera_motion.world_from_camera[None], result.joints)


def test_a_still_camera_s_result_is_that_of_static_to_the_last_bit(clips: dict[str, Path]) -> None:
    found, told = fit(clips["static"], "auto"), fit(clips["static"], "static")
    assert found.camera_motion is not None and found.camera_motion.status == "static"
    assert np.array_equal(found.camera_motion.world_from_camera, np.repeat(np.eye(4)[None], FRAMES, 0))
    assert np.array_equal(found.joints, told.joints) and np.array_equal(found.joint_std_mm, told.joint_std_mm)


def test_a_path_from_colmap_and_from_tum_gives_the_same_world_motion(clips: dict[str, Path], tmp_path: Path) -> None:
    folder = clips["walk"]
    with np.load(folder / "truth.npz") as truth:
        path, times_s = truth["world_from_camera"], truth["times_s"]
    to_camera = inverse(path)
    lines = []
    for frame in range(FRAMES):
        x, y, z, w = Rotation.from_matrix(to_camera[frame, :3, :3]).as_quat()
        numbers = " ".join(f"{value:.9f}" for value in (w, x, y, z, *to_camera[frame, :3, 3]))
        lines += [f"{frame + 1} {numbers} 1 frame_{frame + 1:04d}.png", ""]
    (tmp_path / "images.txt").write_text("\n".join(lines) + "\n")
    quaternion = Rotation.from_matrix(path[:, :3, :3]).as_quat()
    np.savetxt(tmp_path / "tum.txt", np.c_[times_s, path[:, :3, 3], quaternion], fmt="%.9f")
    colmap, tum = (fit(folder, f"file:{tmp_path / name}") for name in ("images.txt", "tum.txt"))
    own = fit(folder, f"file:{folder / 'truth.npz'}")
    assert np.abs(world_joints(colmap) - world_joints(tum)).max() < 0.001
    assert np.abs(world_joints(colmap) - world_joints(own)).max() < 0.001
    assert colmap.camera_motion is not None and colmap.camera_motion.status == "given"
    with np.load(folder / "truth.npz") as truth:
        assert np.linalg.norm(world_joints(own) - truth["joints_world"], axis=-1).mean() < 0.05


def test_a_moving_camera_is_found_from_the_pixels(clips: dict[str, Path]) -> None:
    result = fit(clips["walk"], "auto")
    assert result.camera_motion is not None
    assert result.camera_motion.status in ("moving", "moving, scale unobserved")
    assert result.camera_motion.map_from_camera is not None


def test_wrong_choices_are_refused_before_anything_slow(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="auto, static, moving, file:PATH"):
        hmpfit.fit_video(tmp_path / "none.mp4", camera_motion="orbit")
    with pytest.raises(InputError, match="--camera-scale hands is for"):
        hmpfit.fit_video(tmp_path / "none.mp4", camera_scale="hands")
