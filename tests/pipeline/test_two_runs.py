"""Two commands at once into one folder: one works, the other says why not and changes nothing."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hmpfit.folder_lock import LOCK

ROOT = Path(__file__).resolve().parents[2]


def command(*words: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    line = [sys.executable, str(ROOT / "cli.py"), *words, "--quiet"]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.fixture(scope="module")
def photo(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "hands.jpg"
    shutil.copy(inputs / "stills" / "two_hands.jpg", path)
    return path


@pytest.fixture
def first(photo: Path, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A run of the photo that has just taken its folder, and stands still until it is told to go on."""
    process = command("run", str(photo), "-o", str(tmp_path / "out"), "--views", "0")
    while not (tmp_path / "out" / LOCK).exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGSTOP)
    yield process
    process.kill()
    process.wait()


@pytest.mark.slow
def test_one_works_and_the_others_say_why_not(first: "subprocess.Popen[str]", photo: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    for line in (
        ("run", str(photo), "-o", out, "--views", "0"),
        ("run", str(photo), "-o", out, "--views", "2", "--overwrite"),
    ):
        other = command(*line)
        said, errors = other.communicate(timeout=300)
        assert other.returncode == 2 and not said
        (sentence,) = errors.strip().splitlines()
        assert f"'{out}' is in use by another run (process {first.pid} on " in sentence and "--wait" in sentence
    batch = command("batch", str(photo), "-o", str(tmp_path), "--views", "0", "--workers", "1")  # its folder: ./hands
    assert batch.wait(timeout=300) == 0, batch.communicate()
    first.send_signal(signal.SIGCONT)
    assert first.wait(timeout=300) == 0, first.communicate()
    with np.load(tmp_path / "out" / "result.npz") as one, np.load(tmp_path / "hands" / "result.npz") as other_result:
        for key in one.files:
            np.testing.assert_array_equal(one[key], other_result[key])
    assert not list(tmp_path.rglob(LOCK))


@pytest.mark.slow
def test_one_that_waits_reuses_what_the_first_made(first: "subprocess.Popen[str]", photo: Path, tmp_path: Path) -> None:
    other = command("run", str(photo), "-o", str(tmp_path / "out"), "--views", "0", "--wait")
    time.sleep(1)
    first.send_signal(signal.SIGCONT)
    assert first.wait(timeout=300) == 0, first.communicate()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.npz")}
    assert other.wait(timeout=300) == 0, other.communicate()
    assert {path: path.stat().st_mtime_ns for path in made} == made


@pytest.mark.slow
def test_a_batch_of_a_folder_in_use_fails_with_the_reason(photo: Path, tmp_path: Path) -> None:
    running = command("run", str(photo), "-o", str(tmp_path / "hands"), "--views", "0")
    while not (tmp_path / "hands" / LOCK).exists() and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGSTOP)
    try:
        batch = command("batch", str(photo), "-o", str(tmp_path), "--views", "0", "--workers", "1")
        assert batch.wait(timeout=300) == 1
        assert "in use by another run" in (tmp_path / "batch.json").read_text()
        running.send_signal(signal.SIGCONT)
        assert running.wait(timeout=300) == 0
    finally:
        running.kill()
        running.wait()
