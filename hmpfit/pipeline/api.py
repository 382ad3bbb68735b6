"""What the commands and other people's scripts call: one video, several in one batch, or a run's steps alone."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.fitting.batching.gather import ClipToFit
from hmpfit.fitting.stages import fit_batch
from hmpfit.keypoints.refinement import Measurements
from hmpfit.pipeline.devices import one_thread
from hmpfit.pipeline.run import Run
from hmpfit.pipeline.temporary_folders import own_temporary_folder
from hmpfit.progress import Progress, Silent
from hmpfit.recipes import RunSettings
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import FitRecord, Floats, KeypointTracks
from hmpfit.video.clip import Clip
from hmpfit.video.sources import local_file


def run_video(
    video: Path,
    out: Path,
    settings: RunSettings,
    progress: Progress | None = None,
    video_name: str | None = None,
    opened: Callable[[], Clip] | None = None,
    measured: Callable[[], Measurements] | None = None,
) -> dict[str, Any]:
    """Fit the hands of one video or photo into the run folder `out` and return the content of its `result.json`.

    A finished run with the same settings is returned as it is; a run that was cut off goes on where it was.
    `video_name` is what the result calls its video where that is not the path, such as a web address. `opened` gives
    the clip and `measured` its hands where somebody is at it already. Raises InputError, NoHandError and
    RunFolderError.
    """
    with (
        one_thread(settings.workers),
        Run.open(video, out, settings, progress or Silent(), video_name, opened, measured) as run,
    ):
        return run.finish()


def fit_to_record(
    video: str | Path, out: str | Path | None = None, progress: Progress | None = None, **choices: Any
) -> FitRecord:
    """Fit a video for `hmpfit.fit_video`, whose keywords `choices` are; without `out` nothing is left on the disk.

    Raises InputError, UnknownNameError and NoHandError.
    """
    settings, progress = resolve_settings(**choices), progress or Silent()
    with (
        one_thread(settings.workers),
        local_file(video, progress) as path,
        own_temporary_folder() as folder,
        Run.open(path, Path(out or folder), settings, progress, str(video)) as run,
    ):
        if out is not None:
            run.finish()
        return run.fit()


def prepare_video(video: Path, folder: Path, settings: RunSettings) -> None:
    """Do what comes before the fit: keypoints and first guess as stage files in `folder`; a finished run is left."""
    with one_thread(settings.workers), Run.open(video, folder, settings, Silent()) as run:
        if run.folder.finished() is None:
            run.with_camera().start()


def fit_videos(work: list[tuple[Path, Path, RunSettings]]) -> None:
    """Fit prepared videos (video, folder, settings), those alike side by side in device batches, as stage files.

    `settings` differ in what is known of a video (intrinsics, hands) only. `run_video` finds the fits and goes on.
    """
    with ExitStack() as opened:
        runs = [opened.enter_context(Run.open(video, folder, settings, Silent())) for video, folder, settings in work]
        runs = [run.with_camera() for run in runs if run.folder.finished() is None]
        if not runs:
            return
        starts = [run.start() for run in runs]
        clips = [
            ClipToFit(start.motion, start.evidence, run.context.camera, run.context.models, start.camera_motion)
            for run, start in zip(runs, starts)
        ]
        first, settings = runs[0], runs[0].context.settings
        fits = fit_batch(clips, first.prior, settings.fit_recipe, settings.solver, first.context.device)
        for run, start, fitted in zip(runs, starts, fits, strict=True):
            run.store_fit(start, fitted)


def fit_in_folder(video: Path, folder: Path, settings: RunSettings) -> FitRecord:
    """Fit a video and keep the stage files in `folder`, without overlay, report or `result.npz`; resumes like a run."""
    with one_thread(settings.workers), Run.open(video, folder, settings, Silent()) as run:
        return run.fit()


def keypoints_in_folder(video: Path, folder: Path, settings: RunSettings) -> tuple[KeypointTracks, Floats]:
    """Return what the detector finds without the withheld frames, and its landmarks of those frames [H, T, 21, 2].

    The landmarks are NaN elsewhere; they were found apart and enter nothing. Stage files stay in `folder`.
    """
    with one_thread(settings.workers), Run.open(video, folder, settings, Silent()) as run:
        tracks = run.detect()
        hidden_px = run.hidden_px(tracks)
    return tracks, np.full(tracks.xy_px.shape, np.nan) if hidden_px is None else hidden_px
