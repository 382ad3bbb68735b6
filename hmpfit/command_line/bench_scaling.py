"""`hmpfit bench scaling`: windows a second against the size of the batch, as a table, a CSV and a picture."""

import csv
import os
from pathlib import Path
from typing import Any

import click

from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.shared_options import device_option, json_option
from hmpfit.errors import InputError
from hmpfit.strict_json import to_json


@click.command()
@click.option("--sizes", metavar="N,N,...", help="Windows in a batch (default: 1,2,4,8,16; on a GPU up to 256).")
@device_option
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Write scaling.csv and scaling.png.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of the made clips.")
@json_option
@click.option("--quiet", is_flag=True, help="No progress, no table; errors only.")
def scaling(sizes: str | None, device: str, out: Path | None, seed: int, as_json: bool, quiet: bool) -> None:
    """Fit batches of generated clips of one window each, and the same clips one by one."""
    from hmpfit.bench.fit_scaling import COLUMNS, measure_scaling, write_curve
    from hmpfit.hands.model_files import load_hand_models
    from hmpfit.pipeline.devices import device_for
    from hmpfit.priors.motion_field.loading import load_default
    from hmpfit.recipes import load_recipe

    chosen = device_for(device)
    counts = _sizes(sizes or ("1,4,16,64,256" if chosen == "cuda" else "1,2,4,8,16"))
    with TerminalProgress(quiet) as progress:
        points = measure_scaling(
            load_hand_models(), load_default(), load_recipe("default"), counts, chosen, seed, progress
        )
    name = _device_name(chosen)
    content = {
        "device": name,
        "per_window_vs_single": {str(point.windows): point.share_of_single for point in points},
        "load": os.getloadavg()[0],
        "points": [vars(point) for point in points],
    }
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        with (out / "scaling.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(COLUMNS)
            rows.writerows([getattr(point, column) for column in COLUMNS] for point in points)
        write_curve(points, out / "scaling.png", f"hmpfit's fit of 128-frame windows on {name}")
    if as_json:
        click.echo(to_json(content))
    elif not quiet:
        _print_summary(content)


def _sizes(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"--sizes {text} is no list of whole numbers above 0; write such as 1,4,16.")
    return sorted({int(part) for part in parts})


def _device_name(device: str) -> str:
    import platform

    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()}, {torch.get_num_threads()} thread(s) on {len(os.sched_getaffinity(0))} cores"


def _print_summary(content: dict[str, Any]) -> None:
    from rich.table import Table

    from hmpfit.command_line.literal import literal_console

    table = Table(title=content["device"], title_justify="left")
    headings = ("windows", "s", "windows/s", "frames/s", "s a window / single", "/ single, 1 thread")
    for heading in headings:
        table.add_column(heading, justify="right")
    for point in content["points"]:
        table.add_row(
            str(point["windows"]), f"{point['seconds']:.2f}", f"{point['windows_per_s']:.2f}",
            f"{point['frames_per_s']:.0f}", f"{point['share_of_single']:.0%}",
            "–" if point["share_of_single_one_thread"] is None else f"{point['share_of_single_one_thread']:.0%}",
        )  # fmt: skip
    literal_console(width=100).print(table)
