"""A clip opened ahead is the clip, its errors come where it is asked for, and nobody waits for one that is not."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.progress import Silent
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.video.ahead_of_imports import opened_ahead
from hmpfit.video.of_run import open_of_run
from hmpfit.video.writer import VideoWriter


@pytest.fixture
def video(tmp_path: Path) -> Path:
    with VideoWriter(tmp_path / "clip.mp4", 30.0, 64, 48) as made:
        for level in range(30):
            made.write(np.full((48, 64, 3), 8 * level, np.uint8))
    return tmp_path / "clip.mp4"


def test_the_clip_is_the_one_that_the_settings_choose(video: Path) -> None:
    settings, interval = resolve_settings(frames=(3, 20)), sys.getswitchinterval()
    with opened_ahead(video, settings, Silent()) as opened:
        clip = opened()
    assert clip.frames == 17 and clip.fingerprint() == open_of_run(video, settings, Silent()).fingerprint()
    assert sys.getswitchinterval() == interval


def test_what_opening_raises_is_raised_where_the_clip_is_wanted(tmp_path: Path) -> None:
    missing = tmp_path / "none.mp4"
    with opened_ahead(missing, resolve_settings(), Silent()) as opened, pytest.raises(InputError, match="no file"):
        opened()


def test_leaving_early_ends_the_reading(video: Path) -> None:
    begun, left = threading.Event(), threading.Event()
    frames: list[int] = []

    class Slow(Silent):
        def phase(self, name: str, total: int):  # type: ignore[no-untyped-def]
            def advance(count: int = 1) -> None:
                frames.append(count)
                begun.set()
                left.wait(10)

            return advance

    with opened_ahead(video, resolve_settings(), Slow()):
        assert begun.wait(10)
        threading.Timer(0.05, left.set).start()
    assert len(frames) <= 2
