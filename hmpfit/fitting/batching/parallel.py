"""Batches of a CPU side by side on its cores, a thread each.

Separate from the stages, which need not know: one batch's small products gain little from a second core, and two
batches gain all of it. Threads rather than processes, because torch lets go of the interpreter while it works.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

OnStep = Callable[[int, int], None]
Part = TypeVar("Part")
Result = TypeVar("Result")


class _StoppedError(Exception):
    """Another part failed, or the user stopped the work."""


def run_parallel(
    work: Callable[[Part, OnStep | None], Result], parts: Sequence[Part], cores: int, on_step: OnStep | None = None
) -> list[Result]:
    """Do `work` on every part, on as many threads as there are cores, and return the results in order.

    `on_step` goes on to the work, one call at a time. The first failure, or Ctrl-C, stops the rest at their next step.
    """
    if cores < 2 or len(parts) < 2:
        return [work(part, on_step) for part in parts]
    stop, one_at_a_time, threads = threading.Event(), threading.Lock(), torch.get_num_threads()

    def step(done: int, total: int) -> None:
        if stop.is_set():
            raise _StoppedError
        if on_step is not None:
            with one_at_a_time:
                on_step(done, total)

    with ThreadPoolExecutor(min(cores, len(parts)), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        futures = [pool.submit(work, part, step) for part in parts]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)
    failures = [error for one in futures if not one.cancelled() and (error := one.exception()) is not None]
    for error in failures:
        if not isinstance(error, _StoppedError):
            raise error
    return [one.result() for one in futures]
