"""`hmpfit ablate`: the paper's table on clips with known truth, and withheld keypoints on real video."""

from pathlib import Path
from typing import Any

import click

from hmpfit.command_line.options import detector_threads, fit_options
from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.shared_options import json_option
from hmpfit.errors import InputError
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.strict_json import to_json

_HEADINGS = {
    "pa_mpjpe_mm": "PA",
    "ra_mpjpe_mm": "RA",
    "ra_acc_mm_per_frame2": "RA-ACC",
    "pa_mpvpe_mm": "PA-V",
    "pa_mpjpe_mm_estimated": "PA, estimated",
    "ra_mpjpe_mm_estimated": "RA, estimated",
    "withheld_frames_px": "frames, px",
    "withheld_fingers_px": "fingers, px",
    "reprojection_px": "given, px",
    "acceleration_mm_per_frame2": "acceleration",
}
_MMPOSE = ("mmpose_config", "mmpose_checkpoint", "mmpose_onnx")


@click.command()
@click.option("--dataset", metavar="KIND:PATH", help="Clips with truth, such as synthetic:PATH or ho3d:PATH.")
@click.option("--split", metavar="NAME", help="Part of the dataset (default: its first).")
@click.option(
    "--video", "videos", multiple=True, type=click.Path(path_type=Path), help="Real video: score withheld keypoints."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("hmpfit_ablation"), show_default=True)
@click.option("--row", "rows", multiple=True, metavar="ROW", help="Only these rows (repeatable; default: all).")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Clips at a time.")
@fit_options
@detector_threads
@json_option
@click.option("--quiet", is_flag=True, help="No progress, no table; errors only.")
def ablate(
    dataset: str | None, split: str | None, videos: tuple[Path, ...], out: Path, rows: tuple[str, ...], jobs: int,
    as_json: bool, quiet: bool, **options: Any,
) -> None:  # fmt: skip
    """Fit the same clips in several ways and print the paper's table, over all frames and over occluded ones.

    --init takes several, by commas: further ones get a row alone and a row "+ fit"; "{clip}" in file:PATH stands for
    the clip's name. A frame without an estimate is charged with a neutral hand, except under "estimated".
    Tables are written to DIR as Markdown, CSV and JSON; run again to resume. DIR/occluded_frames.txt lists the frames
    of the occluded table ("clip/frame") where the truth knows what is hidden: synthetic clips, HO3D with its rendered
    segmentations, DexYCB.
    """
    from hmpfit.ablation import rows as planning
    from hmpfit.ablation import with_truth, withheld

    if dataset is None and not videos:
        raise InputError("Give clips with truth (--dataset synthetic:PATH), real video (--video PATH), or both.")
    inits = [name for name in options.pop("init").split(",") if name]
    mmpose = {name: options.pop(name) for name in _MMPOSE}
    for name in inits:
        resolve_settings(init=name, **options)  # a wrong name is refused before the first clip is fitted
    plan = planning.plan(resolve_settings(init=inits[0], **options), inits, mmpose, rows)
    tables: dict[str, Any] = {}
    content: dict[str, Any] = {}
    if dataset is not None:
        truths = with_truth.TruthDataset(dataset, split)
        with TerminalProgress(quiet) as progress:
            advance = progress.phase("fitting every row of every clip", len(truths.open().sequences))
            found = with_truth.measure_with_truth(truths, plan, out, jobs, lambda name: advance(1))
        _list_frames(out / "occluded_frames.txt", found.occluded_frames)
        tables |= {"all": found.every, "occluded": found.occluded}
        content |= {"clips": found.scores, "detected_share": found.detected_share, "recipe": options["recipe"]}
    if videos:
        with TerminalProgress(quiet) as progress:
            advance = progress.phase("withholding keypoints of real video", len(videos))
            tables["withheld"], content["videos"] = withheld.measure_withheld(videos, plan, out)
            advance(len(videos))
    content = {name: table.plain() for name, table in tables.items()} | content
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        (out / f"{name}.md").write_text(table.markdown())
        (out / f"{name}.csv").write_text(table.csv())
    (out / "ablation.json").write_text(to_json(content, indent=1) + "\n")
    if as_json:
        click.echo(to_json(content))
    elif not quiet:
        for table in tables.values():
            _print_summary(table)
        if content.get("detected_share") is not None:
            click.echo(f"Hands in sight that the detector found: {content['detected_share']:.1%} of their frames")


def _list_frames(file: Path, frames: tuple[str, ...] | None) -> None:
    """Write the occluded frames, one a line; nothing where the truth has no visibility."""
    if frames is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{frame}\n" for frame in frames))


def _print_summary(table: Any) -> None:
    from rich.table import Table

    from hmpfit.command_line.literal import literal_console

    drawn = Table(title=table.title, title_justify="left")
    drawn.add_column("mm" if "pa_mpjpe_mm" in table.columns else "")
    for column in table.columns:
        drawn.add_column(_HEADINGS[column], justify="right")
    for name, values in table.rows:
        cells = [values.get(column) for column in table.columns]
        drawn.add_row(name, *("–" if cell is None else f"{cell:.2f}" for cell in cells))
    literal_console().print(drawn)
    for name, why in table.notes.items():
        click.echo(f"{name}: {why}", err=True)
