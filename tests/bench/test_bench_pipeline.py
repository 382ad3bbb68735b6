"""Timing whole runs: growth is told from start-up, longer clips are the same frames again, failures are sentences."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hmpfit.bench.pipeline_speed import Timing, lengthened, linearity, memory_together_mb, time_run
from hmpfit.command_line.bench import bench
from hmpfit.errors import HmpfitError, InputError
from hmpfit.process_copies import usable_cores
from hmpfit.video.clip import open_clip
from hmpfit.video.writer import VideoWriter


def timing(video_s: float, work_s: float, peak_mb: float = 900.0) -> Timing:
    seconds = {"startup": 3.0, "keypoints": 0.6 * work_s, "fit": 0.4 * work_s}
    return Timing("made", round(30 * video_s), video_s, 3.0 + work_s, 2 * work_s, peak_mb, seconds, {"fit": 2 * work_s})


def test_startup_is_not_growth() -> None:
    growth = linearity([timing(120, 132, 990), timing(10, 10), timing(30, 31)])
    assert growth == {"time": pytest.approx(1.1), "memory": pytest.approx(1.1)}
    assert linearity([timing(10, 10)]) is None
    assert timing(10, 10).fit_share == pytest.approx(4 / 13)
    assert timing(10, 10).wall_over_duration == pytest.approx(1.3)
    assert timing(10, 10).overlap == pytest.approx(20 / 13 / usable_cores())


def test_a_lengthened_clip_goes_to_and_fro(tmp_path: Path) -> None:
    gray = np.linspace(20, 220, 40).round()
    with VideoWriter(tmp_path / "ramp.mp4", 30, 32, 32) as video:
        for value in gray:
            video.write(np.full((32, 32, 3), value, np.uint8))
    clip = open_clip(lengthened(tmp_path / "ramp.mp4", tmp_path, 3))
    seen = np.array([image.mean() for _, image in clip.images()])
    assert np.abs(seen - np.concatenate((gray, gray[::-1], gray))).max() < 4


def test_a_failing_run_is_its_own_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(HmpfitError, match=r"broken\.mp4' is not a video"):
        time_run(tmp_path / "broken.mp4")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_memory_is_that_of_a_process_and_its_copies_with_shared_pages_counted_once() -> None:
    script = """
    import time
    from hmpfit.process_copies import beside

    def work(send):
        own = bytearray(b"1") * 60_000_000
        send(None)
        time.sleep(60)

    shared = bytearray(b"1") * 60_000_000
    with beside(work) as copy:
        copy.receive()
        print("ready", flush=True)
        time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        together = memory_together_mb(process.pid)
        process.kill()
    assert 120 < together < 170
    assert memory_together_mb(process.pid) == 0


def test_wrong_arguments_are_refused_before_any_work(tmp_path: Path) -> None:
    for arguments in (["--no-generated"], ["--times", "4", "--no-generated"], ["--lengths", "ten"], ["--lengths", "0"]):
        with pytest.raises(InputError):
            CliRunner().invoke(bench, ["pipeline", *arguments], catch_exceptions=False, standalone_mode=False)
    with pytest.raises(InputError, match="no file"):
        arguments = ["pipeline", str(tmp_path / "none.mp4"), "--quiet"]
        CliRunner().invoke(bench, arguments, catch_exceptions=False, standalone_mode=False)


@pytest.mark.slow
def test_generated_clips_are_timed_and_grow_linearly() -> None:
    done = CliRunner().invoke(bench, ["pipeline", "--lengths", "10,30", "--views", "0", "--json", "--quiet"])
    content = json.loads(done.stdout)
    assert [clip["frames"] for clip in content["clips"]] == [300, 900]
    for clip in content["clips"]:
        assert sum(clip["seconds"].values()) == pytest.approx(clip["wall_s"], rel=0.1)
        assert clip["peak_mb"] < 2500
    assert content["linearity"]["generated"]["memory"] < 1.1
