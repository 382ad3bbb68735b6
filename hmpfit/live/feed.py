"""Read frames at their own pace: a thread keeps the few newest for the tracker.

What is not taken in time is dropped, oldest first, so that nothing falls behind. A file's frames come when they are due
and no earlier; its lag is counted from then, however late it was decoded.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hmpfit.errors import HmpfitError
from hmpfit.live.records import LiveCounts, LiveFrame
from hmpfit.video.live_source import LiveSource

WAITING = 4  # frames: what a short delay of the tracker may cost no frame


@dataclass
class LiveFeed:
    """Reads a source on a thread of its own; `take` gives the oldest frame that waits."""

    source: LiveSource
    counts: LiveCounts
    mirrored: bool = False
    clock: Callable[[], float] = time.perf_counter
    error: HmpfitError | None = None  # why it ended by itself
    _frames: deque[LiveFrame] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _ended: bool = False
    _thread: threading.Thread | None = None

    @property
    def ended(self) -> bool:
        """Whether no more frames will come than those that wait."""
        return self._ended

    def start(self) -> None:
        """Begin to read."""
        self._thread = threading.Thread(target=self._read, name="hmpfit live feed", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read no further; frames that wait can still be taken."""
        self._stopped.set()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Stop, and let the source go once the reader has."""
        self.stop()
        if self._thread is not None:
            self._thread.join(timeout=2.0)
        if self._thread is None or not self._thread.is_alive():  # else it hangs in a read; the process's end frees it
            self.source.close()

    def take(self) -> LiveFrame | None:
        """Wait for a frame and return it; None when there will be no more."""
        with self._changed:
            while not self._frames and not self._ended:
                self._changed.wait(0.5)
            return self._frames.popleft() if self._frames else None

    def _read(self) -> None:
        began, first_s = self.clock(), None
        try:
            for number, picture in enumerate(self.source.pictures()):
                if self._stopped.is_set():
                    return
                now = self.clock()
                time_s = now - began if self.source.kind != "file" or picture.time_s is None else picture.time_s
                if self.source.kind == "file":
                    first_s = time_s if first_s is None else first_s
                    due = began + time_s - first_s
                    if due > now and self._stopped.wait(due - now):
                        return
                    now, time_s = due, time_s - first_s
                image = np.ascontiguousarray(picture.image[:, ::-1]) if self.mirrored else picture.image
                self._put(LiveFrame(number, time_s, now, image))
        except HmpfitError as error:
            self.error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, frame: LiveFrame) -> None:
        with self._changed:
            self.counts.arrived += 1
            self._frames.append(frame)
            while len(self._frames) > WAITING:
                self._frames.popleft()
                self.counts.dropped += 1
            self._changed.notify_all()
