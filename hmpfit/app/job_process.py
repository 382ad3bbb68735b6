"""The process of one job: the same call as `hmpfit run`, with progress reported over a connection.

Separate from the queue, because this module is imported anew in each process.
"""

import contextlib
import logging
import signal
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hmpfit.errors import HmpfitError

_SAY_EVERY_S = 0.1


def fit_job(connection: Connection, video: Path, run: Path, choices: Mapping[str, Any], title: str) -> None:
    """Fit a video into the run folder; send ("phase", name, total), ("advance", done), ("warning", text), and at the
    end ("done",) or ("failed", sentence).
    """  # fmt: skip
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    logging.getLogger("hmpfit").addHandler(_SentWarnings(connection))
    try:
        from hmpfit.pipeline import run_video
        from hmpfit.recipes.resolving import resolve_settings

        run_video(video, run, resolve_settings(**choices), _SentProgress(connection), title)
    except HmpfitError as error:
        connection.send(("failed", str(error).replace(str(video), title)))
    except Exception as error:
        logging.getLogger("hmpfit").exception("the job '%s' failed", title)
        connection.send(("failed", f"The fit stopped: {type(error).__name__}: {' '.join(str(error).split())}"))
    else:
        connection.send(("done",))


class _SentProgress:
    """Sends phases and counts, at most ten counts a second."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def phase(self, name: str, total: int) -> Any:
        """Begin a phase."""
        self._connection.send(("phase", name, total))
        done, said = 0, time.monotonic()

        def advance(count: int = 1) -> None:
            nonlocal done, said
            done += count
            if time.monotonic() - said >= _SAY_EVERY_S:
                said = time.monotonic()
                self._connection.send(("advance", done))

        return advance


class _SentWarnings(logging.Handler):
    def __init__(self, connection: Connection) -> None:
        super().__init__(logging.WARNING)
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info is None:
            with contextlib.suppress(OSError):
                self._connection.send(("warning", record.getMessage()))
