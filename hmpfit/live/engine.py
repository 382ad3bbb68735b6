"""Run feed, tracker and smoother side by side; estimates come out in order.

The tracker takes frames as they come; the smoother takes whatever was tracked since its last update, so that a slow
update makes the next one larger. Where it still falls behind, the tracker waits for it and the feed drops frames.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hmpfit.live.feed import LiveFeed
from hmpfit.live.records import LiveCounts, LiveEstimate, LiveFrame, SeenFrame
from hmpfit.live.smoother import Told
from hmpfit.live.smoother_copy import Smoother
from hmpfit.pipeline.devices import one_thread

LEAST_NEW_S = 0.12  # of frames that an update waits for: each costs as much for one frame as for four
MOST_NEW = 30  # frames that one update takes in
MOST_WAITING_S = 0.4  # of tracked frames that wait for the smoother, before the tracker takes no more

Track = Callable[[LiveFrame], SeenFrame]


@dataclass
class LiveEngine:
    """Runs until the feed ends or `stop` is called; iterate over `estimates` on the thread that owns the engine.

    `on_frame` is called with every tracked frame on the tracker's thread, such as to record it. What a thread raises is
    raised by `estimates`.
    """

    feed: LiveFeed
    track: Track
    smoother: Smoother
    on_frame: Callable[[LiveFrame, SeenFrame], None] | None = None
    _tracked: list[SeenFrame] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ended: bool = False
    _failure: BaseException | None = None

    @property
    def counts(self) -> LiveCounts:
        """What became of the frames so far."""
        return self.feed.counts

    def stop(self) -> None:
        """Take no more frames; `estimates` ends with those that were tracked."""
        self.feed.stop()

    def estimates(self) -> Iterator[Sequence[LiveEstimate]]:
        """Yield the estimates of every update."""
        thread = threading.Thread(target=self._follow, name="hmpfit live tracker", daemon=True)
        self.feed.start()
        thread.start()
        try:
            with one_thread():  # once: limiting the libraries takes 2 ms
                while True:
                    new, ended = self._next()
                    told = self.smoother.update(new, last=ended)
                    if told:
                        yield self._estimated(told)
                    if ended:
                        break
        finally:
            self.smoother.close()
        if self._failure is not None:
            raise self._failure

    def _estimated(self, told: Sequence[Told]) -> list[LiveEstimate]:
        now = self.feed.clock()
        out = [LiveEstimate(seen.number, seen.time_s, now - seen.arrived_s, hands) for seen, hands in told]
        self.counts.known += len(out)
        self.counts.lags_s += [one.lag_s for one in out]
        del self.counts.lags_s[:-MOST_LAGS]
        return out

    def _next(self) -> tuple[list[SeenFrame], bool]:
        """Wait for enough tracked frames; also return whether they are the last."""
        with self._changed:
            while not self._ended and not _enough(self._tracked):
                self._changed.wait(0.5)
            new, self._tracked = self._tracked[:MOST_NEW], self._tracked[MOST_NEW:]
            self._changed.notify_all()
            return new, self._ended and not self._tracked

    def _take(self) -> LiveFrame | None:
        """Wait until the smoother is not too far behind, then for a frame; None when there will be no more."""
        with self._changed:
            while _spans(self._tracked, MOST_WAITING_S) and not self.feed.ended:
                self._changed.wait(0.1)
        return self.feed.take()

    def _follow(self) -> None:
        try:
            while (frame := self._take()) is not None:
                seen = self.track(frame)
                if self.on_frame is not None:
                    self.on_frame(frame, seen)
                with self._changed:
                    self._tracked.append(seen)
                    self._changed.notify_all()
        except BaseException as error:
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()


MOST_LAGS = 100_000  # that are kept for the statistics


def _enough(tracked: Sequence[SeenFrame]) -> bool:
    return _spans(tracked, LEAST_NEW_S)


def _spans(tracked: Sequence[SeenFrame], seconds: float) -> bool:
    return len(tracked) > 1 and tracked[-1].time_s - tracked[0].time_s >= seconds - 1e-3
