"""`hmpfit bench solver`: Gauss-Newton beside Adam, L-BFGS and the published method's loop, on one start."""

from pathlib import Path
from typing import Any

import click

from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.shared_options import json_option
from hmpfit.errors import InputError
from hmpfit.strict_json import to_json


@click.command()
@click.option("--windows", default="1", show_default=True, metavar="N,N,...", help="Windows of 128 frames, as 1,8.")
@click.option("--run", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Start from a run folder.")
@click.option("--steps", type=click.IntRange(min=1), default=400, show_default=True, help="Of Adam, per stage.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of the made problem.")
@json_option
@click.option("--quiet", is_flag=True, help="No progress, no table; errors only.")
def solver(windows: str, folder: Path | None, steps: int, seed: int, as_json: bool, quiet: bool) -> None:
    """Time the solvers and the published loop on the same start, generated or from a run folder.

    The published loop skins the whole mesh and evaluates a decoder of the paper's size at every step: one window takes
    minutes. Data terms are means of squared confidence times Geman-McClure (40 px) in pixels squared.
    """
    from hmpfit.bench.solver_speed import compare_solvers, cut_start, frames_of_windows, made_start
    from hmpfit.hands.model_files import load_hand_models
    from hmpfit.priors.motion_field.loading import load_default
    from hmpfit.recipes import load_recipe

    counts, recipe, prior = _counts(windows), load_recipe("default"), load_default().double()
    overlap = recipe.windows.overlap_frames
    found: dict[str, Any] = {}
    with TerminalProgress(quiet) as progress:
        for count in counts:
            frames = frames_of_windows(count, prior, overlap)
            start = (
                made_start(load_hand_models(), frames, seed) if folder is None else cut_start(_start_of(folder), frames)
            )
            found[str(count)] = compare_solvers(start, prior, recipe, progress, steps)
    first = found[str(counts[0])]
    content = {
        "ratio_vs_reference": first["ratio_vs_reference"],
        "ratio_same_objective": first["ratio_same_objective"],
        "windows": found,
        "start": f"made, seed {seed}" if folder is None else str(folder),
        "machine": _machine(),
    }
    if as_json:
        click.echo(to_json(content))
    elif not quiet:
        for name, one in found.items():
            _print_summary(name, one)


def _counts(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"--windows {text} is no list of whole numbers above 0; write such as 1 or 1,8.")
    return [int(part) for part in parts]


def _start_of(folder: Path) -> Any:
    from hmpfit.bench.solver_speed import Start
    from hmpfit.hands.model_files import load_hand_models
    from hmpfit.interfaces.initializer import InitialMotion
    from hmpfit.records import KeypointTracks
    from hmpfit.results.npz import read_result
    from hmpfit.results.record_files import load_record

    for name in ("initial.npz", "tracks.npz"):
        if not (folder / name).is_file():
            raise InputError(f"'{folder}' is no run folder with a first guess (it lacks {name}); give one with --run.")
    initial = load_record(folder / "initial.npz", InitialMotion).motion
    tracks = load_record(folder / "tracks.npz", KeypointTracks)
    return Start(initial, tracks, read_result(folder).camera, load_hand_models())


def _machine() -> dict[str, Any]:
    import os
    import platform

    import torch

    return {
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "load": os.getloadavg()[0],
    }


def _print_summary(count: str, one: dict[str, Any]) -> None:
    from rich.table import Table

    from hmpfit.command_line.literal import literal_console

    table = Table(title=f"{count} window(s), {one['frames']} frames", title_justify="left")
    for heading in ("solver", "s", "steps", "end cost", "s to Adam's cost", "2D data", "error, mm"):
        table.add_column(heading, justify="left" if heading == "solver" else "right")
    for name, solve in one["solvers"].items():
        reached, error = one["same_cost"][name], solve["joint_error_mm"]
        steps = " + ".join(str(stage["steps"]) for stage in solve["stages"])
        table.add_row(
            name, f"{solve['seconds']:.2f}", steps, f"{solve['stages'][-1]['cost_end']:.1f}",
            "never" if reached is None else f"{reached:.2f}", f"{solve['data_2d']:.3f}",
            "–" if error is None else f"{error:.1f}",
        )  # fmt: skip
    loop = one["reference"]
    table.add_row(
        "published loop", f"{loop['seconds']:.2f}", str(loop["steps"]), "–", "–", f"{loop['data_2d']:.3f}", "–"
    )
    literal_console(width=110).print(table)
    click.echo(
        f"same objective: x {one['ratio_same_objective']:.1f}   published loop: x {one['ratio_vs_reference']:.1f}"
    )
