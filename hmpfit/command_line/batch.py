"""`hmpfit batch`: many videos, several at a time, one run folder each."""

from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hmpfit.command_line.options import fit_options, layout_option, unordered_option
from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.run import output_folders
from hmpfit.command_line.shared_options import json_option
from hmpfit.command_line.standard_error import say
from hmpfit.errors import InputError, RunFolderError
from hmpfit.files.replacing import replace_file
from hmpfit.progress import Progress
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.registry import names
from hmpfit.strict_json import to_json
from hmpfit.video.sources import STDIN, Source, expand_sources, is_url, local_file

if TYPE_CHECKING:
    from hmpfit.folder_lock import FolderLock

FAILED = 1


@click.command()
@click.argument("videos", nargs=-1, metavar="VIDEO...")
@click.option("--dataset", metavar="KIND:PATH", help=f"A dataset instead of videos: {', '.join(names('datasets'))}.")
@click.option(
    "--manifest", type=click.Path(path_type=Path), metavar="FILE",
    help="A list instead of videos, CSV or Parquet: a clip a line with its options (docs/scale.md).",
)  # fmt: skip
@click.option("--shard", metavar="I/N", help="Of a manifest, every Nth line from the Ith on, counted from 0.")
@click.option(
    "--chunk", type=click.IntRange(1, 1024), metavar="N", help="Of a manifest, lines that a worker takes at once."
)
@click.option(
    "--upload", metavar="URL", help="Of a manifest, put results there (s3, gs, ...) and keep no run folders here."
)
@click.option("--split", metavar="S", help="Its part, such as train (default: the evaluation's).")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="One folder each below."
)
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option(
    "--workers",
    "--jobs",
    "workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Sequences at a time (default: the cores).",
)
@click.option(
    "--devices", metavar="D,D,...", help="Dealt out to the workers: cpu, or cuda:0,cuda:1 (default: --device)."
)
@click.option("--ray-address", metavar="A", help="A Ray cluster (default: $RAY_ADDRESS, else one on this machine).")
@click.option(
    "--gpus-per-job", type=click.FloatRange(min=0), default=0.0, show_default=True, help="On Ray; fractions share."
)
@click.option(
    "--fit-together",
    type=click.IntRange(min=0),
    metavar="N",
    help="Sequences fitted at once in one device batch, locally (default: 16 on a GPU, else 0: each by its worker).",
)
@unordered_option
@fit_options
@layout_option
@click.option("--overwrite", is_flag=True, help="Recompute what other settings made.")
@json_option
@click.option("--quiet", is_flag=True, help="No progress, no table; errors only.")
def batch(
    videos: tuple[str, ...], dataset: str | None, manifest: Path | None, shard: str | None, chunk: int | None,
    upload: str | None, split: str | None, out: Path, engine: str, workers: int | None,
    devices: str | None, ray_address: str | None, gpus_per_job: float, fit_together: int | None, unordered: bool,
    overwrite: bool, as_json: bool, quiet: bool, **options: Any,
) -> int:  # fmt: skip
    """Fit many videos or photos, several at a time; run the same command again to resume.

    VIDEO is a file, a folder of videos or of images, or a web address.

    Exits with 1 when any of them failed: batch.json in DIR says which, and why.
    """
    from hmpfit.batch import run_batch

    settings = resolve_settings(overwrite=overwrite, **options)
    if manifest is not None:
        if videos or dataset is not None or split is not None or fit_together or unordered:
            raise InputError("--manifest stands alone: no videos, --dataset, --split, --fit-together or --unordered.")
        common = {**options, "overwrite": overwrite, "workers": 1}
        return _list(
            manifest, shard, as_json, quiet, settings.wait, out=out, common=common, engine=engine, workers=workers,
            ray_address=ray_address, gpus_per_job=gpus_per_job, devices=_devices(devices), chunk=chunk, upload=upload,
        )  # fmt: skip
    if shard is not None or chunk is not None or upload is not None:
        raise InputError("--shard, --chunk and --upload are for a --manifest.")
    with TerminalProgress(quiet) as progress, ExitStack() as fetched:
        fetched.callback(_locked(out, settings.wait).release)
        work = _work(videos, dataset, split, out, unordered, fetched, progress)
        advance = progress.phase("fitting videos", len(work))
        outcomes = run_batch(
            work, settings, engine, workers, ray_address, gpus_per_job, _devices(devices), lambda outcome: advance(1),
            _together(fit_together, settings.device, devices),
        )  # fmt: skip
    content = {
        "succeeded": sum(outcome.error is None for outcome in outcomes),
        "failed": sum(outcome.error is not None for outcome in outcomes),
        "sequences": [_plain(outcome) for outcome in outcomes],
    }
    unwritten = _write(out / "batch.json", to_json(content, indent=1) + "\n")
    if as_json:
        click.echo(to_json(content))
    elif not quiet:
        _print_summary(outcomes)
    for outcome in outcomes:
        if outcome.error is not None:
            say(f"hmpfit: {outcome.job.video_name or outcome.job.video}: {outcome.error}")
    if unwritten is not None:
        say(f"hmpfit: '{out / 'batch.json'}' was not written: {unwritten}.")
    return FAILED if content["failed"] or unwritten is not None else 0


