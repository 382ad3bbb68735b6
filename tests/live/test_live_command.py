"""`hmpfit live` as a process: a recording is an ordinary run folder, whatever ended it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from hmpfit.command_line.main import commands
from hmpfit.errors import InputError
from hmpfit.results.npz import read_result

_COMMAND = [sys.executable, "-c", "from hmpfit.command_line.main import main; main()", "live"]
_NOTHING_ELSE = ["--websocket-port", "0", "--view-port", "0", "--views", "0"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["94"], "There is no camera '94'"),
        (["ftp://host/x.mp4"], "cannot be followed"),
        (["none.mp4"], "There is no file or camera"),
        (["0", "--size", "big"], "--size 'big' is no size"),
    ],
)
def test_what_cannot_be_followed_is_one_sentence(arguments: list[str], sentence: str) -> None:
    said = subprocess.run([*_COMMAND, *arguments], capture_output=True, text=True)
    assert said.returncode == 2 and sentence in said.stderr and said.stderr.count("\n") == 1


def test_an_origin_that_is_none_is_refused() -> None:
    said = CliRunner().invoke(commands, ["live", "none.mp4", "--allow-origin", "*"])
    assert isinstance(said.exception, InputError) and "--allow-origin '*' is no origin" in str(said.exception)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_closed_terminal_loses_nothing(tmp_path: Path, inputs: Path, number: int) -> None:
    out = tmp_path / "run"
    process = subprocess.Popen(
        [*_COMMAND, str(inputs / "clips" / "pinches.mp4"), "-o", str(out), *_NOTHING_ELSE, "--json", "--quiet"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    frames = 0
    while frames < 25:
        frames += json.loads(process.stdout.readline())["type"] == "frame"
    process.send_signal(number)
    rest, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    lines = [json.loads(line) for line in rest.splitlines()]
    assert lines[-1]["type"] == "end"
    known = frames + sum(line["type"] == "frame" for line in lines)
    assert lines[-1]["known"] == known
    assert sum(1 for _ in (out / "hands.jsonl").open()) == known
    result = read_result(out / "result.npz")
    assert len(result.tracks.times_s) == known
    assert {"overlay.mp4", "report.html", "recording.mp4", "settings.json"} <= {path.name for path in out.iterdir()}
    exported = CliRunner().invoke(commands, ["export", str(out), "--to", "csv", "-o", str(tmp_path / "csv")])
    assert exported.exit_code == 0, exported.output
    reported = CliRunner().invoke(commands, ["report", str(out)])
    assert reported.exit_code == 0, reported.output


@pytest.mark.slow
def test_a_killed_recording_keeps_its_pictures_and_lines(tmp_path: Path, inputs: Path) -> None:
    from hmpfit.video.clip import open_clip

    out = tmp_path / "run"
    process = subprocess.Popen(
        [*_COMMAND, str(inputs / "clips" / "pinches.mp4"), "-o", str(out), *_NOTHING_ELSE, "--no-json", "--quiet"],
        stderr=subprocess.DEVNULL,
    )
    limit = time.monotonic() + 200
    while not (out / "hands.jsonl").exists() or sum(1 for _ in (out / "hands.jsonl").open()) < 60:
        assert time.monotonic() < limit and process.poll() is None
        time.sleep(0.3)
    process.kill()
    process.wait()
    assert open_clip(out / "recording.mp4").frames >= 20
    assert all(json.loads(line)["type"] == "frame" for line in (out / "hands.jsonl").read_text().splitlines())
