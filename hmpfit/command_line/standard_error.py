"""Lines on standard error that cannot end a run: it may be closed, full, or unable to show a character.

Separate from `progress`, so that `main` can say a last sentence without rich.
"""

import contextlib
import sys

import click


def say(text: str) -> None:
    """Print a line on standard error, as far as anyone can read it."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(text, err=True)


def show_every_character() -> None:
    """Have both standard streams print what their encoding lacks as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
