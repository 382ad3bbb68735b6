"""Reliable Ctrl-C: Python swallows a KeyboardInterrupt that is raised inside a destructor.

The signal is stored here, and progress reads it at every step.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_ASKED = threading.Event()


def listen() -> None:
    """Remember Ctrl-C, SIGTERM and SIGHUP from now on, besides raising KeyboardInterrupt at once."""
    _ASKED.clear()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:  # nohup's wish is kept
                signal.signal(number, _interrupt)


def stop_if_asked() -> None:
    """Raise KeyboardInterrupt when Ctrl-C was pressed and has not ended the run."""
    if _ASKED.is_set():
        raise KeyboardInterrupt


def _interrupt(number: int, frame: FrameType | None) -> None:
    _ASKED.set()
    raise KeyboardInterrupt


@contextlib.contextmanager
def ending_gently(stop: Callable[[], None]) -> Iterator[None]:
    """Have the first Ctrl-C, SIGTERM or SIGHUP call `stop` instead of raising; a second Ctrl-C raises.

    Nothing is broken off in the middle, so that what was recorded can be finished, also when the terminal is closed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if asked.is_set() and number == signal.SIGINT:
            _interrupt(number, frame)
        asked.set()
        stop()

    numbers = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
