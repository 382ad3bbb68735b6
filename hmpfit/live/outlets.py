"""Outputs of a session: JSON lines, the WebSocket, the page and the recording, each at its own pace.

An outlet that fails does not take the others with it: standard output without a reader ends the session, a
full disk ends the recording with a sentence, listeners come and go.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from hmpfit.errors import HmpfitError
from hmpfit.live.broadcast import Broadcast
from hmpfit.live.messages import end_message, frame_message, header
from hmpfit.live.page import LivePage
from hmpfit.live.recorder import Recorder
from hmpfit.live.records import LiveCounts, LiveEstimate, LiveFrame, SeenFrame
from hmpfit.live.statistics import spoken
from hmpfit.records import Camera


@dataclass
class Outlets:
    """The outlets of a session; those that are off are None. `lines` writes to standard output."""

    lines: bool = False
    broadcast: Broadcast | None = None
    page: LivePage | None = None
    recorder: Recorder | None = None
    unread: bool = False  # the reader of standard output is gone
    _began: float = field(default_factory=time.monotonic)
    _recent: list[float] = field(default_factory=list)
    _hands: int = 0

    def begin(self, camera: Camera, fps: float) -> None:
        """Send the first message."""
        message = header(camera, fps)
        self._print(message)
        if self.broadcast is not None:
            self.broadcast.tell(message, first=True)

    def frame(self, frame: LiveFrame, seen: SeenFrame) -> None:
        """Pass a tracked frame on; called on the tracker's thread."""
        if self.recorder is not None:
            self.recorder.frame(frame, seen)
        if self.page is not None:
            self.page.frame(frame)

    def estimates(self, estimates: Sequence[LiveEstimate], counts: LiveCounts) -> None:
        """Pass estimates on."""
        now = time.monotonic()
        self._recent = [moment for moment in self._recent if now - moment < 3.0] + [now] * len(estimates)
        self._hands = len(estimates[-1].hands)
        for estimate in estimates:
            if not (self.lines or self.broadcast or self.recorder):
                break
            message = frame_message(estimate)
            self._print(message)
            if self.broadcast is not None:
                self.broadcast.tell(message)
            if self.recorder is not None:
                self.recorder.estimate(estimate, message)
        if self.page is not None:
            self.page.show(list(estimates), self.words(counts))

    def words(self, counts: LiveCounts) -> str:
        """Return the session's statistics in words."""
        since = max(min(time.monotonic() - self._began, 3.0), 1e-3)
        return spoken(counts, len(self._recent) / since, self._hands)

    def end(self, counts: LiveCounts, reason: str) -> None:
        """Send the last message and close what is no recording."""
        message = end_message(counts, reason)
        self._print(message)
        if self.broadcast is not None:
            self.broadcast.tell(message)
            self.broadcast.close()
        if self.page is not None:
            self.page.close()

    def _print(self, message: str) -> None:
        if not self.lines or self.unread:
            return
        try:
            sys.stdout.write(message + "\n")
            sys.stdout.flush()
        except (OSError, ValueError):
            self.unread = True


def failed(error: BaseException) -> str:
    """Return the sentence of an error that ended a session."""
    return str(error) if isinstance(error, HmpfitError) else f"{type(error).__name__}: {error}"
