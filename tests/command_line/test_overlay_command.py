"""`hmpfit overlay`: a finished run's overlay again, from its own video, frames and times."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from hmpfit.command_line.overlay import overlay
from hmpfit.errors import InputError
from hmpfit.hands.model_files import load_hand_models
from hmpfit.video.clip import open_clip
from hmpfit.video.writer import VideoWriter
from tests.made_result import two_hands, write_run

FRAMES, FIRST = 6, 3


@pytest.fixture
def run(tmp_path: Path) -> Path:
    models, video = load_hand_models("open"), tmp_path / "clip.mp4"
    with VideoWriter(video, 30, 640, 480) as writer:
        for frame in range(FIRST + FRAMES):
            writer.write(np.full((480, 640, 3), 20 * frame, np.uint8), frame / 30)
    return write_run(tmp_path / "run", two_hands(models, FRAMES), models, video=str(video), first_frame=FIRST)


def test_the_frames_are_the_runs_own(run: Path) -> None:
    done = CliRunner().invoke(
        overlay, [str(run), "--layout", "side-by-side", "--json", "--quiet"], catch_exceptions=False
    )
    assert json.loads(done.stdout) == {"overlay": str(run / "overlay.mp4"), "layout": "side-by-side"}
    drawn = open_clip(run / "overlay.mp4")
    assert (drawn.width, drawn.height, drawn.frames) == (1280, 480, FRAMES)
    for frame, image in drawn.images():
        assert abs(int(np.median(image[:100, :200])) - 20 * (FIRST + frame)) < 6


def test_a_photo_has_a_picture(run: Path, tmp_path: Path) -> None:
    models, photo = load_hand_models("open"), tmp_path / "photo.png"
    cv2.imwrite(str(photo), np.full((480, 640, 3), 90, np.uint8))
    still = write_run(tmp_path / "still", two_hands(models, 1), models, video=str(photo), still=True)
    for layout, width in (("overlay", 640), ("turntable", 1280)):
        CliRunner().invoke(overlay, [str(still), "--layout", layout], catch_exceptions=False)
        assert cv2.imread(str(still / "overlay.jpg")).shape == (480, width, 3)


def test_wrong_input_is_one_sentence(run: Path, tmp_path: Path) -> None:
    def refused(*arguments: str) -> str:
        with pytest.raises(InputError) as raised:
            CliRunner().invoke(overlay, [*arguments, "--quiet"], catch_exceptions=False, standalone_mode=False)
        return str(raised.value)

    assert "not a run folder" in refused(str(run / "result.npz"))
    assert "no name for a .mp4" in refused(str(run), "-o", str(tmp_path / "x.avi"))
    assert "is gone; give --video" in refused(str(run), "--video", str(tmp_path / "none.mp4"))
    short = tmp_path / "short.mp4"
    with VideoWriter(short, 30, 640, 480) as writer:
        for frame in range(5):
            writer.write(np.zeros((480, 640, 3), np.uint8), frame / 30)
    sentence = refused(str(run), "--video", str(short))
    assert "short.mp4" in sentence
