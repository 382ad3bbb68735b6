"""`hmpfit run`: options in, one library call per video, a summary out."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from hmpfit.command_line.main import WRONG_INPUT
from hmpfit.command_line.options import detector_threads, fit_options
from hmpfit.command_line.progress import TerminalProgress
from hmpfit.errors import HmpfitError, InputError
from hmpfit.recipes import RunSettings
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.strict_json import to_json

DEFAULT_OUT = Path("hmpfit_out")


@click.command()
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Output folder [./hmpfit_out/<stem>]; with several videos, one folder each below it.",
)
@fit_options
@detector_threads
@click.option("--overwrite", is_flag=True, help="Recompute what other settings made.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--quiet", is_flag=True, help="No progress, no summary; errors only.")
def run(videos: tuple[Path, ...], out: Path | None, overwrite: bool, as_json: bool, quiet: bool, **options: Any) -> int:
    """Fit the hands of one or more videos, folders of images, or sequence folders of a dataset (with its camera)."""
    settings = resolve_settings(overwrite=overwrite, **options)
    folders = output_folders(videos, out)
    runs: list[dict[str, Any]] = []
    failed = False
    for video, folder in zip(videos, folders, strict=True):
        try:
            runs.append(run_one(video, folder, settings, quiet))
        except HmpfitError as error:
            if len(videos) == 1:
                raise
            failed = True
            runs.append({"video": str(video), "error": str(error)})
            click.echo(f"hmpfit: {video}: {error}", err=True)
            continue
        if not quiet and not as_json:
            _tell(video, folder, runs[-1])
    if as_json:
        click.echo(to_json(runs[0] if len(videos) == 1 else {"runs": runs}))
    return WRONG_INPUT if failed else 0


def output_folders(videos: tuple[Path, ...], out: Path | None) -> list[Path]:
    """Return a folder per video: `out` itself for one video, one below it for each of several.

    Raises InputError when two videos would share a folder.
    """
    if out is not None and len(videos) == 1:
        return [out]
    stems = [video.resolve().stem for video in videos]
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise InputError(f"Two of the videos are called '{twice[0]}' and would share a folder; run them one by one.")
    return [(out or DEFAULT_OUT) / stem for stem in stems]


def run_one(video: Path, folder: Path, settings: RunSettings, quiet: bool) -> dict[str, Any]:
    """Run one video into its folder and return the summary; leave no empty folder behind when the input is no good."""
    from hmpfit.pipeline import run_video

    with _no_empty_folder(folder), TerminalProgress(quiet) as progress, _frames_of(video, settings) as (source, chosen):
        return run_video(source, folder, chosen, progress)


@contextlib.contextmanager
def _frames_of(video: Path, settings: RunSettings) -> Iterator[tuple[Path, RunSettings]]:
    """Yield what to read and with which settings: of a dataset's sequence its frames, times, camera and hands."""
    if not video.is_dir():
        yield video, settings
        return
    from hmpfit.batch import of_job, sequence_job
    from hmpfit.datasets.cache import cache_home
    from hmpfit.datasets.opening import sequence_at

    sequence = sequence_at(video)
    if sequence is None:
        yield video, settings
        return
    # Always at the same place, because a run knows its settings by the path of the camera's file.
    place = hashlib.sha256(str(video.resolve()).encode()).hexdigest()[:16]
    job = sequence_job(sequence, place, video, cache_home())
    if job.problem is not None:
        raise InputError(job.problem)
    yield job.video, of_job(job, settings)


@contextlib.contextmanager
def _no_empty_folder(folder: Path) -> Iterator[None]:
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    except HmpfitError:
        with contextlib.suppress(OSError):
            for path in missing:
                path.rmdir()
        raise


def _tell(video: Path, folder: Path, summary: dict[str, Any]) -> None:
    frames, fps = summary["frames"], summary["fps"]
    click.echo(f"{video}: {frames} frames at {fps:.4g} frames/s, {summary['seconds']['total']:.1f} s")
    for hand in summary["hands"]:
        side = "right" if hand["is_right"] else "left"
        line = f"  {side} hand: detected in {hand['detected']} frames, filled in {hand['interpolated']} between"
        line += f" and {hand['extrapolated']} at the ends"
        if hand["reprojection_px"]:
            line += f"; landmarks {hand['reprojection_px']['median']:.1f} px off (median)"
        if hand["joint_std_mm_median"] is not None:
            line += f"; joints known to {hand['joint_std_mm_median']:.1f} mm (median)"
        click.echo(line)
        if hand["hidden_keypoint_px"]:
            click.echo(f"    withheld frames: {hand['hidden_keypoint_px']['median']:.1f} px off (median)")
    click.echo(f"  {folder / 'overlay.mp4'}, result.npz, result.json")