def _list(manifest: Path, shard: str | None, as_json: bool, quiet: bool, wait: bool, **choices: Any) -> int:
    """Work a manifest through; shards share the folder, so that it is not locked as a whole."""
    from hmpfit.command_line.batch_manifest import run_list
    from hmpfit.manifest.work import ManifestRun, read_shard

    part, out = read_shard(shard) if shard is not None else (0, 1), choices["out"]
    locks = out / "locks" / f"{part[0]:05d}-of-{part[1]:05d}"
    lock = _locked(locks, wait)
    try:
        return run_list(manifest, ManifestRun(shard=part, **choices), as_json, quiet)
    finally:
        lock.release()


def _write(path: Path, text: str) -> str | None:
    """Write a file beside its place and rename it; return why that failed, for the reasons in it must not be lost."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text)
        replace_file(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        return (error.strerror or str(error)).lower()
    return None


def _locked(out: Path, wait: bool) -> "FolderLock":
    from hmpfit.folder_lock import FolderLock

    try:
        out.mkdir(parents=True, exist_ok=True)
        return FolderLock(out, wait)
    except OSError as error:
        raise RunFolderError(f"The folder '{out}' cannot be written ({error.strerror}); choose another -o.") from None


def _devices(text: str | None) -> list[str]:
    """Read `--devices`. Raises InputError for what is no device of this machine."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    if any(name != "cpu" for name in names):
        import torch

        known = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
        for name in names:
            if name not in known:
                raise InputError(f"--devices {name} is no device of this machine; it has {', '.join(known)}.")
    return names


def _together(asked: int | None, device: str, devices: str | None) -> int:
    """Return how many sequences are fitted at once."""
    if asked is not None or devices is not None or device == "cpu":
        return asked or 0
    from hmpfit.pipeline.devices import device_for

    return 16 if device_for(device) == "cuda" else 0


def _plain(outcome: Any) -> dict[str, Any]:
    summary = outcome.summary or {}
    return {
        "name": outcome.job.name,
        "video": outcome.job.video_name or str(outcome.job.video),
        "folder": str(outcome.job.folder),
        "error": outcome.error,
        "seconds": outcome.seconds,
        "frames": summary.get("frames"),
        "hands": summary.get("hands"),
    }


def _work(
    videos: tuple[str, ...], dataset: str | None, split: str | None, out: Path, unordered: bool, fetched: ExitStack,
    progress: Progress,
) -> list[Any]:  # fmt: skip
    from hmpfit.batch import dataset_jobs

    if bool(videos) == (dataset is not None):
        raise InputError("Give videos, or --dataset KIND:PATH, and not both.")
    if dataset is None:
        if split is not None:
            raise InputError("--split names a part of a --dataset, and there is none.")
        sources = [replace(source, member=True) for source in expand_sources(videos, unordered)]
        return [
            _job(source, folder, fetched, progress)
            for source, folder in zip(sources, output_folders(sources, out), strict=True)
        ]
    from hmpfit.datasets.opening import open_dataset

    opened = open_dataset(dataset, split)
    for path, reason in opened.broken:
        click.echo(f"hmpfit: '{path}' was left out: {reason}", err=True)
    jobs = dataset_jobs(opened, out)
    if not jobs:
        raise InputError(f"No sequence of {dataset} can be fitted.")
    return jobs


def _job(source: Source, folder: Path, fetched: ExitStack, progress: Progress) -> Any:
    """Return the job of one input; what lies elsewhere is fetched now and kept until the batch is done."""
    from hmpfit.batch import Job

    if source.text != STDIN and not is_url(source.text):
        return Job(folder.name, Path(source.text), folder)
    try:
        video = fetched.enter_context(local_file(source.text, progress))
        return Job(folder.name, video, folder, video_name=source.text)
    except InputError as error:
        return Job(folder.name, Path(source.name), folder, problem=str(error), video_name=source.text)


def _print_summary(outcomes: Any) -> None:
    from rich.table import Table

    from hmpfit.command_line.literal import literal_console

    table = Table(title="Sequences", title_justify="left")
    for heading, side in (("", "left"), ("frames", "right"), ("hands", "left"), ("off, px", "right"), ("s", "right")):
        table.add_column(heading, justify=side)  # type: ignore[arg-type]
    for outcome in outcomes:
        if outcome.summary is None:
            table.add_row(outcome.job.name, "–", "failed", "–", f"{outcome.seconds:.1f}")
            continue
        hands = outcome.summary["hands"]
        sides = ", ".join(hand["name"] for hand in hands)
        off = ", ".join(f"{hand['reprojection_px']['median']:.1f}" for hand in hands if hand["reprojection_px"])
        table.add_row(outcome.job.name, str(outcome.summary["frames"]), sides, off, f"{outcome.seconds:.1f}")
    literal_console().print(table)
