"""A tracker that is faster than the smoother waits for it, so that the feed drops frames instead of falling behind."""

import threading
from types import SimpleNamespace

from hmpfit.live.engine import MOST_WAITING_S, LiveEngine
from hmpfit.live.records import LiveCounts


class Feed:
    """Has one frame; notes how many tracked frames waited when it was taken."""

    def __init__(self) -> None:
        self.counts, self.asked, self.waiting = LiveCounts(), threading.Event(), []
        self.engine: LiveEngine

    @property
    def ended(self) -> bool:
        self.asked.set()
        return False

    def take(self) -> str:
        self.waiting.append(len(self.engine._tracked))
        return "a frame"


def test_no_frame_is_taken_while_the_smoother_is_behind() -> None:
    feed = Feed()
    engine = feed.engine = LiveEngine(feed, track=None, smoother=None)  # type: ignore[arg-type]
    engine._tracked = [SimpleNamespace(time_s=0.0), SimpleNamespace(time_s=MOST_WAITING_S)]  # type: ignore[list-item]
    thread = threading.Thread(target=engine._take, daemon=True)
    thread.start()
    assert feed.asked.wait(30)  # it looks whether to go on waiting
    assert feed.waiting == []
    new, _ = engine._next()
    thread.join(30)
    assert len(new) == 2 and feed.waiting == [0]
