"""`hmpfit eval-init NAME`: compare the network alone, the fit with it, and the fit without it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from hmpfit.command_line.options import detector_threads, fit_options
from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.shared_options import json_option
from hmpfit.errors import InputError, UnknownNameError
from hmpfit.strict_json import to_json

ALONE, WITH, WITHOUT = "{name} alone", "{name} + fit", "keypoints + fit"
_SHOWN = {"pa_mpjpe_mm": "PA", "ra_mpjpe_mm": "RA", "ra_acc_mm_per_frame2": "RA-ACC"}


@click.command(name="eval-init")
@click.argument("name")
@click.option(
    "--data", "data", multiple=True, required=True, metavar="KIND:PATH", help="Clips with truth (repeatable)."
)
@click.option("--split", metavar="NAME", help="Part of the dataset (default: its first).")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("hmpfit_eval_init"), show_default=True)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Clips at a time.")
@fit_options
@detector_threads
@json_option
@click.option("--quiet", is_flag=True, help="No progress, no table; errors only.")
def eval_init(
    name: str, data: tuple[str, ...], split: str | None, out: Path, jobs: int, as_json: bool, quiet: bool,
    **options: Any,
) -> None:  # fmt: skip
    """Score the initializer NAME on clips with truth: alone, with the fit, and the fit from keypoints.

    Over all frames and over the occluded ones; a frame without an estimate is charged with a neutral hand. Stage files
    stay in DIR; run again to resume.
    """
    from hmpfit import registry
    from hmpfit.ablation import with_truth

    if name not in registry.names("networks"):
        raise UnknownNameError("learned initializer", name, registry.names("networks"))
    options.pop("init")
    plan = _plan(name, options)
    tables: dict[str, dict[str, Any]] = {}
    for place in data:
        truths = with_truth.TruthDataset(place, split)
        folder = out / "".join(letter if letter.isalnum() else "_" for letter in place)
        with TerminalProgress(quiet) as progress:
            found = with_truth.measure_with_truth(truths, plan, folder, jobs, _steps(progress, place, truths))
        tables[place] = {"all": found.every, "occluded": found.occluded, "clips": found.scores}
    if as_json:
        click.echo(to_json({place: _plain(one) for place, one in tables.items()}))
    elif not quiet:
        for place, one in tables.items():
            for part in ("all", "occluded"):
                _print_summary(place, one[part])


def _steps(progress: TerminalProgress, place: str, truths: Any) -> Callable[[str], None]:
    advance = progress.phase(f"fitting {place} in three ways", len(truths.open().sequences))
    return lambda _: advance(1)


def _plan(name: str, options: dict[str, Any]) -> Any:
    """Return the three rows as settings."""
    from hmpfit.ablation.rows import INITIALIZER, ROWS, WHOLE_FIT, AblationPlan
    from hmpfit.recipes.resolving import resolve_settings

    without = {**options, "checkpoint": None, "boxes": None}
    fitted = resolve_settings(init=name, **options)
    if fitted.solver == "none":
        raise InputError("eval-init compares fits, and --solver none makes none; leave it out.")
    alone = replace(fitted, keypoints="initializer", recipe=replace(fitted.recipe, solver="none"))
    rows = {
        ALONE.format(name=name): (ROWS[INITIALIZER], alone),
        WITH.format(name=name): (ROWS[WHOLE_FIT], fitted),
        WITHOUT: (ROWS[WHOLE_FIT], resolve_settings(init="keypoints", **without)),
    }
    return AblationPlan(rows, {})


def _plain(one: dict[str, Any]) -> dict[str, Any]:
    return {"all": one["all"].plain(), "occluded": one["occluded"].plain(), "clips": one["clips"]}


def _print_summary(place: str, table: Any) -> None:
    from rich.table import Table

    from hmpfit.command_line.literal import literal_console

    drawn = Table(title=f"{place}: {table.title}", title_justify="left")
    drawn.add_column("mm")
    for heading in _SHOWN.values():
        drawn.add_column(heading, justify="right")
    for row, values in table.rows:
        cells = [values.get(column) for column in _SHOWN]
        drawn.add_row(row, *("–" if cell is None else f"{cell:.2f}" for cell in cells))
    literal_console().print(drawn)
    for about, why in table.notes.items():
        click.echo(f"{about}: {why}", err=True)
