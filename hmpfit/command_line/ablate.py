"""`hmpfit ablate`: the paper's table on clips with known truth."""

import json
from pathlib import Path
from typing import Any

import click

from hmpfit.command_line.options import fit_options
from hmpfit.command_line.progress import TerminalProgress
from hmpfit.errors import InputError, UnknownNameError
from hmpfit.recipes.resolving import resolve_settings

_HEADINGS = {
    "pa_mpjpe_mm": "PA",
    "ra_mpjpe_mm": "RA",
    "ra_acc_mm_per_frame2": "RA-ACC",
    "pa_mpvpe_mm": "PA-V",
    "pa_mpjpe_mm_charged": "PA charged",
    "ra_mpjpe_mm_charged": "RA charged",
}


@click.command()
@click.option("--dataset", required=True, metavar="synthetic:PATH", help="A folder of clip folders with truth.npz.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("hmpfit_ablation"), show_default=True)
@click.option("--row", "rows", multiple=True, metavar="ROW", help="Only these rows (repeatable; default: all).")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Clips at a time.")
@fit_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--quiet", is_flag=True, help="No progress, no table; errors only.")
def ablate(
    dataset: str, out: Path, rows: tuple[str, ...], jobs: int, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Fit the same clips in several ways and print the paper's table, over all frames and over occluded ones.

    The keypoints are found once per clip. Tables are written to DIR as Markdown, CSV and JSON; run again to resume.
    """
    from hmpfit.ablation import ROWS, Clip
    from hmpfit.ablation import ablate as measure

    for row in rows:
        if row not in ROWS:
            raise UnknownNameError("row", row, ROWS)
    kind, _, folder = dataset.partition(":")
    found = sorted(path.parent for path in Path(folder).glob("*/truth.npz")) if kind == "synthetic" and folder else []
    if not found:
        raise InputError(f"--dataset {dataset} names no clips with a truth.npz; make some with hmpfit synthesize.")
    settings = resolve_settings(**options)
    clips = [Clip(path.name, path) for path in found]
    with TerminalProgress(quiet) as progress:
        advance = progress.phase("fitting every row of every clip", len(clips))
        every, occluded, scores = measure(clips, settings, out, rows or tuple(ROWS), jobs, lambda name: advance(1))
    if not scores:
        raise InputError(
            f"None of the {len(clips)} clips could be fitted; the first: {next(iter(every.notes.values()))}"
        )
    for name, table in (("all", every), ("occluded", occluded)):
        (out / f"{name}.md").write_text(table.markdown())
        (out / f"{name}.csv").write_text(table.csv())
    content = {"all": every.plain(), "occluded": occluded.plain(), "clips": scores}
    (out / "ablation.json").write_text(json.dumps(content, indent=1) + "\n")
    if as_json:
        click.echo(json.dumps(content))
    elif not quiet:
        for table in (every, occluded):
            _tell(table)


def _tell(table: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    drawn = Table(title=table.title, title_justify="left")
    for heading in ("mm", *_HEADINGS.values()):
        drawn.add_column(heading, justify="left" if heading == "mm" else "right")
    for name, values in table.rows:
        cells = [values.get(column) for column in _HEADINGS]
        drawn.add_row(name, *("–" if cell is None else f"{cell:.2f}" for cell in cells))
    Console().print(drawn)
    for name, why in table.notes.items():
        click.echo(f"{name}: {why}", err=True)
