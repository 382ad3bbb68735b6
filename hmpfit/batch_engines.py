"""Spreading jobs over worker processes of this machine or over a Ray cluster; a worker's death costs a retry.

Separate from `batch`, which knows what a job is: here a job is anything that can be pickled and worked on alone.
"""

import contextlib
import io
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TextIO, TypeVar

from hmpfit.errors import InputError, MissingExtraError
from hmpfit.worker_pool import start_pool, stop_pool

log = logging.getLogger("hmpfit")

RETRIES = 2  # of a job whose worker died

Job = TypeVar("Job")
Result = TypeVar("Result")
Work = Callable[[Job, str | None], Result]  # the job, and the device that its worker was given


def on_processes(
    work: "Work[Job, Result]",
    jobs: Sequence[Job],
    give_up: Callable[[Job, str], Result],
    workers: int,
    devices: Sequence[str] = (),
) -> Generator[Result, None, None]:
    """Yield the results of all jobs as they come, from `workers` processes; `devices` are dealt out to them.

    Jobs that were in work when a worker died are tried again one at a time, so that none pays for another's death;
    one that dies `RETRIES` times more is given up with a reason. Closing the iterator stops the workers.
    """
    with _cores_shared(workers):
        suspects: list[Job] = []
        yield from _round(work, deque(jobs), suspects, workers, devices)
        for job in suspects:
            for _ in range(RETRIES):
                died: list[Job] = []
                yield from _round(work, deque([job]), died, 1, devices)
                if not died:
                    break
            else:
                yield give_up(job, f"its worker died {RETRIES + 1} times, perhaps for want of memory")


def _round(
    work: "Work[Job, Result]", queue: deque[Job], suspects: list[Job], workers: int, devices: Sequence[str]
) -> Iterator[Result]:
    """Work through the queue; jobs that were running when a worker died are put among the suspects."""
    free = [devices[n % len(devices)] if devices else None for n in range(workers)]
    running: dict[Future[Result], tuple[Job, str | None]] = {}
    pool: ProcessPoolExecutor | None = None
    try:
        while queue or running:
            if pool is None:
                pool = start_pool(min(workers, len(queue)))
            broken = False
            while queue and free:
                try:
                    future = pool.submit(work, queue[0], free[-1])
                    running[future] = (queue.popleft(), free.pop())
                except BrokenProcessPool:
                    broken = True
                    break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, device = running[future]
                if isinstance(future.exception(), BrokenProcessPool):
                    broken = True
                    continue
                del running[future]
                free.append(device)
                yield future.result()
            if broken:
                log.warning("A worker died; what was in work is tried again.")
                for future in wait(running).done:  # all of them: the pool is gone
                    job, device = running.pop(future)
                    free.append(device)
                    if isinstance(future.exception(), BrokenProcessPool):
                        suspects.append(job)
                    else:
                        yield future.result()
                pool.shutdown()
                pool = None
        if pool is not None:
            pool.shutdown()
            pool = None
    finally:
        if pool is not None:  # interrupted: running jobs are stopped, and resume next time
            stop_pool(pool)


@contextlib.contextmanager
def _cores_shared(workers: int) -> Iterator[None]:
    """Have worker processes start with their share of the cores for torch."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers))
    try:
        yield
    finally:
        os.environ.pop("OMP_NUM_THREADS") if before is None else os.environ.update(OMP_NUM_THREADS=before)


def on_ray(
    work: "Work[Job, Result]",
    jobs: Sequence[Job],
    give_up: Callable[[Job, str], Result],
    workers: int | None = None,
    address: str | None = None,
    gpus_per_job: float = 0.0,
) -> Generator[Result, None, None]:
    """Yield the results of all jobs as they come, one Ray task each, retried when its worker dies.

    `workers` is the number of cores of a cluster that is started here; one that runs already (`address` or
    $RAY_ADDRESS) has its own. Only jobs and results travel through Ray. Raises MissingExtraError and InputError (no
    cluster answers).
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError("--engine ray", "ray", "pip install ray (or hmpfit[ray])") from error
    address = address or os.environ.get("RAY_ADDRESS")
    here = os.getcwd()

    def run_job(job: Job) -> Result:
        with contextlib.suppress(OSError):
            os.chdir(here)  # paths may be relative; on another machine the folder may be missing
        return work(job, None)

    with contextlib.redirect_stdout(_OnlyOwnThread(sys.stdout)):
        try:
            cores = None if address else workers
            ray.init(address=address, num_cpus=cores, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError) as error:
            raise InputError(f"No Ray cluster answers at '{address}' ({error}); check --ray-address.") from error
        task = ray.remote(num_cpus=1, num_gpus=gpus_per_job, max_retries=RETRIES)(run_job)
        try:
            running = {task.remote(job): job for job in jobs}
            while running:
                done, _ = ray.wait(list(running), num_returns=1)
                job = running.pop(done[0])
                try:
                    yield ray.get(done[0])
                except ray.exceptions.RayError as error:
                    yield give_up(job, f"its worker died {RETRIES + 1} times ({type(error).__name__})")
        finally:
            ray.shutdown()


class _OnlyOwnThread(io.TextIOBase):
    """Standard output for the thread that made it; what others print (Ray's news of dead workers) is logged."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._owner = stream, threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() == self._owner:
            return self._stream.write(text)
        if text.strip():
            log.warning("Ray: %s", " ".join(text.split()))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
