"""Worker processes that never outlive their work: they end with their parent, and at once when it is interrupted.

At the bottom of the imports because data sets, ablations, batches and benchmarks all spread work over processes.
"""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from hmpfit.errors import HmpfitError


@contextmanager
def worker_pool(
    workers: int, initializer: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of spawned processes; what is not done when the block ends by an error is stopped.

    `initializer(*arguments)` is called once in each. Raises HmpfitError when a worker dies.
    """
    pool = start_pool(workers, initializer, arguments)
    try:
        yield pool
        pool.shutdown()
    except BrokenProcessPool:
        raise HmpfitError("A worker process died, perhaps for want of memory; try fewer --workers.") from None
    finally:
        stop_pool(pool)


def start_pool(
    workers: int, initializer: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> ProcessPoolExecutor:
    """Return a pool of spawned processes that leave Ctrl-C to this one and end with it."""
    # Spawned, because forking a process that has used the landmark networks or OpenGL is not safe.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(initializer, arguments))


def stop_pool(pool: ProcessPoolExecutor) -> None:
    """Stop the processes of a pool at once, whatever they do."""
    for process in list((pool._processes or {}).values()):
        process.kill()  # files are written whole or not at all, so nothing is lost
    pool.shutdown(wait=True, cancel_futures=True)


def _begin(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    # A terminal sends Ctrl-C to all processes; the parent gets it too, and stops its workers.
    for number in (signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True, name="end with parent").start()
    if initializer is not None:
        initializer(*arguments)


def _end_with_parent() -> None:
    """Wait until the parent is gone, however it ended, and exit at once: nothing would collect the result."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
