"""Many sequences: the same run folders as single runs, made by several processes or on a Ray cluster.

A sequence that fails is recorded with its reason and the rest goes on; a worker that dies costs its sequence a retry.
Nothing is kept outside the run folders, so the same call resumes whatever was cut off.
"""

import logging
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.datasets.sequence import Dataset
from hmpfit.datasets.sequence import Sequence as Recording
from hmpfit.errors import HmpfitError, InputError, MissingExtraError, RunFolderError
from hmpfit.recipes import RunSettings
from hmpfit.records import Camera
from hmpfit.video.clip import IMAGE_LIST
from hmpfit.video.image_folder import write_image_list

log = logging.getLogger("hmpfit")

RETRIES = 2  # of a sequence whose worker died
ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Job:
    """One sequence: a video, folder or list of images, and the run folder that it gets.

    `intrinsics` and `hands` are what a dataset knows of it; they stand in for settings that the user left open.
    """

    name: str
    video: Path
    folder: Path
    intrinsics: str | None = None
    hands: str | None = None
    problem: str | None = None  # why it cannot even be tried


@dataclass(frozen=True)
class Outcome:
    """How one sequence ended: its summary (`result.json`'s content), or why there is none."""

    job: Job
    summary: dict[str, Any] | None
    error: str | None
    seconds: float


def run_batch(
    jobs: Sequence[Job],
    settings: RunSettings,
    engine: str = "local",
    workers: int | None = None,
    ray_address: str | None = None,
    gpus_per_job: float = 0.0,
    on_done: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Run every job and return the outcomes in the jobs' order.

    `workers` is the number of sequences at a time (default: one per core; on Ray what the cluster offers). Raises
    MissingExtraError when Ray is asked for and not installed, InputError when its address does not answer.
    """
    settings = replace(settings, workers=1)  # one sequence, one thread: the cores are shared by the sequences
    if engine == "ray":
        stream = _on_ray(jobs, settings, workers, ray_address, gpus_per_job)
    else:
        stream = _on_processes(jobs, settings, workers or os.cpu_count() or 1)
    found: dict[str, Outcome] = {}
    for outcome in stream:
        found[outcome.job.name] = outcome
        if on_done is not None:
            on_done(outcome)
    return [found[job.name] for job in jobs]


def dataset_jobs(dataset: Dataset, out: Path) -> list[Job]:
    """Return a job per sequence of a dataset, with its camera and hands; lists of images are written below `out`.

    A sequence whose camera cannot be read fails with that reason. Raises RunFolderError when `out` cannot be written.
    """
    return [sequence_job(sequence, sequence.name, out / sequence.name, out) for sequence in dataset.sequences]


def sequence_job(sequence: Recording, name: str, folder: Path, lists: Path) -> Job:
    """Return the job of one sequence into a run folder; its list of images is written below `lists`."""
    sides: dict[tuple[bool, ...], str] = {(True,): "right", (False,): "left", (): "auto"}
    hands = sides.get(sequence.sides, "both")
    try:
        video = sequence.video or write_image_list(
            lists / "sequences" / f"{name}{IMAGE_LIST}", sequence.images, sequence.times_s, sequence.fps
        )
        if sequence.read_camera is None:
            return Job(name, video, folder, hands=hands)
        intrinsics = _intrinsics(sequence.camera, lists / "sequences" / f"{name}.camera.npz")
    except InputError as error:
        return Job(name, lists / name, folder, problem=str(error))
    except OSError as error:
        raise RunFolderError(f"'{lists}' cannot be written: {error.strerror or error}.") from None
    return Job(name, video, folder, intrinsics, hands)


def _intrinsics(camera: Camera, file: Path) -> str:
    """Return a camera as `--intrinsics` takes it: four numbers where they say all, else a file."""
    K = camera.K
    if len(K) == 1 and K[0, 0, 1] == 0 and camera.distortion is None:
        return ",".join(repr(float(value)) for value in (K[0, 0, 0], K[0, 1, 1], K[0, 0, 2], K[0, 1, 2]))
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, K=K, distortion=np.zeros(5) if camera.distortion is None else camera.distortion)
    return str(file)


def run_job(job: Job, settings: RunSettings) -> Outcome:
    """Run one job here and now; whatever goes wrong with it becomes its outcome's error."""
    from hmpfit.pipeline import run_video

    began = time.perf_counter()
    if job.problem is not None:
        return Outcome(job, None, job.problem, 0.0)
    if job.intrinsics is not None and settings.intrinsics is None:
        settings = replace(settings, intrinsics=job.intrinsics)
    if job.hands is not None and settings.hands == "auto":
        settings = replace(settings, hands=job.hands)
    try:
        summary = run_video(job.video, job.folder, settings)
        return Outcome(job, summary, None, time.perf_counter() - began)
    except HmpfitError as error:
        reason = " ".join(str(error).split())
    except Exception as error:  # a mistake of ours in one sequence must not cost the others theirs
        log.exception("'%s' failed", job.video)
        reason = f"{type(error).__name__}: {error}"
    return Outcome(job, None, reason, time.perf_counter() - began)


def _on_processes(jobs: Sequence[Job], settings: RunSettings, workers: int) -> Iterator[Outcome]:
    waiting = {job.name: (job, 0) for job in jobs}
    # Spawned, because forking a process that has used the landmark networks or OpenGL is not safe.
    context = multiprocessing.get_context("spawn")
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = threads
    try:
        while waiting:
            pool = ProcessPoolExecutor(min(workers, len(waiting)), mp_context=context)
            futures = {pool.submit(run_job, job, settings): job for job, _ in waiting.values()}
            try:
                for future in as_completed(futures):
                    outcome = future.result()
                    del waiting[outcome.job.name]
                    yield outcome
                pool.shutdown()
            except BrokenProcessPool:
                yield from _after_a_death(waiting)
            except BaseException:  # interrupted: running sequences stop at their next step and resume next time
                _stop(pool)
                raise
    finally:
        os.environ.pop("OMP_NUM_THREADS") if before is None else os.environ.update(OMP_NUM_THREADS=before)


def _after_a_death(waiting: dict[str, tuple[Job, int]]) -> Iterator[Outcome]:
    """Count a try against every sequence that was not done, and give up those that had enough."""
    log.warning("A worker died; its sequence is tried again.")
    for name, (job, tries) in list(waiting.items()):
        waiting[name] = (job, tries + 1)
        if tries + 1 > RETRIES:
            del waiting[name]
            yield Outcome(job, None, f"its worker died {tries + 1} times, perhaps for want of memory", 0.0)


def _stop(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):
        process.terminate()
    pool.shutdown(wait=False, cancel_futures=True)


def _on_ray(
    jobs: Sequence[Job], settings: RunSettings, workers: int | None, address: str | None, gpus: float
) -> Iterator[Outcome]:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError("--engine ray", "ray", "pip install ray (or hmpfit[ray])") from error
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        cores = None if address else workers  # a cluster that runs already has its own
        ray.init(address=address, num_cpus=cores, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        raise InputError(f"No Ray cluster answers at '{address}' ({error}); check --ray-address.") from error
    # Only paths and settings travel; frames and results stay in the run folders on shared storage.
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)(run_job)
    try:
        running = {task.remote(job, settings): job for job in jobs}
        while running:
            done, _ = ray.wait(list(running), num_returns=1)
            job = running.pop(done[0])
            try:
                yield ray.get(done[0])
            except ray.exceptions.RayError as error:
                yield Outcome(job, None, f"its worker died {RETRIES + 1} times ({type(error).__name__})", 0.0)
    finally:
        ray.shutdown()
