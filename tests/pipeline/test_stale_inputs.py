"""A result is never stale: the content of every input file decides which run it is, and never its path."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hmpfit.errors import RunFolderError
from hmpfit.pipeline import run_video
from hmpfit.pipeline.run import Run, run_identity
from hmpfit.progress import Silent
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import DETECTED
from hmpfit.results.npz import read_result
from hmpfit.video.writer import VideoWriter
from tests.model_fixtures import invented_model, smplx_arrays

FRAMES = 6
PRIORS = Path(__file__).parents[2] / "priors" / "weights"


def still_motion(file: Path, depth_m: float) -> None:
    """Write a first guess of a hand that does not move."""
    np.savez(
        file, global_orient=np.zeros((1, FRAMES, 3)), hand_pose=np.zeros((1, FRAMES, 15, 3)), betas=np.zeros((1, 10)),
        transl=np.broadcast_to([0.05, 0.0, depth_m], (1, FRAMES, 3)), is_right=np.array([True]),
        status=np.full((1, FRAMES), DETECTED, np.uint8),
    )  # fmt: skip


def keypoints(file: Path, shift_px: float) -> None:
    """Write landmarks of a hand."""
    xy = np.random.default_rng(0).uniform(40, 80, (1, 1, 21, 2)).repeat(FRAMES, 1) + shift_px
    np.savez(file, xy_px=xy, is_right=np.array([True]))


def trajectory(file: Path, x_m: float) -> None:
    """Write a camera's path as TUM has it, `x_m` to the right."""
    file.write_text("".join(f"{frame / 30} {x_m} 0 0 0 0 0 1\n" for frame in range(FRAMES)))


def text(file: Path, content: str) -> None:
    """Write a text."""
    file.write_text(content)


def prior(file: Path, name: str) -> None:
    """Copy a shipped prior with its card."""
    shutil.copyfile(PRIORS / f"{name}.safetensors", file)
    shutil.copyfile(PRIORS / f"{name}.card.toml", file.with_suffix(".card.toml"))


def recipe(file: Path, views: int) -> None:
    """Write a recipe."""
    file.write_text(f"[keypoints]\nviews = {views}\n")


def hand(file: Path, seed: int) -> None:
    """Write a file with MANO's keys."""
    np.savez(file, **smplx_arrays(invented_model(seed)))


# option of `resolve_settings` -> how its text names the file, the file's name, how to write it, two contents
CASES: dict[str, tuple[str, str, Callable[..., None], tuple[object, object]]] = {
    "init": ("file:{}", "start.npz", still_motion, (0.5, 0.6)),
    "keypoints": ("file:{}", "points.npz", keypoints, (0.0, 5.0)),
    "intrinsics": ("{}", "camera.txt", text, ("150 0 80\n0 150 60\n0 0 1\n", "160 0 80\n0 160 60\n0 0 1\n")),
    "hand_landmarker": ("{}", "hand.task", text, ("one", "two")),
    "mmpose_config": ("{}", "config.py", text, ("one", "two")),
    "mmpose_checkpoint": ("{}", "weights.pth", text, ("one", "two")),
    "mmpose_onnx": ("{}", "model.onnx", text, ("one", "two")),
    "recipe": ("{}", "mine.toml", recipe, (3, 5)),
    "prior": ("{}", "prior.safetensors", prior, ("default", "gmm")),
    "checkpoint": ("{}", "net.safetensors", text, ("one", "two")),
    "hand_model": ("{}", "mano.npz", hand, (3, 4)),
    "boxes": ("{}", "boxes.json", text, ("one", "two")),
    "camera_motion": ("file:{}", "path.txt", trajectory, (0.1, 0.2)),
    "shape_from": ("{}", "result.npz", text, ("one", "two")),
}
MMPOSE = {"keypoints": "mmpose", "mmpose_config": "a", "mmpose_checkpoint": "b"}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("video") / "empty.mp4"
    with VideoWriter(file, 30, 160, 120) as writer:
        for frame in range(FRAMES):
            writer.write(np.full((120, 160, 3), 90, np.uint8), frame / 30)
    return file


def identity(video: Path, out: Path, choices: dict[str, str]) -> dict[str, object]:
    run = Run.open(video, out, resolve_settings(**choices), Silent())
    return run_identity(run.context, run.prior)


@pytest.mark.parametrize("option", CASES)
def test_the_content_of_a_file_and_not_its_path_says_which_run_it_is(option: str, video: Path, tmp_path: Path) -> None:
    form, name, write, contents = CASES[option]
    network = {"init": "ifvonet"} if option in ("checkpoint", "boxes") else {}
    others = MMPOSE if option.startswith("mmpose") else network
    found = []
    for folder, content in (("here", contents[0]), ("there", contents[0]), ("here", contents[1])):
        file = tmp_path / folder / name
        file.parent.mkdir(exist_ok=True)
        write(file, content)
        found.append(identity(video, tmp_path / "run", {**others, option: form.format(file)}))
    assert found[0] == found[1] != found[2]


def test_changed_files_give_the_new_result_and_a_finished_run_is_not_mistaken(video: Path, tmp_path: Path) -> None:
    start, points = tmp_path / "start.npz", tmp_path / "points.npz"
    still_motion(start, 0.5)
    keypoints(points, 0.0)
    choices = {"init": f"file:{start}", "keypoints": f"file:{points}", "solver": "none"}
    settings = resolve_settings(**choices)
    run_video(video, tmp_path / "run", settings)
    before = read_result(tmp_path / "run")
    still_motion(start, 0.6)
    keypoints(points, 5.0)
    with pytest.raises(RunFolderError, match="other settings"):
        run_video(video, tmp_path / "run", settings)
    run_video(video, tmp_path / "run", resolve_settings(**choices, overwrite=True))
    after = read_result(tmp_path / "run")
    assert before.motion.transl[0, 0, 2] == 0.5 and after.motion.transl[0, 0, 2] == 0.6
    assert after.tracks.xy_px[0, 0, 0, 0] - before.tracks.xy_px[0, 0, 0, 0] == pytest.approx(5.0)
