"""Find and measure a run's hands in a copy of this process, while the modules that will fit them are imported here.

Separate from `video.ahead_of_imports`, which opens the clip on a thread where this process cannot be copied. Nothing
that is imported here imports torch, which takes longer than all else together.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hmpfit.process_copies import ProcessCopy, Send, beside, can_copy
from hmpfit.progress import Advance, Progress
from hmpfit.recipes.settings import RunSettings
from hmpfit.video.of_run import hidden_frames, open_of_run

if TYPE_CHECKING:
    from hmpfit.keypoints.refinement import Measurements
    from hmpfit.video.clip import Clip

_SOURCES = ("blend", "mediapipe")  # of keypoints, that always begin with this detector
_EVERY_S = 0.1  # between messages about progress, so that they never fill the pipe while nobody reads it
_LOG = logging.getLogger("hmpfit")


@contextmanager
def measured_ahead(video: Path, settings: RunSettings) -> Iterator["MeasuredAhead | None"]:
    """Begin a run's detection and yield what waits for its clip and its measurements; what is not done ends here.

    None where this process cannot be copied or the settings ask for other keypoints. The recipe may lack its options.
    """
    if settings.keypoints not in _SOURCES or settings.boxes is not None or not can_copy(settings.workers):
        yield None
        return
    import hmpfit.keypoints.mediapipe  # noqa: F401  (once, for this process and its copy)

    if not can_copy(settings.workers):  # a module started threads
        yield None
        return
    with beside(partial(_measure, video, settings)) as copy:
        yield MeasuredAhead(copy)


def _measure(video: Path, settings: RunSettings, send: Send) -> "Measurements":
    """Open the clip, send it, and return the measurements of its hands; progress is sent on the way."""
    import cv2

    from hmpfit.keypoints.mediapipe import find_and_measure, options_of

    cv2.setNumThreads(1)
    _LOG.handlers, _LOG.propagate = [_SentRecords(send)], False
    progress = _SentProgress(send)
    clip = open_of_run(video, settings, progress)
    send(("clip", clip))
    return find_and_measure(clip, options_of(settings), hidden_frames(clip, settings), progress)


class _SentProgress:
    """A watcher that sends phases and counts to the process that waits."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def phase(self, name: str, total: int) -> Advance:
        """Send that a phase begins."""
        self._send(("phase", (name, total)))
        done, sent, at = 0, 0, time.monotonic()

        def advance(count: int = 1) -> None:
            nonlocal done, sent, at
            done += count
            if time.monotonic() - at >= _EVERY_S or done == total:
                self._send(("advance", done - sent))
                sent, at = done, time.monotonic()

        return advance


class _SentRecords(logging.Handler):
    """Sends what is logged to the process that waits."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send(("log", (record.levelno, record.getMessage())))


class MeasuredAhead:
    """What a copy sends: its clip, what it logs, its progress, and at the end the measurements."""

    def __init__(self, copy: ProcessCopy["Measurements"]) -> None:
        self._copy = copy
        self._advance: Advance | None = None
        self._clip: Clip | None = None

    def clip(self, progress: Progress) -> "Clip":
        """Wait for the clip. Raises what opening it raised."""
        while self._clip is None:
            self._copy.receive(partial(self._take, progress))
        return self._clip

    def measurements(self, progress: Progress) -> "Measurements":
        """Wait for the measurements. Raises what the detection raised."""
        return self._copy.result(partial(self._take, progress))

    def _take(self, progress: Progress, message: tuple[str, Any]) -> None:
        kind, content = message
        if kind == "clip":
            self._clip = content
        elif kind == "log":
            _LOG.log(*content)
        elif kind == "phase":
            self._advance = progress.phase(*content)
        elif self._advance is not None:
            self._advance(content)
