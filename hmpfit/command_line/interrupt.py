"""Ctrl-C that cannot get lost: Python swallows a KeyboardInterrupt that strikes inside a destructor.

The signal is remembered here, and progress asks for it at every step.
"""

import signal
import threading
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
