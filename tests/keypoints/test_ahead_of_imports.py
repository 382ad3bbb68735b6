"""A detection begun ahead gives clip, measurements, what is logged and what went wrong, as a run's own would."""

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmpfit.errors import HmpfitError, InputError, NoHandError
from hmpfit.keypoints import ahead_of_imports, mediapipe
from hmpfit.keypoints.ahead_of_imports import measured_ahead
from hmpfit.progress import Silent
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.recipes.settings import RunSettings
from hmpfit.video.clip import open_clip
from hmpfit.video.writer import VideoWriter

CHECKOUT = Path(__file__).parents[2]
LIGHT: dict[str, Any] = {"with_options": False}


class Here:
    """Does the work of a copy in this process, which has threads: what it sends waits until it is received."""

    def __init__(self, work: Callable[[Callable[[Any], None]], Any]) -> None:
        self._sent: list[Any] = []
        try:
            self._result: Any = work(self._sent.append)
        except HmpfitError as error:
            self._result = error

    def receive(self, on_message: Callable[[Any], None]) -> list[Any]:
        if self._sent:
            on_message(self._sent.pop(0))
            return []
        if isinstance(self._result, HmpfitError):
            raise self._result
        return [self._result]

    def result(self, on_message: Callable[[Any], None]) -> Any:
        while not (found := self.receive(on_message)):
            pass
        return found[0]


@pytest.fixture(autouse=True)
def copied(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    log = logging.getLogger("hmpfit")
    handlers, propagate = log.handlers, log.propagate
    monkeypatch.setattr(ahead_of_imports, "can_copy", lambda most: most != 1)
    monkeypatch.setattr(ahead_of_imports, "beside", lambda work: nullcontext(Here(partial(_as_in_a_copy, work))))
    yield
    log.handlers, log.propagate = handlers, propagate


def _as_in_a_copy(work: Callable[[Callable[[Any], None]], Any], send: Callable[[Any], None]) -> Any:
    """Leave this process's logging as it was: a copy changes only its own."""
    log = logging.getLogger("hmpfit")
    handlers, propagate = log.handlers, log.propagate
    try:
        return work(send)
    finally:
        log.handlers, log.propagate = handlers, propagate


@pytest.fixture
def empty_room(tmp_path: Path) -> Path:
    with VideoWriter(tmp_path / "empty.mp4", 30.0, 64, 48) as made:
        for level in range(12):
            made.write(np.full((48, 64, 3), 8 * level, np.uint8))
    return tmp_path / "empty.mp4"


class Told(Silent):
    def __init__(self) -> None:
        self.phases: dict[str, int] = {}

    def phase(self, name: str, total: int):  # type: ignore[no-untyped-def]
        self.phases[name] = 0

        def advance(count: int = 1) -> None:
            self.phases[name] += count

        return advance


def test_measurements_are_those_of_the_run_itself(inputs: Path) -> None:
    video, told = inputs / "clips/pinches.mp4", Told()
    settings = resolve_settings(frames=(30, 54), hide_keypoints=((40, 44),), **LIGHT)
    with measured_ahead(video, settings) as begun:
        assert begun is not None
        clip = begun.clip(told)
        found = begun.measurements(told)
    assert clip.frames == 24 and clip.fingerprint() == open_clip(video, (30, 54)).fingerprint()
    hidden = np.zeros(24, dtype=bool)
    hidden[10:14] = True
    own = mediapipe.find_and_measure(clip, mediapipe.options_of(settings), hidden)
    for name in ("xy_px", "world_m", "confidence", "seen"):
        assert np.array_equal(getattr(found.found, name), getattr(own.found, name), equal_nan=True)
    assert not found.found.seen[:, hidden].any()
    assert set(told.phases) >= {"reading the video", "finding hands", "measuring landmarks"}
    assert told.phases["measuring landmarks"] > 0


def test_what_went_wrong_is_raised_where_it_is_asked_for(empty_room: Path) -> None:
    with measured_ahead(empty_room, resolve_settings(**LIGHT)) as begun:
        assert begun is not None and begun.clip(Silent()).frames == 12
        with pytest.raises(NoHandError, match="No hand was found"):
            begun.measurements(Silent())
    with measured_ahead(empty_room.with_name("none.mp4"), resolve_settings(**LIGHT)) as begun:
        assert begun is not None
        with pytest.raises(InputError, match="no file"):
            begun.clip(Silent())


def test_what_is_logged_there_is_logged_here(empty_room: Path, caplog: pytest.LogCaptureFixture) -> None:
    empty_room.write_bytes(empty_room.read_bytes()[:-30])
    with (
        caplog.at_level(logging.WARNING, logger="hmpfit"),
        measured_ahead(empty_room, resolve_settings(**LIGHT)) as begun,
    ):
        assert begun is not None
        try:
            begun.clip(Silent())
        except InputError:
            pytest.skip("this damage leaves nothing to decode")
    assert "damaged" in caplog.text


@pytest.mark.parametrize("choices", [{"workers": 1}, {"keypoints": "file:somewhere.npz"}, {"boxes": "boxes.json"}])
def test_nothing_is_begun_for_one_worker_or_other_keypoints(empty_room: Path, choices: dict[str, object]) -> None:
    settings: RunSettings = resolve_settings(**LIGHT, **choices)
    with measured_ahead(empty_room, settings) as begun:
        assert begun is None


@pytest.mark.slow
def test_a_run_in_copies_and_one_in_one_process_are_equal_to_the_byte(inputs: Path, tmp_path: Path) -> None:
    for name, more in (("copies", ()), ("alone", ("--workers", "1"))):
        video, out = str(inputs / "clips/pinches.mp4"), str(tmp_path / name)
        command = [sys.executable, "cli.py", "run", video, "-o", out, "--frames", "0:140", "--quiet", *more]
        subprocess.run(command, cwd=CHECKOUT, check=True, timeout=300)
    for file in ("result.npz", "overlay.mp4"):
        assert (tmp_path / "copies" / file).read_bytes() == (tmp_path / "alone" / file).read_bytes()
