"""LeRobot data sets: files and numbers read without pyarrow, and by LeRobot's own loader where one is installed."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hmpfit.errors import InputError
from hmpfit.exporters.lerobot_files import VIDEO_KEY
from hmpfit.exporters.persons import persons
from hmpfit.video.clip import open_clip
from hmpfit.video.writer import VideoWriter
from tests.exported_cases import FRAMES, SIDES, TENTH_MM, Case, all_cases, make_case

duckdb = pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")

# LeRobot's pins and ours exclude each other, so it lives in an interpreter of its own.
LEROBOT_PYTHON = os.environ.get("HMPFIT_LEROBOT_PYTHON")


def read(root: Path, columns: str, episode: int) -> list[np.ndarray]:
    """Return columns of an episode as LeRobot stores them, read by DuckDB."""
    place = f"chunk-000/file-{episode:03d}.parquet"
    rows = duckdb.sql(f"select {columns} from '{root}/data/{place}' order by frame_index").fetchall()
    return [np.array(column) for column in zip(*rows, strict=True)]


def with_video(case: Case, path: Path, frames: int = FRAMES) -> Case:
    """Give a case a clip whose frame n is a plane of gray 20 n."""
    with VideoWriter(path, 30, 64, 48) as video:
        for number in range(frames):
            video.write(np.full((48, 64, 3), 20 * number, np.uint8))
    return replace(case, options=replace(case.options, video=path))


@all_cases
def test_lerobot_numbers_are_the_results(hands: str, frame: str, tmp_path: Path) -> None:
    case = make_case(hands, frame)
    case.write("lerobot", tmp_path)
    root, result = tmp_path / "lerobot", case.result
    info = json.loads((root / "meta/info.json").read_text())
    groups = persons(result)
    assert info["codebase_version"] == "v3.0" and info["fps"] == 30
    assert info["total_episodes"] == len(groups) and info["total_frames"] == len(groups) * FRAMES
    names = info["features"]["observation.state"]["names"]
    assert len(names) == info["features"]["observation.state"]["shape"][0] == 108
    for episode, group in enumerate(groups):
        state, action, joints, status = read(
            root, '"observation.state", action, "observation.joints", "observation.status"', episode
        )
        assert np.array_equal(action[:-1], state[1:])
        joints = joints.reshape(FRAMES, 2, 21, 3)
        for hand in group:
            slot = 0 if result.motion.is_right[hand] else 1
            side = ("right", "left")[slot]
            assert np.abs(joints[:, slot] - result.joints[hand]).max() < TENTH_MM and (status[:, slot] == 2).all()
            first = names.index(f"{side}_x")
            assert np.abs(state[:, first : first + 3] - result.joints[hand, :, 0]).max() < TENTH_MM
            x, y = state[:, first + 3 : first + 6], state[:, first + 6 : first + 9]
            turned = Rotation.from_matrix(np.stack((x, y, np.cross(x, y)), axis=-1))
            expected = Rotation.from_rotvec(result.motion.global_orient[hand])
            assert np.rad2deg((turned * expected.inv()).magnitude()).max() < 0.1
            finger = names.index(f"{side}_index1_x")
            assert np.allclose(
                state[:, finger : finger + 45].reshape(FRAMES, 15, 3), result.motion.hand_pose[hand], atol=1e-6
            )
        for slot in {0, 1} - {0 if result.motion.is_right[hand] else 1 for hand in group}:
            assert (status[:, slot] == -1).all() and (joints[:, slot] == 0).all()


def test_many_runs_make_one_data_set_and_none_is_added_twice(tmp_path: Path) -> None:
    one, two = (with_video(make_case(hands, "camera"), tmp_path / f"{hands}.mp4") for hands in ("one", "two"))
    two = replace(two, options=replace(two.options, task="Wave."))
    for case in (one, two, one):
        case.write("lerobot", tmp_path)
    root = tmp_path / "lerobot"
    info = json.loads((root / "meta/info.json").read_text())
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (2, 2 * FRAMES, 2)
    rows = duckdb.sql(
        f"select episode_index, tasks, length, dataset_from_index, dataset_to_index from "
        f"'{root}/meta/episodes/*/*.parquet' order by 1"
    ).fetchall()
    assert rows == [
        (0, ["Move the hands as in the video."], FRAMES, 0, FRAMES),
        (1, ["Wave."], FRAMES, FRAMES, 2 * FRAMES),
    ]
    tasks = duckdb.sql(f"select __index_level_0__, task_index from '{root}/meta/tasks.parquet'").fetchall()
    assert tasks == [("Move the hands as in the video.", 0), ("Wave.", 1)]
    (index,) = read(root, "index", 1)
    assert index.tolist() == list(range(FRAMES, 2 * FRAMES))
    stats = json.loads((root / "meta/stats.json").read_text())
    both = np.concatenate([read(root, "action", episode)[0] for episode in (0, 1)]).astype(float)
    assert np.allclose(stats["action"]["mean"], both.mean(0)) and np.allclose(stats["action"]["std"], both.std(0))
    assert np.allclose(stats["action"]["max"], both.max(0)) and stats["action"]["count"] == [2 * FRAMES]
    clip = open_clip(root / f"videos/{VIDEO_KEY}/chunk-000/file-001.mp4")
    assert np.allclose(clip.times_s, np.arange(FRAMES) / 30, atol=1e-4)
    assert all(abs(image.mean() - 20 * number) < 3 for number, image in clip.images())


def test_data_sets_refuse_what_does_not_fit(tmp_path: Path) -> None:
    case = with_video(make_case("one", "camera"), tmp_path / "a.mp4")
    case.write("lerobot", tmp_path)
    with pytest.raises(InputError, match="other features"):
        make_case("two", "camera").write("lerobot", tmp_path)
    slow = replace(case.result, tracks=replace(case.result.tracks, times_s=np.arange(FRAMES) / 24))
    with pytest.raises(InputError, match="frames a second"):
        replace(case, result=slow).write("lerobot", tmp_path)
    gone = replace(case, options=replace(case.options, video=tmp_path / "gone.mp4"))
    with pytest.raises(InputError, match="--video none"):
        gone.write("lerobot", tmp_path / "other")
    (tmp_path / "full/lerobot").mkdir(parents=True)
    (tmp_path / "full/lerobot/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="no LeRobot data set"):
        case.write("lerobot", tmp_path / "full")


LOADER = """
import json, sys, numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
data = LeRobotDataset("local/hands", root=sys.argv[1], video_backend="pyav")
items = [data[number] for number in range(len(data))]
print(json.dumps({
    "episodes": data.num_episodes, "fps": data.fps, "task": items[-1]["task"],
    "gray": [float(item["observation.images.main"].mean()) for item in items],
    "joints": np.stack([item["observation.joints"].numpy() for item in items]).tolist(),
    "episode": [int(item["episode_index"]) for item in items],
}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("frame", ["camera", "world"])
def test_lerobots_own_loader_reads_it(frame: str, tmp_path: Path) -> None:
    """Three runs make four episodes: a third hand is a person of its own."""
    if LEROBOT_PYTHON is None:
        pytest.skip("HMPFIT_LEROBOT_PYTHON names no interpreter that has lerobot")
    cases = [with_video(make_case(hands, frame), tmp_path / f"{hands}.mp4") for hands in SIDES]
    for case in cases:
        case.write("lerobot", tmp_path)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = os.environ.get("HMPFIT_LEROBOT_PATH", "")
    done = subprocess.run(
        [LEROBOT_PYTHON, "-c", LOADER, str(tmp_path / "lerobot")], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    episodes = [(case, group) for case in cases for group in persons(case.result)]
    assert found["episodes"] == len(episodes) == 4 and found["fps"] == 30
    assert found["task"] == "Move the hands as in the video."
    assert found["episode"] == np.repeat(range(4), FRAMES).tolist()
    assert np.allclose(found["gray"], 4 * [20 * n / 255 for n in range(FRAMES)], atol=0.02)
    joints = np.array(found["joints"]).reshape(4, FRAMES, 2, 21, 3)
    for read, (case, group) in zip(joints, episodes, strict=True):
        for hand in group:
            slot = 0 if case.result.motion.is_right[hand] else 1
            assert np.abs(read[:, slot] - case.result.joints[hand]).max() < TENTH_MM
