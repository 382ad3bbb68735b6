"""`hmpfit run`: options in, one library call per video, a summary out."""

import contextlib
import gc
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from hmpfit.command_line.main import WRONG_INPUT
from hmpfit.command_line.options import detector_threads, fit_options, layout_option, unordered_option
from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.run_summary import last_written, print_next_commands, print_summary
from hmpfit.command_line.shared_options import json_option
from hmpfit.errors import HmpfitError, InputError
from hmpfit.keypoints.ahead_of_imports import MeasuredAhead, measured_ahead
from hmpfit.recipes import RunSettings
from hmpfit.recipes.loading import recipe_names
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.strict_json import to_json
from hmpfit.video.ahead_of_imports import opened_ahead
from hmpfit.video.sources import Source, expand_sources, local_file

DEFAULT_OUT = Path("hmpfit_out")


@click.command()
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Output folder [./hmpfit_out/<stem>]; with several videos, one folder each below it.",
)
@unordered_option
@fit_options
@layout_option
@detector_threads
@click.option("--overwrite", is_flag=True, help="Recompute what other settings made.")
@json_option
@click.option("--quiet", is_flag=True, help="No progress, no summary; errors only.")
def run(
    videos: tuple[str, ...], out: Path | None, unordered: bool, overwrite: bool, as_json: bool, quiet: bool,
    **options: Any,
) -> int:  # fmt: skip
    """Fit the hands of videos, photos, folders of either, or sequence folders of a dataset (with its camera).

    VIDEO is a file, a folder, a web address (http, https), or - for standard input.
    """
    with _begun(videos, unordered, out, options) as begun:
        with _imports_uncollected():
            settings = resolve_settings(overwrite=overwrite, **options)
            import hmpfit.pipeline  # noqa: F401
        return _run_all(expand_sources(videos, unordered), out, settings, as_json, quiet, begun)


def _run_all(
    sources: list[Source], out: Path | None, settings: RunSettings, as_json: bool, quiet: bool,
    begun: MeasuredAhead | None,
) -> int:  # fmt: skip
    """Run every input, print what came of it and return the exit code."""
    folders = output_folders(sources, out)
    several = len(sources) > 1 or sources[0].member
    runs: list[dict[str, Any]] = []
    failed = False
    for source, folder in zip(sources, folders, strict=True):
        try:
            before = last_written(folder)
            runs.append(run_one(source.text, folder, settings, quiet, begun))
        except HmpfitError as error:
            if not several:
                raise
            failed = True
            runs.append({"video": source.text, "error": str(error)})
            click.echo(f"hmpfit: {source.text}: {error}", err=True)
            continue
        if not quiet and not as_json:
            reused = before is not None and before == last_written(folder)
            print_summary(source.text, folder, runs[-1], reused)
    if not (several or quiet or as_json):
        print_next_commands(folders[0], runs[0])
    if as_json:
        click.echo(to_json({"runs": runs} if several else runs[0]))
    return WRONG_INPUT if failed else 0


def output_folders(sources: Sequence[Source], out: Path | None) -> list[Path]:
    """Return a folder per input: `out` itself for one, one below it for each of several or of a folder's files.

    Raises InputError when two inputs would share a folder.
    """
    if out is not None and len(sources) == 1 and not sources[0].member:
        return [out]
    names = [source.name for source in sources]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"Two of the videos are called '{twice[0]}' and would share a folder; run them one by one.")
    return [(out or DEFAULT_OUT) / name for name in names]


def run_one(
    video: str | Path, folder: Path, settings: RunSettings, quiet: bool, begun: MeasuredAhead | None = None
) -> dict[str, Any]:
    """Run one input into its folder and return the summary; leave no empty folder behind when the input is no good.

    `begun` is where a copy of this process measures its hands already.
    """
    with (
        _no_empty_folder(folder),
        TerminalProgress(quiet) as progress,
        local_file(video, progress) as path,
        _frames_of(path, settings) as (source, chosen),
        _opened(source, chosen, progress, begun) as opened,
    ):
        from hmpfit.pipeline import run_video

        name = None if path == Path(video) else str(video)
        measured = None if begun is None else partial(begun.measurements, progress)
        return run_video(source, folder, chosen, progress, name, opened, measured)


@contextlib.contextmanager
def _opened(
    video: Path, settings: RunSettings, progress: TerminalProgress, begun: MeasuredAhead | None
) -> Iterator[Callable[[], Any]]:
    """Yield the function that waits for the clip, which is opened ahead here where nobody has begun to."""
    if begun is not None:
        yield partial(begun.clip, progress)
        return
    with opened_ahead(video, settings, progress) as opened:
        yield opened


@contextlib.contextmanager
def _imports_uncollected() -> Iterator[None]:
    """Import without searching for garbage meanwhile, a tenth of the time, and never search what was imported.

    Copies of the process then share its memory, which the collector's marks would make their own.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


@contextlib.contextmanager
def _begun(
    videos: tuple[str, ...], unordered: bool, out: Path | None, options: dict[str, Any]
) -> Iterator[MeasuredAhead | None]:
    """Begin to measure the hands of a lone video in a new folder, before torch is imported to read a recipe's options.

    Whatever is wrong is told by those who come after. Recipes that may be wrong are left to them altogether.
    """
    if options.get("assignments") or options.get("recipe") not in recipe_names():
        yield None
        return
    try:
        (source,) = expand_sources(videos, unordered)
        (folder,) = output_folders([source], out)
        settings = resolve_settings(with_options=False, **options)
    except (HmpfitError, ValueError):
        yield None
        return
    if source.member or not Path(source.text).is_file() or any(folder.glob("*.npz")):
        yield None
        return
    with measured_ahead(Path(source.text), settings) as begun:
        yield begun


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
    # Always at the same place, because the settings of a run hold the path of the camera's file.
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
