"""The smoother in a copy of this process, so that it and the tracker do not wait for each other's interpreter lock."""

import contextlib
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Any, Protocol

from hmpfit.live.records import SeenFrame
from hmpfit.live.smoother import FixedLagSmoother, Told
from hmpfit.pipeline.devices import one_thread
from hmpfit.process_copies import ProcessCopy, can_copy


class Smoother(Protocol):
    """What takes new frames in and tells which are known."""

    def update(self, new: Sequence[SeenFrame], last: bool = False) -> list[Told]:
        """See `FixedLagSmoother.update`."""

    def close(self) -> None:
        """Let go of what it holds."""


class SmootherCopy:
    """A smoother that a copy of this process runs; ends with `close` or with the process."""

    def __init__(self, smoother: FixedLagSmoother) -> None:
        here, there = Pipe()

        def serve(send: Callable[[Any], None]) -> None:
            here.close()
            with one_thread():
                _serve(smoother, there, send)

        self._frames, self._copy = here, ProcessCopy(serve)
        there.close()

    def update(self, new: Sequence[SeenFrame], last: bool = False) -> list[Told]:
        """Take new frames in and wait for those that are known by now. Raises what the copy raised."""
        told: list[list[Told]] = []
        with contextlib.suppress(OSError):  # a copy that has ended tells why
            self._frames.send((list(new), last))
        self._copy.receive(told.append)
        return told[0]

    def close(self) -> None:
        """End the copy."""
        self._copy.kill()
        self._frames.close()


def smoother_beside(smoother: FixedLagSmoother) -> Smoother:
    """Return a copy's smoother in the given one's state, or that one where this process cannot be copied."""
    return SmootherCopy(smoother) if can_copy() else smoother


def _serve(smoother: FixedLagSmoother, frames: Connection, send: Callable[[Any], None]) -> None:
    last = False
    while not last:
        new, last = frames.recv()
        send(smoother.update(new, last))
