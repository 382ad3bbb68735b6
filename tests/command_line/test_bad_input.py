"""Bad input at the command: one sentence on stderr, exit 2, nothing left behind, earlier results intact."""

import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hmpfit.command_line.main import main
from hmpfit.video.writer import VideoWriter

CHECKOUT = Path(__file__).resolve().parents[2]

Refused = Callable[..., str]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video of gray noise in which nobody holds up a hand: 6 frames, 160 x 120."""
    path = tmp_path / "empty_room.mp4"
    generator = np.random.default_rng(0)
    with VideoWriter(path, 30.0, 160, 120) as writer:
        for _ in range(6):
            writer.write(generator.integers(90, 110, (120, 160, 3)).astype(np.uint8))
    return path


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must be refused; return its sentence."""

    def refuse(*arguments: object, out: Path | None = None) -> str:
        folder = out or tmp_path / "out"
        before = folder.exists()
        with pytest.raises(SystemExit) as stopped:
            main(["run", *map(str, arguments), "-o", str(folder), "--quiet"])
        said = capfd.readouterr()
        ours = [line for line in said.err.splitlines() if line.startswith("hmpfit: ")]
        assert stopped.value.code == 2 and not said.out
        assert len(ours) == 1 and "Traceback" not in said.err, said.err
        assert folder.exists() == before
        return ours[0]

    return refuse


def test_things_that_are_no_video(refused: Refused, tmp_path: Path) -> None:
    assert "There is no file or folder" in refused(tmp_path / "absent.mp4")
    (tmp_path / "zero.mp4").write_bytes(b"")
    assert "is empty" in refused(tmp_path / "zero.mp4")
    (tmp_path / "text.mp4").write_text("this is a letter, not a video\n" * 100)
    assert "text.mp4" in refused(tmp_path / "text.mp4")
    (tmp_path / "folder").mkdir()
    assert "folder" in refused(tmp_path / "folder")


def test_a_video_from_which_nothing_decodes(refused: Refused, video: Path) -> None:
    content = bytearray(video.read_bytes())
    start = content.index(b"mdat") + 4
    content[start:] = bytes(len(content) - start)
    video.write_bytes(content)
    assert "decode" in refused(video)


def test_a_video_without_a_hand(refused: Refused, video: Path) -> None:
    assert "hand" in refused(video)


def test_a_camera_path_is_refused_before_hands_are_looked_for(refused: Refused, video: Path, tmp_path: Path) -> None:
    assert "there is no" in refused(video, "--camera", f"file:{tmp_path / 'absent.txt'}")
    (tmp_path / "letter.txt").write_text("hello world\n")
    assert "cannot be read" in refused(video, "--camera", f"file:{tmp_path / 'letter.txt'}")
    (tmp_path / "later.txt").write_text("0 0 0 0 0 0 0 1\n0.1 0 0 0 0 0 0 1\n9 0 0 0 0 0 0 1\n")
    assert "hand" in refused(video, "--camera", f"file:{tmp_path / 'later.txt'}")  # this one would do


def test_ranges_outside_the_video(refused: Refused, video: Path) -> None:
    assert "--frames 3:60 lies outside" in refused(video, "--frames", "3:60")
    assert "--hide-keypoints 3:60 lies outside" in refused(video, "--hide-keypoints", "3:60")


def test_hand_models_that_are_missing_or_something_else(refused: Refused, video: Path, tmp_path: Path) -> None:
    missing = refused(video, "--hand-model", tmp_path / "MANO_RIGHT.pkl")
    assert "There is no hand model at" in missing and "mano.is.tue.mpg.de" in missing
    (tmp_path / "MANO_RIGHT.pkl").write_bytes(b"not a pickle at all")
    assert "MANO_RIGHT.pkl" in refused(video, "--hand-model", tmp_path / "MANO_RIGHT.pkl")
    np.savez(tmp_path / "other.npz", weights=np.ones(3))
    assert "other.npz" in refused(video, "--hand-model", tmp_path / "other.npz")


