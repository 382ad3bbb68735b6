"""One process at a time in a run folder: another is told which one has it, a killed one leaves it free."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hmpfit.errors import RunFolderError
from hmpfit.folder_lock import LOCK, FolderLock
from hmpfit.run_folder import RunFolder

HOLD = "import sys, time, pathlib; from hmpfit.folder_lock import FolderLock; "
HOLD += "lock = FolderLock(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"


def holder(folder: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_another_process_is_named_and_a_killed_one_leaves_the_folder(tmp_path: Path) -> None:
    other = holder(tmp_path)
    try:
        with pytest.raises(RunFolderError, match=f"in use by another run .process {other.pid} on .*--wait"):
            RunFolder(tmp_path, {})
    finally:
        other.kill()
        other.wait()
    folder = RunFolder(tmp_path, {})
    folder.release()
    assert not (tmp_path / LOCK).exists()


def test_waiting_takes_the_folder_when_it_is_free(tmp_path: Path) -> None:
    other = holder(tmp_path)
    threading.Timer(0.5, other.kill).start()
    folder = RunFolder(tmp_path, {}, wait=True)
    assert other.wait(timeout=60) != 0  # it held the folder until it was killed
    folder.release()


def test_one_process_may_hold_a_folder_twice(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.release()
    first.release()
    assert (tmp_path / LOCK).exists()
    second.release()
    assert not (tmp_path / LOCK).exists()
