"""What the operating system refuses: closed and read-only folders, full streams, names that are no text, signals."""

import codecs
import contextlib
import importlib
import os
import pkgutil
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import hmpfit.command_line
from hmpfit.command_line.main import main
from hmpfit.errors import RunFolderError
from hmpfit.hands.model_files import load_hand_models
from hmpfit.video.writer import VideoWriter
from hmpfit.viewing.report import write_report
from tests.made_result import two_hands, write_run

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
FRAMES = 6


@pytest.fixture
def place() -> Iterator[Path]:
    """A finished run `run` and a video, in a folder that other users may enter."""
    folder = Path(tempfile.mkdtemp(prefix="hmpfit-test-"))
    folder.chmod(0o755)
    models = load_hand_models("open")
    (folder / "run").mkdir()
    write_run(folder / "run", two_hands(models, FRAMES), models)
    with VideoWriter(folder / "v.mp4", 30.0, 64, 48) as writer:
        for _ in range(FRAMES):
            writer.write(np.zeros((48, 64, 3), np.uint8))
    yield folder
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            path.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def as_another_user() -> Iterator[None]:
    """Lend this process another user's rights; all that it may import is imported before."""
    for module in pkgutil.iter_modules(hmpfit.command_line.__path__):
        importlib.import_module(f"hmpfit.command_line.{module.name}")
    for name in ("pipeline", "exporters.joint_tables", "exporters.tables", "viewing.report", "batch", "video.clip"):
        importlib.import_module(f"hmpfit.{name}")
    codecs.lookup("utf-8-sig")
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        if not os.access(ROOT / "hmpfit" / "recipes", os.R_OK, effective_ids=True):
            pytest.skip(f"another user may not read the checkout in {ROOT}")
        yield
    finally:
        os.seteuid(before)


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run a command that must refuse with one sentence, and return that."""
    with as_another_user(), pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    told = capsys.readouterr()
    assert ended.value.code == 2, told.err
    (sentence,) = [line for line in told.err.splitlines() if line.startswith("hmpfit:")]
    assert "Traceback" not in told.err
    return sentence


@pytest.mark.parametrize("mode, word", ((0o000, "ermission denied"), (0o555, "ermission denied")))
def test_a_run_folder_that_is_closed_or_read_only(
    place: Path, mode: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "run").chmod(mode)
    for line in (("export", place / "run", "--to", "csv"), ("report", place / "run")):
        sentence = refused(capsys, *line)
        assert str(place / "run") in sentence and word in sentence
    (place / "run").chmod(0o755)
    assert sorted(path.name for path in (place / "run").iterdir()) == ["result.json", "result.npz"]


@pytest.mark.parametrize("command", ("run", "batch"))
def test_an_output_folder_that_cannot_be_made(place: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "shut").mkdir(mode=0o555)
    sentence = refused(capsys, command, place / "v.mp4", "-o", place / "shut" / "out")
    assert str(place / "shut") in sentence and "ermission denied" in sentence


def test_a_video_of_another_user(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "v.mp4").chmod(0o000)
    (place / "out").mkdir()
    (place / "out").chmod(0o777)
    sentence = refused(capsys, "run", place / "v.mp4", "-o", place / "out" / "x")
    assert "v.mp4" in sentence and "ermission denied" in sentence


def shell(line: str, place: Path, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    told = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    command = line.replace("hmpfit", f"'{sys.executable}' '{ROOT / 'cli.py'}'", 1)
    return subprocess.run(["bash", "-c", command], cwd=place, env=told, capture_output=True, timeout=300)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("stream", ("2>&-", "2>/dev/full", "<&- >&- 2>&-"))
def test_results_are_written_though_nobody_hears_it(place: Path, stream: str) -> None:
    done = shell(f"hmpfit export run --to csv -o out {stream}", place)
    assert done.returncode == 0 and list((place / "out").glob("*.csv"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_standard_output_is_told_and_the_files_stay(place: Path) -> None:
    done = shell("hmpfit export run --to csv -o out --json >/dev/full", place)
    assert done.returncode != 0 and b"Traceback" not in done.stderr and b"hmpfit:" in done.stderr
    assert list((place / "out").glob("*.csv"))


@pytest.mark.parametrize("locale", ({"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}))
def test_names_that_are_no_text_and_locales_without_letters(place: Path, locale: dict[str, str]) -> None:
    odd = os.fsencode(place) + b"/caf\xc3\xa9 \xff"
    os.rename(os.fsencode(place / "run"), odd)
    done = shell("hmpfit report ./caf* && true", place, **locale)
    assert done.returncode == 0, done.stderr
    assert os.path.exists(odd + b"/report.html")
    done = shell("hmpfit export ./caf* --to csv --json", place, **locale)
    assert done.returncode == 0 and b"csv" in done.stdout, done.stderr


def test_the_report_is_replaced_whole_or_not_at_all(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "run" / "report.html").write_text("the one before")

    def breaks(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", breaks)
    monkeypatch.setattr(Path, "replace", breaks)
    with pytest.raises(RunFolderError, match="cannot be written: No space left on device"):
        write_report(place / "run")
    assert (place / "run" / "report.html").read_text() == "the one before"
    assert not list((place / "run").glob(".*partial*"))


def test_every_page_runs_its_own_script_only(place: Path) -> None:
    write_report(place / "run")
    page = (place / "run" / "report.html").read_text()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "sha256-" in policy


@pytest.mark.slow
@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGHUP, signal.SIGINT))
def test_a_batch_ends_with_its_workers_by_every_signal(inputs: Path, tmp_path: Path, number: signal.Signals) -> None:
    from tests.fuzz.kills import family

    line = [sys.executable, str(ROOT / "cli.py"), "batch", str(inputs / "clips" / "pinches.mp4"),
            str(inputs / "clips" / "cups.mp4"), "-o", str(tmp_path / "out"), "--workers", "2", "--quiet"]  # fmt: skip
    with subprocess.Popen(line, start_new_session=True, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
        while len(family(process.pid)) < 3 and process.poll() is None:
            time.sleep(0.1)
        time.sleep(2)
        process.send_signal(number)
        assert process.wait(60) == 130
    began = time.monotonic()
    while family(process.pid) and time.monotonic() - began < 5:
        time.sleep(0.05)
    assert not family(process.pid)