class Payload:
    """Pickles into a call of os.system."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_a_hostile_pickle_is_refused_by_name_and_never_run(refused: Refused, video: Path, tmp_path: Path) -> None:
    hostile, mark = tmp_path / "MANO_RIGHT.pkl", tmp_path / "it_ran"
    hostile.write_bytes(pickle.dumps({"v_template": Payload(mark)}, protocol=2))
    assert "system" in refused(video, "--hand-model", hostile)
    assert not mark.exists()


def test_priors_that_are_missing_or_something_else(refused: Refused, video: Path, tmp_path: Path) -> None:
    assert "no_such_prior" in refused(video, "--prior", "no_such_prior")
    assert "absent.safetensors" in refused(video, "--prior", tmp_path / "absent.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    assert "text.safetensors" in refused(video, "--prior", tmp_path / "text.safetensors")


def test_a_folder_that_cannot_be_made(refused: Refused, video: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(video, out=tmp_path / "file" / "out")
    assert "cannot be written" in refused(video, out=Path("/proc/hmpfit"))


def test_a_detector_bundle_that_is_none(refused: Refused, video: Path, tmp_path: Path) -> None:
    assert "absent.task" in refused(video, "--hand-landmarker", tmp_path / "absent.task")


def test_a_gpu_that_is_not_there(refused: Refused, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "cuda" in refused(video, "--device", "cuda")


@pytest.mark.slow
def test_a_real_run_from_end_to_end(inputs: Path, tmp_path: Path) -> None:
    """Finished runs are reused, others refused by what differs, a cut video is fitted, a full disk leaves the rest."""
    clip, out = inputs / "clips" / "reach.mp4", tmp_path / "out"

    def run(*arguments: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
        def small_files() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        command = [sys.executable, str(CHECKOUT / "cli.py"), "run", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=small_files)

    short = (str(clip), "-o", str(out), "--frames", "0:40", "--hands", "right", "--json")
    full = run(*short, limit=60_000)
    assert full.returncode == 2 and "is full" in full.stderr and not (out / "result.npz").exists()

    first = run(*short)
    assert first.returncode == 0, first.stderr
    summary = json.loads(first.stdout)
    stamp = (out / "result.npz").stat().st_mtime_ns
    again = run(*short)
    assert json.loads(again.stdout) == summary and (out / "result.npz").stat().st_mtime_ns == stamp

    other = run(*short, "--set", "stages.1.weights.betas_to_initial=7")
    assert other.returncode == 2 and "recipe.stages.1.weights.betas_to_initial = " in other.stderr
    assert "now 7" in other.stderr and (out / "result.npz").stat().st_mtime_ns == stamp
    tracks = (out / "tracks.npz").stat().st_mtime_ns
    redone = run(*short, "--set", "stages.1.weights.betas_to_initial=7", "--overwrite")
    assert redone.returncode == 0 and (out / "result.npz").stat().st_mtime_ns > stamp
    assert (out / "tracks.npz").stat().st_mtime_ns == tracks, "the detector ran again for a changed weight"

    cut = tmp_path / "cut.mp4"
    remux = (
        "import sys, av\n"
        "with av.open(sys.argv[1]) as a, av.open(sys.argv[2], 'w', options={'movflags': 'frag_keyframe'}) as b:\n"
        "    stream = b.add_stream_from_template(a.streams.video[0])\n"
        "    for packet in a.demux(a.streams.video[0]):\n"
        "        if packet.dts is not None: packet.stream = stream; b.mux(packet)\n"
    )
    subprocess.run([sys.executable, "-c", remux, str(clip), str(cut)], check=True)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 3])
    broken = run(str(cut), "-o", str(tmp_path / "cut"), "--json", "--hands", "right")
    assert broken.returncode == 0 and "warning" in broken.stderr, broken.stderr
    assert 0 < json.loads(broken.stdout)["frames"] < 202


@pytest.mark.slow
def test_a_run_that_is_stopped_goes_on_where_it_was(inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, str(CHECKOUT / "cli.py"), "run", str(inputs / "clips" / "reach.mp4")]
    command += ["-o", str(out), "--frames", "0:30", "--hands", "right"]

    def stopped_after(line: str, signal_number: int) -> tuple[int, str]:
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as run:
            assert run.stderr is not None
            said = ""
            for said_line in run.stderr:
                said += said_line
                if said_line.startswith(line):
                    run.send_signal(signal_number)
        return run.returncode, said

    code, said = stopped_after("finding hands", signal.SIGINT)
    assert code == 130 and "the same command resumes" in said and "Traceback" not in said
    assert not (out / "result.npz").exists()

    code, _ = stopped_after("measuring landmarks", signal.SIGKILL)
    assert code == -signal.SIGKILL
    time.sleep(0.5)
    code, said = stopped_after("measuring landmarks: done", signal.SIGINT)
    if code == 0:
        return  # it had finished before the signal came
    assert code == 130 and (out / "tracks.npz").exists()
    stamp = (out / "tracks.npz").stat().st_mtime_ns
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "measuring landmarks" not in done.stderr
    assert (out / "tracks.npz").stat().st_mtime_ns == stamp and (out / "result.npz").exists()
    assert not list(out.glob(".partial-*"))
