"""What the terminal shows: names as they are, commands to copy, summaries, and logs on demand."""

import json
import logging
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from hmpfit.command_line.batch import _print_summary as batch_table
from hmpfit.command_line.doctor import EXTRAS, Check, _extra, examine, to_install
from hmpfit.command_line.run_summary import print_next_commands, print_summary
from hmpfit.hands.model_files import load_hand_models
from tests.made_result import two_hands, write_run
from tests.stub_pipeline import Call, recorded_calls, run  # noqa: F401 (a fixture)

CHECKOUT = Path(__file__).resolve().parents[2]


def test_nothing_but_the_literal_console_prints_with_rich() -> None:
    """Rich reads `[red]` in a file's name as a color; only `literal_console` has that turned off."""
    for file in (CHECKOUT / "hmpfit" / "command_line").glob("*.py"):
        if file.name != "literal.py":
            text = file.read_text()
            assert "rich.console" not in text and "rich import" not in text, file.name
            assert text.count("TextColumn(") == text.count("markup=False)") + text.count('TextColumn("left")'), (
                file.name
            )


def test_tables_keep_the_brackets_of_names(capsys: pytest.CaptureFixture[str]) -> None:
    summary = {"frames": 3, "hands": [{"name": "right", "reprojection_px": None}]}
    job = types.SimpleNamespace(name="take[red]:smile:.mp4")
    batch_table([types.SimpleNamespace(job=job, summary=summary, seconds=1.0)])
    assert "take[red]:smile:.mp4" in capsys.readouterr().out


def test_doctor_prints_extras_and_addresses_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(
        "hmpfit.command_line.doctor.examine",
        lambda: [Check("torch", True, "2"), _extra("absent_module", "x", "training", "train"), _look_for_mano()],
    )
    assert run("doctor") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert 'pip install -c constraints.txt ".[train]"' in lines
    assert any("register at https://mano.is.tue.mpg.de and give" in line for line in lines)


def _look_for_mano() -> Check:
    return next(check for check in examine() if check.part == "hand model MANO")


def test_doctor_knows_the_viewers() -> None:
    assert {("viser", "view"), ("rerun-sdk", "view")} <= {(name, extra) for _, name, _, extra in EXTRAS}


def test_doctor_names_what_an_installed_hmpfit_asks_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wheel has no constraints.txt and no folder to install from; under pipx, pip is not the way in."""
    asked = ["av>=15", 'rerun-sdk<0.24,>=0.23; extra == "view"', 'rerun-sdk<0.24,>=0.23; extra == "dev"']
    monkeypatch.setattr("hmpfit.command_line.doctor.requires", lambda _: asked)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    installed = tmp_path / "hmpfit"
    assert to_install("rerun-sdk", "view", installed) == 'pip install "rerun-sdk<0.24,>=0.23"'
    assert to_install("viser", "view", installed) == 'pip install "viser"'
    (tmp_path / "pipx_metadata.json").touch()
    assert to_install("av", None, installed) == 'pipx inject hmpfit "av>=15"'


@pytest.mark.parametrize("arguments", [["-v", "run"], ["run", "-v"]])
def test_verbose_says_what_the_library_logs(
    arguments: list[str], calls: list[Call], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logging.getLogger("hmpfit")
    stub: Any = sys.modules["hmpfit.pipeline"]
    inner = stub.run_video

    def telling(*given: Any) -> dict[str, Any]:
        log.info("an info line")
        log.warning("a warning line")
        found: dict[str, Any] = inner(*given)
        return found

    stub.run_video = telling
    assert run(*arguments, "clip.mp4", "-o", str(tmp_path / "out")) == 0
    said = capsys.readouterr().err
    assert said.count("info: an info line") == 1 and said.count("warning: a warning line") == 1
    assert run("run", "clip.mp4", "-o", str(tmp_path / "out")) == 0
    assert "an info line" not in capsys.readouterr().err and log.level == logging.NOTSET


def test_the_log_file_holds_everything_and_the_error(
    calls: list[Call], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "take[red].log"
    assert run("run", "clip.mp4", "-o", str(tmp_path / "out"), "--log-file", str(file)) == 0
    assert run("run", "bad.mp4", "-o", str(tmp_path / "out"), "--log-file", str(file)) == 2
    said = file.read_text()
    assert "DEBUG" in said and "phase 'keypoints' begins, 3 pieces" in said
    assert "ended by NoHandError" in said and "Traceback" in said
    assert "Traceback" not in capsys.readouterr().err
    assert run("run", "clip.mp4", "--log-file", str(tmp_path)) == 2
    assert "cannot be written" in capsys.readouterr().err
    video = tmp_path / "v.mp4"
    video.write_bytes(b"\0\0\0\x18ftyp")
    assert run("run", "clip.mp4", "--log-file", str(video)) == 2
    assert video.read_bytes() == b"\0\0\0\x18ftyp" and "binary file" in capsys.readouterr().err


def test_a_log_file_on_a_full_disk_is_one_sentence(
    calls: list[Call], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    assert run("run", "clip.mp4", "-o", str(tmp_path / "out"), "--log-file", "/dev/full") == 0
    said = capsys.readouterr().err
    assert said.count("cannot be written") == 1 and "Traceback" not in said


def test_the_summary_names_warnings_report_and_next_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = load_hand_models("open")
    folder = write_run(tmp_path / "a take", two_hands(models, 4), models)
    summary = {**json.loads((folder / "result.json").read_text()), "stages": []}
    for hand, name in zip(summary["hands"], ("right", "left"), strict=True):
        hand.update(name=name, interpolated=0, extrapolated=0, joint_std_wrist_mm_median=None)
    (folder / "report.html").touch()
    print_summary("a take.mp4", folder, summary)
    print_next_commands(folder, summary)
    said = capsys.readouterr().out
    assert "- No solver ran: this is the initializer's motion" in said and "reused" not in said
    assert f"report: {folder / 'report.html'}" in said and f"hmpfit view '{folder}'" in said
    print_summary("a take.mp4", folder, summary, reused=True)
    assert "reused, nothing was computed" in capsys.readouterr().out


def test_a_run_is_called_reused_only_where_it_had_finished_before(
    calls: list[Call], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    stub: Any = sys.modules["hmpfit.pipeline"]
    inner = stub.run_video

    def finishing(*given: Any) -> dict[str, Any]:
        found: dict[str, Any] = inner(*given)
        if not (folder / "settings.json").exists():
            (folder / "settings.json").touch()
        return found

    stub.run_video = finishing
    assert run("run", "clip.mp4", "-o", str(folder)) == 0
    assert "reused, nothing" not in capsys.readouterr().out
    assert run("run", "clip.mp4", "-o", str(folder)) == 0
    assert "reused, nothing was computed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("hmpfit ", "app"),
        ("hmpfit run --", "--layout"),
        ("hmpfit run --layout ", "turntable"),
        ("hmpfit run --init ", "ifvonet"),
        ("hmpfit run --recipe ", "in_the_wild"),
        ("hmpfit export out --to ", "robot:shadow"),
    ],
)
def test_the_shell_completes_names_and_values(typed: str, offered: str) -> None:
    words = {"_HMPFIT_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "hmpfit"], env={**os.environ, **words}, capture_output=True, text=True, timeout=60
    )
    kinds, values = zip(*(line.split(",", 1) for line in done.stdout.split()), strict=True)
    assert offered in values, done.stdout + done.stderr
    assert "file" not in kinds[1:]  # click's function for bash forgets what came before files
