"""Many sequences: the same run folders as single runs, made by several processes or on a Ray cluster.

A sequence that fails is recorded with its reason and the rest goes on; a worker that dies costs its sequence a retry.
Nothing is kept outside the run folders, so the same call resumes whatever was cut off.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.batch_engines import on_processes, on_ray
from hmpfit.errors import HmpfitError, InputError, RunFolderError
from hmpfit.geometry.lenses import lens_name
from hmpfit.interfaces.dataset import Dataset
from hmpfit.interfaces.dataset import Sequence as Recording
from hmpfit.recipes import RunSettings
from hmpfit.records import Camera
from hmpfit.video.clip import IMAGE_LIST
from hmpfit.video.image_folder import write_image_list

log = logging.getLogger("hmpfit")

ENGINES = ("local", "ray")


@dataclass(frozen=True)
class Job:
    """One sequence: a video, folder or list of images, and the run folder that it gets.

    `intrinsics`, `hands`, `fps` and `frames` are what a dataset knows of it; they stand in for settings that the user
    left open.
    """

    name: str
    video: Path
    folder: Path
    intrinsics: str | None = None
    hands: str | None = None
    problem: str | None = None  # why it cannot even be tried
    fps: float | None = None
    frames: tuple[int, int] | None = None
    video_name: str | None = None  # what the result calls the video where that is not its path, such as a web address


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
    devices: Sequence[str] = (),
    on_done: Callable[[Outcome], None] | None = None,
    fit_together: int = 0,
) -> list[Outcome]:
    """Run every job and return the outcomes in the jobs' order.

    With `fit_together` the local engine fits that many sequences at a time in one device batch in this process, between
    their keypoints and their results, which the workers make. What fails there is tried again alone.

    `workers` is the number of sequences at a time (default: one per core; on Ray what the cluster offers), `devices`
    (cpu, cuda:0, ...) are dealt out to the workers of the local engine. Raises MissingExtraError when Ray is asked for
    and not installed, InputError when its address does not answer or `devices` are given to it.
    """
    settings = replace(settings, workers=1)  # one sequence, one thread: the cores are shared by the sequences
    work = partial(_run_on, settings)
    if engine == "ray":
        if devices:
            raise InputError(
                "--devices is for --engine local; on Ray say how much of a GPU a job gets: --gpus-per-job."
            )
        stream = on_ray(work, jobs, _given_up, workers, ray_address, gpus_per_job)
    else:
        if fit_together:
            _fit_together(jobs, settings, workers or os.cpu_count() or 1, fit_together)
        stream = on_processes(work, jobs, _given_up, workers or os.cpu_count() or 1, devices)
    found: dict[str, Outcome] = {}
    with closing(stream):  # an interrupt stops the workers at once
        for outcome in stream:
            found[outcome.job.name] = outcome
            if on_done is not None:
                on_done(outcome)
    return [found[job.name] for job in jobs]


def _fit_together(jobs: Sequence[Job], settings: RunSettings, workers: int, most: int) -> None:
    """Make the keypoints of every job on workers, and their fits here, a batch at a time."""
    from hmpfit.pipeline import fit_videos

    ready: list[Job] = []

    def fit_some(count: int) -> None:
        while len(ready) >= max(count, 1):
            some, ready[:] = ready[:most], ready[most:]
            try:
                fit_videos([(job.video, job.folder, of_job(job, settings)) for job in some])
            except Exception as error:  # a sequence that breaks its batch is found when each is run by itself
                log.warning("%d sequences are fitted one by one (%s).", len(some), error)

    with closing(on_processes(partial(_prepared, settings), jobs, _given_up, workers, ())) as stream:
        for outcome in stream:
            if outcome.error is None:
                ready.append(outcome.job)
                fit_some(most)
    fit_some(1)


def _prepared(settings: RunSettings, job: Job, device: str | None) -> Outcome:
    """Do what comes before a job's fit; errors are reported when the job is run."""
    from hmpfit.pipeline import prepare_video

    if job.problem is not None:
        return Outcome(job, None, job.problem, 0.0)
    try:
        prepare_video(job.video, job.folder, of_job(job, settings))
    except Exception as error:
        return Outcome(job, None, str(error), 0.0)
    return Outcome(job, None, None, 0.0)


