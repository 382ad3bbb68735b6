"""The run folder: fresh and stale stages, refusal of other settings, and failures that leave the old results."""

import errno
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hmpfit.errors import RunFolderError
from hmpfit.results.record_files import write_npz
from hmpfit.run_folder import RunFolder, describe_differences


def save(path: Path, value: np.ndarray) -> None:
    write_npz(path, {"value": value})


def load(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as stored:
        return stored["value"]


def stage(folder: RunFolder, fingerprint: str, value: float, calls: list[float]) -> np.ndarray:
    def compute() -> np.ndarray:
        calls.append(value)
        return np.array([value])

    return folder.stage("tracks", fingerprint, compute, save, load)


def finish(folder: RunFolder, frames: int) -> None:
    with folder.publish() as scratch:
        save(scratch / "result.npz", np.array([frames]))
        (scratch / "result.json").write_text(json.dumps({"frames": frames}))


def test_a_stage_is_computed_once_per_fingerprint(tmp_path: Path) -> None:
    calls: list[float] = []
    for fingerprint, value, expected in (("a", 1.0, 1.0), ("a", 2.0, 1.0), ("b", 3.0, 3.0), ("b", 4.0, 3.0)):
        assert stage(RunFolder(tmp_path / "run", {}), fingerprint, value, calls).tolist() == [expected]
    assert calls == [1.0, 3.0]


def test_a_truncated_stage_file_is_stale(tmp_path: Path) -> None:
    folder, calls = RunFolder(tmp_path, {}), list[float]()
    stage(folder, "a", 1.0, calls)
    path = tmp_path / "tracks.npz"
    path.write_bytes(path.read_bytes()[:-40])
    assert stage(folder, "a", 2.0, calls).tolist() == [2.0]
    assert stage(folder, "a", 3.0, calls).tolist() == [2.0]


def test_a_stage_that_fails_keeps_the_earlier_file(tmp_path: Path) -> None:
    folder, calls = RunFolder(tmp_path, {}), list[float]()
    stage(folder, "a", 1.0, calls)

    def broken(path: Path, value: np.ndarray) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunFolderError, match="is full"):
        folder.stage("tracks", "b", lambda: np.zeros(1), broken, load)
    assert stage(folder, "a", 2.0, calls).tolist() == [1.0]
    folder.release()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tracks.npz"]


def test_a_finished_run_is_reused_with_the_same_settings_only(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, {"views": 4, "hide": [[1, 2]]})
    assert folder.finished() is None
    finish(folder, 7)
    again = RunFolder(tmp_path, {"hide": ((1, 2),), "views": 4})
    assert again.finished() == {"frames": 7}
    with pytest.raises(RunFolderError, match=r"made with views = 4, now 11\); add --overwrite"):
        RunFolder(tmp_path, {"views": 11, "hide": [[1, 2]]})
    changed = RunFolder(tmp_path, {"views": 11, "hide": [[1, 2]]}, overwrite=True)
    assert changed.finished() is None
    finish(changed, 8)
    assert changed.finished() == {"frames": 8}


def test_a_deleted_result_makes_the_run_unfinished(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, {})
    finish(folder, 7)
    (tmp_path / "result.npz").unlink()
    assert folder.finished() is None


def test_an_unfinished_run_may_change_its_settings(tmp_path: Path) -> None:
    calls: list[float] = []
    stage(RunFolder(tmp_path, {"views": 4}), "a", 1.0, calls)
    assert stage(RunFolder(tmp_path, {"views": 11}), "a", 2.0, calls).tolist() == [1.0]


def test_results_stay_when_publishing_fails(tmp_path: Path) -> None:
    finish(RunFolder(tmp_path, {"seed": 0}), 7)
    changed = RunFolder(tmp_path, {"seed": 1}, overwrite=True)
    with pytest.raises(ValueError, match="renderer"), changed.publish() as scratch:
        save(scratch / "result.npz", np.array([8]))
        raise ValueError("renderer broke")
    assert load(tmp_path / "result.npz").tolist() == [7]
    assert RunFolder(tmp_path, {"seed": 0}).finished() == {"frames": 7}
    assert not list(tmp_path.glob(".partial-*"))


def test_a_folder_below_a_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match=r"cannot be written \(.*\); choose another with -o\.$"):
        RunFolder(tmp_path / "file" / "run", {})


def test_a_file_size_limit_counts_as_a_full_disk(tmp_path: Path) -> None:
    # The nearest thing to a full disk that a test may cause: the kernel refuses to let files grow past the limit.
    script = (
        "import sys; sys.path.insert(0, 'tests'); from pathlib import Path; import numpy as np\n"
        "from hmpfit.run_folder import RunFolder; from test_run_folder import save, load\n"
        f"RunFolder(Path({str(tmp_path)!r}), {{}}).stage('tracks', 'a', lambda: np.zeros(100_000), save, load)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent.parent,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)),
        env={"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert "is full; free some space" in run.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_differences_are_named_by_path_and_counted() -> None:
    stored = {"recipe": {"stages": [{"weights": {"prior": 300}}]}, "seed": 0, "a": 1, "b": 2}
    wanted = {"recipe": {"stages": [{"weights": {"prior": 200}}]}, "seed": 1, "a": 2, "c": 2}
    assert describe_differences(stored, wanted, most=9) == (
        "a = 1, now 2; b = 2, now nothing; c = nothing, now 2; "
        "recipe.stages.0.weights.prior = 300, now 200; seed = 0, now 1"
    )
    assert describe_differences(stored, wanted, most=1) == "a = 1, now 2; and 4 more"
