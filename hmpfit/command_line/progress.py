"""Progress display: a bar with the time left on a terminal, plain lines in a pipe or a log; always on stderr."""

import logging
import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from hmpfit.command_line.interrupt import stop_if_asked
from hmpfit.command_line.literal import literal_console
from hmpfit.command_line.standard_error import say
from hmpfit.progress import Advance

_LINE_EVERY_S, _BAR_EVERY_S = 10.0, 0.1
_LOG = logging.getLogger(__name__)


class TerminalProgress:
    """Shows phases until the `with` block ends; also prints the library's warnings, unless `quiet`."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self._lines: _Lines | None = None
        self._warnings = _Warnings(logging.ERROR if quiet else logging.WARNING)

    def __enter__(self) -> "TerminalProgress":
        """Start the display."""
        logging.getLogger("hmpfit").addHandler(self._warnings)
        if not self._quiet and sys.stderr.isatty():
            columns = (
                TextColumn("{task.description:<22}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
            )
            # Drawn anew by those who advance it: with a thread for that the process could not be copied.
            self._bars = Progress(*columns, console=literal_console(stderr=True), auto_refresh=False)
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop watching; a phase cut short by an error is not called done."""
        self._end_phase(completed=error is None)
        if self._bars is not None:
            self._bars.stop()
        logging.getLogger("hmpfit").removeHandler(self._warnings)

    def phase(self, name: str, total: int) -> Advance:
        """Begin a phase of `total` pieces, which ends the one before."""
        stop_if_asked()
        self._end_phase(completed=True)
        _LOG.debug("phase '%s' begins, %d pieces", name, total)
        if self._quiet:
            return _nothing
        if self._bars is not None:
            return _bar(self._bars, self._start_bar(self._bars, name, total))
        self._lines = _Lines(name, total)
        return self._lines

    def _start_bar(self, bars: Progress, name: str, total: int) -> TaskID:
        self._task = bars.add_task(name, total=total or None)  # None: moves without an end in sight
        bars.refresh()
        return self._task

    def _end_phase(self, completed: bool) -> None:
        if self._bars is not None and self._task is not None and completed:
            total = self._bars.tasks[self._task].total
            self._bars.update(self._task, completed=total, refresh=True)
        if self._lines is not None and completed:
            self._lines.end()
        self._task = self._lines = None


class _Lines:
    """A phase in a pipe: a line when it ends, and one every few seconds while it lasts."""

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total, self._done = name, total, 0
        self._start = self._said = time.monotonic()

    def __call__(self, count: int = 1) -> None:
        stop_if_asked()
        self._done += count
        now = time.monotonic()
        if now - self._said >= _LINE_EVERY_S and not self._total:
            self._said = now
            say(f"{self._name}: {self._done}")
        elif now - self._said >= _LINE_EVERY_S and 0 < self._done < self._total:
            self._said = now
            left = (now - self._start) * (self._total - self._done) / self._done
            say(f"{self._name}: {self._done} of {self._total}, about {left:.0f} s left")

    def end(self) -> None:
        """Print that the phase is done and how long it took."""
        say(f"{self._name}: done in {time.monotonic() - self._start:.1f} s")


class _Warnings(logging.Handler):
    """Prints log records as plain lines on whatever stderr is now, so that a live bar is not torn."""

    shows_warnings = True

    def emit(self, record: logging.LogRecord) -> None:
        say(f"hmpfit: {record.levelname.lower()}: {record.getMessage()}")


def _bar(bars: Progress, task: TaskID) -> Advance:
    drawn = time.monotonic()

    def advance(count: int = 1) -> None:
        nonlocal drawn
        stop_if_asked()
        bars.advance(task, count)
        if time.monotonic() - drawn >= _BAR_EVERY_S:
            drawn = time.monotonic()
            bars.refresh()

    return advance


def _nothing(count: int = 1) -> None:
    stop_if_asked()


def count_steps(progress: TerminalProgress, total: int) -> Callable[[int], None]:
    """Return what a training calls with the number of steps done."""
    advance, done = progress.phase("training", total), [0]

    def on_step(step: int) -> None:
        advance(step - done[0])
        done[0] = step

    return on_step