def dataset_jobs(dataset: Dataset, out: Path) -> list[Job]:
    """Return a job per sequence of a dataset, with its camera and hands; lists of images are written below `out`.

    A sequence whose camera cannot be read fails with that reason. Raises RunFolderError when `out` cannot be written.
    """
    return [sequence_job(sequence, sequence.name, out / sequence.name, out) for sequence in dataset.sequences]


def sequence_job(sequence: Recording, name: str, folder: Path, lists: Path) -> Job:
    """Return the job of one sequence into a run folder; its list of images is written below `lists`."""
    sides: dict[tuple[bool, ...], str] = {(True,): "right", (False,): "left", (True, False): "both"}
    hands = sides.get(sequence.sides, sides.get(sequence.sides[::-1], "auto"))
    try:
        video = sequence.video or write_image_list(
            lists / "sequences" / f"{name}{IMAGE_LIST}", sequence.images, sequence.times_s, sequence.fps
        )
        if sequence.read_camera is None:
            return Job(name, video, folder, hands=hands, fps=sequence.video_fps, frames=sequence.video_frames)
        intrinsics = _intrinsics(sequence.camera, lists / "sequences" / f"{name}.camera.npz")
    except InputError as error:
        return Job(name, lists / name, folder, problem=str(error))
    except OSError as error:
        raise RunFolderError(f"'{lists}' cannot be written: {error.strerror or error}.") from None
    return Job(name, video, folder, intrinsics, hands, fps=sequence.video_fps, frames=sequence.video_frames)


def _intrinsics(camera: Camera, file: Path) -> str:
    """Return a camera as `--intrinsics` takes it: four numbers where they suffice, else a file."""
    K = camera.K
    if len(K) == 1 and K[0, 0, 1] == 0 and camera.distortion is None:
        return ",".join(repr(float(value)) for value in (K[0, 0, 0], K[0, 1, 1], K[0, 0, 2], K[0, 1, 2]))
    file.parent.mkdir(parents=True, exist_ok=True)
    distortion = np.zeros(5) if camera.distortion is None else camera.distortion
    np.savez(file, K=K, distortion=distortion, distortion_model=lens_name(camera.distortion))
    return str(file)


def _run_on(settings: RunSettings, job: Job, device: str | None) -> Outcome:
    return run_job(job, settings if device is None else replace(settings, device=device))


def _given_up(job: Job, reason: str) -> Outcome:
    return Outcome(job, None, reason, 0.0)


def of_job(job: Job, settings: RunSettings) -> RunSettings:
    """Return the settings with what is known of a job where the user left them open."""
    if job.intrinsics is not None and settings.intrinsics is None:
        settings = replace(settings, intrinsics=job.intrinsics)
    if job.hands is not None and settings.hands == "auto":
        settings = replace(settings, hands=job.hands)
        if job.hands in ("left", "right") and settings.max_hands is None:  # one hand is annotated
            settings = replace(settings, max_hands=1)
    fps = settings.fps if settings.fps is not None else job.fps
    return replace(settings, fps=fps, frames=settings.frames or job.frames)


def run_job(job: Job, settings: RunSettings) -> Outcome:
    """Run one job here and now; whatever goes wrong with it becomes its outcome's error."""
    from hmpfit.pipeline import run_video

    began = time.perf_counter()
    if job.problem is not None:
        return Outcome(job, None, job.problem, 0.0)
    try:
        summary = run_video(job.video, job.folder, of_job(job, settings), video_name=job.video_name)
        return Outcome(job, summary, None, time.perf_counter() - began)
    except HmpfitError as error:
        reason = " ".join(str(error).split())
    except Exception as error:  # a mistake of ours in one sequence must not cost the others theirs
        log.exception("'%s' failed", job.video)
        reason = f"{type(error).__name__}: {error}"
    return Outcome(job, None, reason, time.perf_counter() - began)
