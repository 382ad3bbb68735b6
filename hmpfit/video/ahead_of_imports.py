"""Open a run's clip, on a thread of its own where the modules that will fit it are imported meanwhile.

Separate from `ahead`, which reads frames: here a whole file is gone through once, which needs no module of a fit.
"""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from hmpfit.progress import Progress
from hmpfit.recipes.settings import RunSettings
from hmpfit.video.of_run import open_of_run

if TYPE_CHECKING:
    from hmpfit.video.clip import Clip

_SWITCH_S = 0.0005  # importing lets go of the interpreter only when it is asked to


@contextmanager
def opened_ahead(video: Path, settings: RunSettings, progress: Progress) -> Iterator[Callable[[], "Clip"]]:
    """Begin to open a run's clip and yield the function that waits for it, or raises what opening raised.

    Whoever leaves the block before that does not wait for the rest of the file.
    """
    before, left = sys.getswitchinterval(), Event()

    def go_on() -> None:
        if left.is_set():
            raise InterruptedError

    with ThreadPoolExecutor(1) as pool:
        sys.setswitchinterval(_SWITCH_S)
        opening = pool.submit(open_of_run, video, settings, progress, go_on)
        opening.add_done_callback(lambda _: sys.setswitchinterval(before))

        def opened() -> "Clip":
            clip = opening.result()
            pool.shutdown()  # its thread goes: a process of one thread can be copied
            return clip

        try:
            yield opened
        finally:
            left.set()
