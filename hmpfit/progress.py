"""Progress protocol for long steps: phases with a name and a count.

Separate from the terminal, so that the library can report without knowing how, or whether, anyone looks.
"""

from typing import Protocol


class Advance(Protocol):
    """Call it after each piece of work."""

    def __call__(self, count: int = 1) -> None:
        """Report that `count` more pieces are done."""


class Progress(Protocol):
    """Receiver of a run's phases and counts."""

    def phase(self, name: str, total: int) -> Advance:
        """Begin a phase of `total` pieces, which ends the one before; return what to call after each piece."""


class Silent:
    """A watcher that shows nothing: the default of library calls."""

    def phase(self, name: str, total: int) -> Advance:
        """Begin a phase without a display."""
        return _ignore


def _ignore(count: int = 1) -> None:
    return None
