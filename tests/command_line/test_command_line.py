"""The command line is a skin: quick help, exit codes, one sentence per error, exactly one JSON object on stdout."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hmpfit.command_line.main import COMMANDS
from hmpfit.command_line.run import output_folders
from hmpfit.errors import InputError
from hmpfit.video.sources import expand_sources
from tests.stub_pipeline import SUMMARY, Call, recorded_calls, run  # noqa: F401 (a fixture)

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["demo", "--help"], ["doctor", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys, atexit; from hmpfit.command_line.main import main\n"
        "heavy = {'torch', 'mediapipe', 'cv2', 'av', 'scipy', 'numpy', 'smplx', 'moderngl'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr)); main(sys.argv[1:])"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=CHECKOUT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
    assert done.stdout.startswith("Usage: hmpfit")


def test_help_answers_in_under_a_second() -> None:
    subprocess.run([sys.executable, "cli.py", "--help"], cwd=CHECKOUT, check=True, capture_output=True, timeout=1.0)


def test_the_table_of_commands_is_true(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    told = capsys.readouterr().out
    for name in COMMANDS:
        assert name in told and run(name, "--help") == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "a.mp4"], "There is no command 'fit'; commands: run, batch, live, demo"),
        (["run"], "Missing argument 'VIDEO...'"),
        (["run", "a.mp4", "--initt", "keypoints"], "--initt"),
        (["run", "a.mp4", "--init", "pymaf"], "Unknown initializer 'pymaf'; known: file:PATH"),
        (["run", "a.mp4", "--init", "file"], "file:PATH"),
        (["run", "a.mp4", "--keypoints", "openpose"], "Unknown keypoint source 'openpose'; known: blend, "),
        (["run", "a.mp4", "--keypoints", "initializer"], "--init keypoints builds that hand from keypoints"),
        (["run", "a.mp4", "--prior", "field"], "Unknown prior 'field'; known: default, gmm, nemf, none, pca"),
        (["run", "a.mp4", "--solver", "sgd"], "Unknown solver 'sgd'; known: adam, gauss_newton"),
        (["run", "a.mp4", "--recipe", "papre"], "Unknown recipe 'papre'; known: default"),
        (["run", "a.mp4", "--set", "stages.1.weights.priro=3"], "'priro'; known: "),
        (["run", "a.mp4", "--frames", "9:3"], "write A:B with A < B"),
        (["run", "a.mp4", "--hide-keypoints", "x"], "write A:B with A < B"),
        (["run", "x/a.mp4", "y/a.mp4"], "would share a folder"),
    ],
)
def test_wrong_options_are_one_sentence_and_exit_2(
    arguments: list[str], words: str, calls: list[Call], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith("hmpfit: ") and said.err.count("\n") == 1 and words in said.err
    assert not said.out and not calls


def test_options_reach_the_settings(calls: list[Call], tmp_path: Path) -> None:
    options = (
        "--hide-keypoints 10:25 --hide-keypoints 60:75 --frames 5:90 --views 6 --solver none --hands right "
        "--set stages.1.weights.prior=200 --prior none --seed 3 --overwrite --quiet --intrinsics 9,9,3,3 --device cpu"
    )
    assert run("run", "clip.mp4", "-o", str(tmp_path / "out"), *options.split()) == 0
    ((video, out, settings),) = calls
    assert (video, out) == (Path("clip.mp4"), tmp_path / "out")
    assert settings.hide_keypoints == ((10, 25), (60, 75)) and settings.frames == (5, 90)
    assert (settings.views, settings.solver, settings.hands, settings.prior) == (6, "none", "right", "none")
    assert settings.recipe.stages[1].weights["prior"] == 200
    assert (settings.seed, settings.overwrite, settings.intrinsics) == (3, True, "9,9,3,3")


def test_json_is_one_object_and_progress_stays_on_stderr(
    calls: list[Call], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("run", "clip.mp4", "-o", str(tmp_path / "out"), "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == SUMMARY
    assert said.err.startswith("keypoints: done in ")
    assert run("run", "a.mp4", "b.mp4", "-o", str(tmp_path), "--json", "--quiet") == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {"runs": [SUMMARY, SUMMARY]} and not said.err
    assert [out for _, out, _ in calls[1:]] == [tmp_path / "a", tmp_path / "b"]


def test_a_video_that_fails_leaves_the_others_and_no_empty_folder(
    calls: list[Call], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("run", "a.mp4", "bad.mp4", "c.mp4", "-o", str(tmp_path / "out"), "--json", "--quiet") == 2
    said = capsys.readouterr()
    assert "No hand was found in 'bad.mp4'" in said.err and said.err.count("\n") == 1
    assert [entry.get("error", "fine") for entry in json.loads(said.out)["runs"]] == [
        "fine",
        "No hand was found in 'bad.mp4'.",
        "fine",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "c"]
    assert run("run", "bad.mp4", "-o", str(tmp_path / "new" / "er"), "--quiet") == 2
    assert not (tmp_path / "new").exists()


def test_an_interrupt_exits_with_130_and_says_how_to_go_on(
    calls: list[Call], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("run", "stop.mp4", "-o", str(tmp_path / "out")) == 130
    assert "the same command resumes" in capsys.readouterr().err
    assert (tmp_path / "out").is_dir()


def test_each_video_gets_its_folder() -> None:
    videos = expand_sources(("a/one.mp4", "two"))
    assert output_folders(videos, None) == [Path("hmpfit_out/one"), Path("hmpfit_out/two")]
    assert output_folders(videos[:1], Path("x")) == [Path("x")]
    with pytest.raises(InputError, match="two"):
        output_folders(expand_sources(("a/two.mp4", "b/two.avi")), Path("x"))


def test_doctor_reports_every_part_and_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    code = run("doctor", "--json")
    report = json.loads(capsys.readouterr().out)
    parts = {check["part"]: check for check in report["checks"]}
    assert parts["torch"]["works"] and parts["device cpu"]["works"]
    assert {"hand model open", "hand model MANO", "motion prior", "renderer (EGL)", "device cuda"} <= set(parts)
    assert all(check["remedy"] for check in report["checks"] if not check["works"])
    assert code == (0 if report["healthy"] else 2)


def test_doctor_finds_fault_with_a_wrong_mano_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HMPFIT_MANO", "/absent/MANO_RIGHT.pkl")
    run("doctor", "--json")
    (mano,) = [check for check in json.loads(capsys.readouterr().out)["checks"] if check["part"] == "hand model MANO"]
    assert not mano["works"] and "/absent" in mano["found"] and "mano.is.tue.mpg.de" in mano["remedy"]


@pytest.mark.parametrize("module", ["hmpfit", "hmpfit.command_line.main"])
def test_the_command_runs_as_a_module_too(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--version"], cwd=CHECKOUT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("hmpfit ")


def test_every_command_prints_json_through_the_one_that_knows_no_nan() -> None:
    """`json.dumps` writes NaN, which is no JSON: a network scored on a dataset without shapes has such figures."""
    for file in (CHECKOUT / "hmpfit" / "command_line").glob("*.py"):
        text = file.read_text()
        assert "echo(json.dumps" not in text, file.name
        answers = "@json_option" in text or ('"--json"' in text and file.name != "shared_options.py")
        assert not answers or "echo(to_json(" in text or "COMMANDS" in text, file.name
