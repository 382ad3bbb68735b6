"""Synthetic clips: the truth is what was drawn, occluders hide what they cover, the same seed is the same clip."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner

from hmpfit.command_line.synthesize import synthesize
from hmpfit.errors import InputError
from hmpfit.hands.mano import pose_hands
from hmpfit.hands.model import HandModels
from hmpfit.records import Camera, HandMotion
from hmpfit.synthesis.clips import make_clip
from hmpfit.synthesis.occluders import KINDS, occluders
from hmpfit.synthesis.scenes import sample_scene
from hmpfit.synthesis.shading import Mesh

SIZE = ("--size", "160x120", "--frames", "6", "--count", "1")


def invoke(*arguments: object) -> list[Path]:
    said = [*map(str, arguments), *SIZE, "--json", "--quiet"]
    done = CliRunner().invoke(synthesize, said, catch_exceptions=False, standalone_mode=False)
    return [Path(folder) for folder in json.loads(done.stdout)["clips"]]


def pixels(folder: Path) -> np.ndarray:
    with av.open(str(folder / "clip.mp4")) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def test_the_same_seed_is_the_same_clip_and_another_is_not(tmp_path: Path) -> None:
    (first,), (second,) = (invoke("-o", tmp_path / name, "--hands", "both", "--seed", 3) for name in "ab")
    (other,) = invoke("-o", tmp_path / "a", "--hands", "both", "--seed", 4)
    assert (first / "clip.mp4").read_bytes() == (second / "clip.mp4").read_bytes()
    with np.load(first / "truth.npz") as one, np.load(second / "truth.npz") as two, np.load(other / "truth.npz") as far:
        assert all(np.array_equal(one[key], two[key]) for key in one.files)
        assert not np.allclose(one["joints"], far["joints"])
        assert one["is_right"].tolist() == [True, False] and one["joints"].shape == (2, 6, 21, 3)


def test_the_truth_is_the_posed_hand_inside_the_picture(models: HandModels, tmp_path: Path) -> None:
    for hands in ("left", "both"):
        (folder,) = invoke("-o", tmp_path, "--hands", hands)
        with np.load(folder / "truth.npz") as truth:
            motion = HandMotion(**{name: truth[name] for name in HandMotion.__dataclass_fields__})
            posed = pose_hands(models, motion, vertices=True)
            assert np.allclose(posed.joints, truth["joints"], atol=1e-9)
            assert posed.vertices is not None and np.allclose(posed.vertices, truth["vertices"], atol=1e-6)
            inside = (truth["keypoints_px"] > 0) & (truth["keypoints_px"] < [160, 120])
            assert inside.mean() > 0.9
            assert truth["visibility"].mean() > 0.5


def test_a_clip_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (folder,) = invoke("-o", tmp_path)
    stamp = (folder / "clip.mp4").stat().st_mtime_ns
    invoke("-o", tmp_path)
    assert (folder / "clip.mp4").stat().st_mtime_ns == stamp


def test_what_a_board_covers_is_hidden(models: HandModels, tmp_path: Path) -> None:
    scene = sample_scene(models, 1, 4, "right", 160, 120, None)
    near = scene.joints[0].mean((0, 1)) * 0.5
    corners = near + np.array([[-0.2, -0.2, 0], [0.2, -0.2, 0], [0.2, 0.2, 0], [-0.2, 0.2, 0]])
    board = Mesh(corners, np.array([[0, 2, 1], [0, 3, 2]]), np.array([0.0, 1.0, 0.0]))

    def others(frame: int) -> list[Mesh]:
        return [board] if frame >= 2 else []

    make_clip(tmp_path, scene.motion, models, scene.camera, 1, 30.0, scene.look, others)
    with np.load(tmp_path / "truth.npz") as truth:
        assert truth["visibility"][0, :2].mean() > 0.5 and not truth["visibility"][0, 2:].any()
    assert pixels(tmp_path)[3, 60, 80, 1] > 100 > pixels(tmp_path)[3, 60, 80, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_heavier_occlusion_hides_more(kind: str, models: HandModels) -> None:
    scene = sample_scene(models, 2, 60, "right", 160, 120, None)
    meshes = occluders(kind, scene.joints, 30.0, np.random.default_rng(0))
    counts = [len(meshes(frame)) for frame in range(60)]
    expected = {"none": (0, 0), "object": (1, 1), "heavy": (1, 2)}[kind]
    assert (min(counts), max(counts) >= expected[1]) == (expected[0], True)
    for mesh in meshes(30):  # faces turn outwards: a closed surface of positive volume
        a, b, c = (mesh.vertices[mesh.faces[:, corner]] for corner in range(3))
        assert (a * np.cross(b, c)).sum() / 6 > 0 or len(mesh.faces) < 12


def test_recordings_are_staged(inputs: Path, tmp_path: Path) -> None:
    (folder,) = invoke("-o", tmp_path, "--motion", inputs / "motion" / "leap" / "rollAndPitchCropped.npz")
    with np.load(folder / "truth.npz") as truth:
        assert np.abs(np.diff(truth["hand_pose"], axis=1)).max() > 0


def test_wrong_input_is_one_sentence(tmp_path: Path) -> None:
    wrong: dict[str, Any] = {"--motion": tmp_path / "none.npz"}
    with pytest.raises(InputError, match="holds no recording"):
        invoke("-o", tmp_path, "--motion", wrong["--motion"])
    with pytest.raises(InputError, match="two even numbers"):
        CliRunner().invoke(
            synthesize, ["-o", str(tmp_path), "--size", "63x1"], catch_exceptions=False, standalone_mode=False
        )


def test_a_camera_with_its_own_middle_is_used(models: HandModels) -> None:
    camera = sample_scene(models, 7, 2, "right", 160, 120, None).camera
    assert isinstance(camera, Camera) and camera.K[0, 0, 2] != 80
