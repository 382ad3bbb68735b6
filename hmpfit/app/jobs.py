"""The queue of the local page: one fit at a time, each in a process of its own that can be ended at any moment.

A process, because a broken video may take its decoder down, and because a fit cannot be interrupted everywhere.
"""

import contextlib
import multiprocessing
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hmpfit.app.job_process import fit_job
from hmpfit.errors import InputError

MOST_WAITING = 16
WAITING, RUNNING, DONE, FAILED, CANCELED = "waiting", "running", "done", "failed", "canceled"
_LOOK_EVERY_S = 0.2
_END_WITHIN_S = 5.0

Work = Callable[[Connection, Path, Path, Mapping[str, Any], str], None]


@dataclass
class FitJob:
    """One upload: its files, what was chosen for it, and how far it is."""

    title: str  # the file's name, as uploaded
    folder: Path
    video: Path
    choices: Mapping[str, Any]  # keywords of `resolve_settings`
    id: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    state: str = WAITING
    phase: str = ""
    done: int = 0
    total: int = 0
    warnings: list[str] = field(default_factory=list)
    error: str = ""
    seconds: float = 0.0

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "run"


class JobQueue:
    """Fits jobs one after another in a thread of its own until `close`."""

    def __init__(self, work: Work = fit_job) -> None:
        """`work` runs in a new process: it gets a connection to report to, the video, the run folder, the choices."""
        self._work = work
        self._jobs: dict[str, FitJob] = {}
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._fit_all, name="hmpfit app", daemon=True)
        self._thread.start()

    def submit(self, job: FitJob) -> None:
        """Put a job at the end of the queue. Raises InputError when too many wait."""
        with self._changed:
            self.check_room()
            self._jobs[job.id] = job
            self._changed.notify_all()

    def check_room(self) -> None:
        """Raise InputError when too many jobs wait."""
        if sum(job.state == WAITING for job in self._jobs.values()) >= MOST_WAITING:
            raise InputError(f"{MOST_WAITING} videos wait already; wait for one, or cancel one.")

    def get(self, name: str) -> FitJob | None:
        """Return the job of that id, None when there is none."""
        return self._jobs.get(name)

    def all(self) -> list[FitJob]:
        """Return every job, the oldest first."""
        with self._changed:
            return list(self._jobs.values())

    def ahead_of(self, job: FitJob) -> int:
        """Return how many jobs are fitted before this one."""
        before = [other for other in self.all() if other.state in (WAITING, RUNNING)]
        return before.index(job) if job in before else 0

    def cancel(self, job: FitJob) -> None:
        """End a job that waits or runs, and delete its files."""
        with self._changed:
            was, job.state = job.state, CANCELED if job.state in (WAITING, RUNNING) else job.state
        if was == WAITING:
            shutil.rmtree(job.folder, ignore_errors=True)

    def remove(self, job: FitJob) -> None:
        """Forget a job and delete its files; one that runs is canceled only."""
        if job.state == RUNNING:
            self.cancel(job)
            return
        with self._changed:
            self._jobs.pop(job.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    def close(self) -> None:
        """End the job that runs; those that wait stay undone."""
        with self._changed:
            self._open = False
            for job in self._jobs.values():
                if job.state in (WAITING, RUNNING):
                    job.state = CANCELED
            self._changed.notify_all()
        self._thread.join(2 * _END_WITHIN_S)

    def _fit_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._open or self._next() is not None)
                job = self._next()
                if not self._open or job is None:
                    return
                job.state = RUNNING
            began = time.monotonic()
            self._fit(job, began)
            job.seconds = time.monotonic() - began
            if job.state == CANCELED:
                shutil.rmtree(job.folder, ignore_errors=True)

    def _next(self) -> FitJob | None:
        return next((job for job in self._jobs.values() if job.state == WAITING), None)

    def _fit(self, job: FitJob, began: float) -> None:
        context = multiprocessing.get_context("spawn")  # a fork after mediapipe was used would crash
        here, there = context.Pipe(duplex=False)
        process = context.Process(
            target=self._work, args=(there, job.video, job.run, job.choices, job.title), daemon=True
        )
        process.start()
        there.close()
        try:
            while job.state == RUNNING and self._listen(job, here):
                job.seconds = time.monotonic() - began
            if job.state == RUNNING:
                job.state, job.error = FAILED, "The fit ended without a word; its process may have run out of memory."
        finally:
            here.close()
            process.terminate()
            process.join(_END_WITHIN_S)
            if process.is_alive():
                process.kill()
                process.join()

    def _listen(self, job: FitJob, connection: Connection) -> bool:
        """Receive a message of the process; return False when there are no more."""
        with contextlib.suppress(EOFError, OSError):
            if not connection.poll(_LOOK_EVERY_S):
                return True
            kind, *told = connection.recv()
            with self._changed:
                if job.state != RUNNING:
                    return False
                if kind == "phase":
                    job.phase, job.done, job.total = told[0], 0, told[1]
                elif kind == "advance":
                    job.done = told[0]
                elif kind == "warning":
                    job.warnings.append(told[0])
                elif kind == "done":
                    job.state = DONE
                else:
                    job.state, job.error = FAILED, told[0]
            return True
        return False
