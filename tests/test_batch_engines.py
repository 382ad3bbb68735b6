"""Spreading jobs over processes: deaths cost only those who die, devices are dealt out, stopping stops."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

from hmpfit.batch_engines import on_processes


def work(job: str, device: str | None) -> str:
    """Do what the job's name says; a job that is a path dies the first time."""
    if job == "poison" or (job.startswith("/") and not Path(job).exists()):
        Path(job).touch() if job.startswith("/") else None
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{job} {device}" if device else job


def given_up(job: str, reason: str) -> str:
    """Say that a job was given up."""
    return f"{job}: {reason}"


def test_one_that_always_dies_costs_the_others_nothing(tmp_path: Path) -> None:
    once = str(tmp_path / "died")
    jobs = ["a", "poison", "b", once, "c"]
    found = sorted(on_processes(work, jobs, given_up, workers=2))
    assert found == sorted(["a", "b", "c", once, "poison: its worker died 3 times, perhaps for want of memory"])


def test_devices_are_dealt_out() -> None:
    found = set(on_processes(work, ["a", "b"], given_up, workers=2, devices=["cpu", "cuda:0"]))
    assert found in ({"a cpu", "b cuda:0"}, {"a cuda:0", "b cpu"})


def test_closing_stops_the_workers(tmp_path: Path) -> None:
    finished = tmp_path / "finished"
    results = on_processes(touch_late, ["a", str(finished)], given_up, workers=2)
    assert next(results) == "a"
    results.close()
    assert not multiprocessing.active_children() and not finished.exists()


def touch_late(job: str, device: str | None) -> str:
    """Make the file that the job names, after half a minute; another job is done at once."""
    if job.startswith("/"):
        time.sleep(30)
        Path(job).touch()
    return job
