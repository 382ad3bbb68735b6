"""Write to standard error without ending a run: it may be closed, full, or unable to show a character.

Separate from `progress`, so that `main` can say a last sentence without rich.
"""

import contextlib
import os
import sys

import click


def say(text: str) -> None:
    """Print a line on standard error, as far as anyone can read it."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(text, err=True)


def open_closed_streams() -> None:
    """Give a process that was started with closed streams (2>&-) ones to nowhere.

    Without them the next files that are opened would get their numbers, and messages would be written into them.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                nowhere = os.open(os.devnull, os.O_RDWR)
                if nowhere != number:
                    os.dup2(nowhere, number)
                    os.close(nowhere)
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  (for as long as the process)


def show_every_character() -> None:
    """Have both standard streams print what their encoding lacks as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
