"""Copies of this process that compute beside it, with all that it has imported and read.

Separate from `worker_pool`, whose processes start empty: a copy is forked, which takes milliseconds, and only from a
process with one thread, because a lock that another thread holds would stay locked in the copy for good.
"""

import contextlib
import ctypes
import gc
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Generic, NoReturn, TypeVar

from hmpfit.errors import HmpfitError

Result = TypeVar("Result")
Send = Callable[[Any], None]
Work = Callable[[Send], Result]  # gets the function that sends a message to the process that waits

_PR_SET_PDEATHSIG = 1
_MESSAGE, _RESULT, _ERROR = range(3)
_LIMITS = [sys.maxsize]


def usable_cores() -> int:
    """Return how many cores this process may use, inside `cores_limited` at most those."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, *_LIMITS)


@contextlib.contextmanager
def cores_limited(most: int | None) -> Iterator[None]:
    """Let this process use at most so many cores inside the block, copies included; None changes nothing."""
    _LIMITS.append(most or sys.maxsize)
    try:
        yield
    finally:
        _LIMITS.pop()


def can_copy(most: int | None = None) -> bool:
    """Return whether this process may be copied and a second core is there; `most` is how many cores it shall use."""
    if sys.platform != "linux" or min(usable_cores(), most or 2) < 2:
        return False
    try:
        return len(os.listdir("/proc/self/task")) == 1  # also the threads that Python does not know of
    except OSError:
        return False


class ProcessCopy(Generic[Result]):
    """A copy of this process that computes `work(send)`; it ends with that, with its parent, or by `kill`."""

    def __init__(self, work: Work[Result]) -> None:
        self.connection, sending = Pipe(duplex=False)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.flush()  # or the copy would hold what is not written yet
        parent = os.getpid()
        self._pid: int | None = os.fork()
        if self._pid == 0:
            _compute(work, sending, parent)
        sending.close()

    def receive(self, on_message: Callable[[Any], None] | None = None) -> list[Result]:
        """Take what the copy sent next: its result, or nothing but a message. Raises what `work` raised."""
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError):
            self.kill()
            raise HmpfitError("A process of this run died, perhaps for want of memory; try --workers 1.") from None
        if kind == _MESSAGE:
            if on_message is not None:
                on_message(content)
            return []
        self.kill()
        if kind == _ERROR:
            error, cause = content
            raise error from cause
        return [content]

    def result(self, on_message: Callable[[Any], None] | None = None) -> Result:
        """Wait for the result, handing messages on. Raises what `work` raised."""
        while not (found := self.receive(on_message)):
            pass
        return found[0]

    def kill(self) -> None:
        """End the copy, whatever it does; one that has ended is only forgotten."""
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self._pid = None
            self.connection.close()


def side_by_side(
    works: Sequence[Work[Result]], on_message: Callable[[Any], None] | None = None, most: int | None = None
) -> list[Result]:
    """Compute every `work(send)` and return the results in order: each in a copy, or here one after the other.

    `most` is how many cores they may use. Raises what one of them raised; the others are ended.
    """
    if len(works) < 2 or not can_copy(most):
        return [work(on_message or _unheard) for work in works]
    copies: list[ProcessCopy[Result]] = []
    results: dict[int, Result] = {}
    try:
        for work in works:
            copies.append(ProcessCopy(work))
        while len(results) < len(works):
            waiting = {copy.connection: n for n, copy in enumerate(copies) if n not in results}
            for ready in wait(list(waiting)):
                n = waiting[ready]  # type: ignore[index]
                results.update((n, result) for result in copies[n].receive(on_message))
    finally:
        for copy in copies:
            copy.kill()
    return [results[n] for n in range(len(works))]


@contextlib.contextmanager
def beside(work: Work[Result]) -> Iterator[ProcessCopy[Result]]:
    """Give a copy of this process that computes `work(send)` while the block goes on, and end it with the block."""
    copy = ProcessCopy(work)
    try:
        yield copy
    finally:
        copy.kill()


def _unheard(message: Any) -> None:
    pass


def _compute(work: Work[Any], sending: Connection, parent: int) -> NoReturn:
    """Compute in the copy, send the outcome and end without the clearing up that is the parent's."""
    gc.freeze()  # or the collector's marks would make the parent's memory the copy's own
    try:
        for number in (signal.SIGINT, signal.SIGHUP):  # the parent gets them too, and ends its copies
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            sending.send(_outcome(work, lambda message: sending.send((_MESSAGE, message))))
    finally:
        os._exit(0)


def _outcome(work: Work[Any], send: Send) -> tuple[int, Any]:
    try:
        return _RESULT, work(send)
    except BaseException as error:
        if not isinstance(error, HmpfitError):
            error.add_note("".join(traceback.format_exception(error)))  # of the copy, which ends with it
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return _ERROR, (HmpfitError(f"{type(error).__name__}: {error}"), None)
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else None
        return _ERROR, (error, cause)
