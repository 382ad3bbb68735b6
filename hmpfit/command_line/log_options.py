"""`-v` and `--log-file`, which every command takes: what the library logs, on standard error and in a file."""

import contextlib
import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hmpfit import __version__
from hmpfit.command_line.standard_error import say
from hmpfit.errors import InputError

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_LOOKED_AT_BYTES = 1024
_LOG = logging.getLogger("hmpfit")


def add_log_options(command: click.Command) -> click.Command:
    """Give a command `-v` and `--log-file`, once."""
    if not any(option.name == "log_file" for option in command.params):
        command.params += [
            click.Option(
                ["-v", "--verbose"], count=True, expose_value=False, callback=_show,
                help="Say what is being done on standard error; -vv says more.",
            ),
            click.Option(
                ["--log-file"], type=click.Path(path_type=Path), metavar="FILE", expose_value=False, callback=_record,
                help="Append everything that is logged, and where an error came from, to FILE.",
            ),
        ]  # fmt: skip
    return command


class LinesOnStandardError(logging.Handler):
    """Prints records as plain lines on whatever stderr is now; warnings only where no progress display does."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        shown = any(getattr(handler, "shows_warnings", False) for handler in _LOG.handlers)
        if record.levelno < logging.WARNING or not shown:
            say(f"hmpfit: {record.levelname.lower()}: {record.getMessage()}")


class _LogFile(logging.FileHandler):
    """A log file that reports once when it cannot be written any more."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Report the error in a sentence instead of logging's traceback."""
        if self.level <= logging.CRITICAL:
            self.setLevel(logging.CRITICAL + 1)
            say(f"hmpfit: warning: the log file '{self.baseFilename}' cannot be written: {sys.exc_info()[1]}")

    def close(self) -> None:
        """Close the file, even if its last lines cannot be written."""
        with contextlib.suppress(OSError):
            super().close()


def _show(ctx: click.Context, option: click.Parameter, count: int) -> None:
    if count:
        _attach(ctx, LinesOnStandardError(logging.INFO if count == 1 else logging.DEBUG))


def _record(ctx: click.Context, option: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    try:
        if path.is_file() and b"\0" in path.open("rb").read(_LOOKED_AT_BYTES):
            raise InputError(f"'{path}' is no log but a binary file; give --log-file another name.")
        file = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(f"The log file '{path}' cannot be written: {error.strerror or error}.") from error
    file.setLevel(logging.DEBUG)
    file.setFormatter(logging.Formatter(_FORMAT))
    _attach(ctx, LinesOnStandardError(logging.WARNING))  # a file's handler alone would silence Python's last resort
    _attach(ctx, file, _tell_how_it_ended)
    _LOG.debug("hmpfit %s: %s", __version__, shlex.join(sys.argv))


def _attach(ctx: click.Context, handler: logging.Handler, at_end: Callable[[], Any] = lambda: None) -> None:
    before = _LOG.level
    _LOG.setLevel(min(handler.level, before or logging.WARNING))
    _LOG.addHandler(handler)

    def detach() -> None:
        at_end()
        _LOG.removeHandler(handler)
        _LOG.setLevel(before)
        handler.close()

    ctx.call_on_close(detach)


def _tell_how_it_ended() -> None:
    error = sys.exc_info()[1]
    if error is None or isinstance(error, click.exceptions.Exit):
        _LOG.debug("done")
    else:
        _LOG.debug("ended by %s: %s", type(error).__name__, error, exc_info=error)
