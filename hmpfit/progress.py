"""Progress protocol for long steps: phases with a name and a count.

Separate from the terminal, so that the library can report without knowing how, or whether, anyone looks.
"""

from collections.abc import Callable
from typing import Any, Protocol


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


def count_from_total(progress: Progress, name: str) -> Callable[[int, int], None]:
    """Turn a progress phase into a callback of (done, total); the phase begins with the first call."""
    state: dict[str, Any] = {"done": 0}

    def report(done: int, total: int) -> None:
        if "advance" not in state:
            state["advance"] = progress.phase(name, total)
        state["advance"](done - state["done"])
        state["done"] = done

    return report
