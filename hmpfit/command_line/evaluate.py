"""`hmpfit eval`: a result, or a folder of results, against the truth."""

from pathlib import Path
from typing import Any

import click

from hmpfit.command_line.shared_options import json_option
from hmpfit.errors import InputError
from hmpfit.registry import names
from hmpfit.strict_json import to_json

PROTOCOLS = ("hmp", "ho3d", "freihand", "dexycb", "interhand", "intaghand", "hic", "arctic", "stc")


_OF_MANO = ("ho3d", "freihand", "hic", "arctic")  # whose protocols score meshes


@click.command(name="eval")
@click.argument("result", required=False, type=click.Path(path_type=Path))
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    help="truth.npz, a synthetic clip's folder, another run; for a submission its truth.",
)
@click.option("--dataset", metavar="KIND:PATH", help=f"One of {', '.join(names('datasets'))}, and its folder.")
@click.option("--predictions", type=click.Path(path_type=Path), metavar="DIR", help="What hmpfit batch wrote.")
@click.option("--split", metavar="S", help="The dataset's split; of synthetic clips a folder inside it.")
@click.option("--protocol", help=f"{', '.join(PROTOCOLS)} (default: the dataset's own, else hmp).")
@click.option(
    "--submission", type=click.Path(path_type=Path), metavar="FILE",
    help="Write the official file too: FILE.zip (HO3D, FreiHAND) or FILE.txt (DexYCB).",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Clips at a time.")
@click.option(
    "--hand-model", default="open", envvar="HMPFIT_MANO", show_envvar=True, show_default=True, metavar="open|PATH"
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Write table.md, table.csv and table.json too."
)
@json_option
def evaluate(
    result: Path | None, truth: Path | None, dataset: str | None, predictions: Path | None, split: str | None,
    protocol: str | None, submission: Path | None, jobs: int, hand_model: str, out: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Score RESULT (a run folder or result.npz) against --truth, or all --predictions of a --dataset.

    RESULT may be a submission: pred.json (HO3D, FreiHAND; --truth is the folder with evaluation_xyz.json) or DexYCB's
    txt. Frames without an estimate are left out in one set of numbers and charged with a neutral hand in the other
    (`_charged`). Where the truth knows what is hidden, frames with many hidden joints are scored apart (`occluded`).
    """
    from hmpfit.evaluation.run_scores import Pair, pairs_of, score_all
    from hmpfit.evaluation.tables import Table, mean_of

    opened, written = None, None
    if result is not None and truth is not None and dataset is None:
        pairs = [Pair(result.name, result, truth)]
        if submission is not None:
            raise InputError("--submission writes the official file of a --dataset; give it and --predictions.")
    else:
        opened = _opened(result, dataset, predictions, split, hand_model, jobs)
        assert predictions is not None
        pairs = pairs_of(opened, predictions, hand_model)
        written = None if submission is None else _submit(opened, predictions, hand_model, submission)
    used = protocol or pairs[0].protocol
    found = score_all(pairs, used, hand_model, jobs)
    broken = {one.name: one.problem for one in found if one.problem is not None}
    if len(broken) == len(found) and written is None:
        first = next(iter(broken.values()))
        raise InputError(
            first if len(found) == 1 else f"None of the {len(found)} clips could be scored; the first: {first}"
        )
    rows = [one for one in found if one.numbers]
    lines = [(one.name, one.numbers) for one in rows]
    if len(rows) > 1:
        lines.append(("all", mean_of([one.numbers for one in rows], [one.samples for one in rows])))
    columns = tuple(dict.fromkeys(key for _, scores in lines for key in scores))
    table = Table(f"Protocol {used}", columns, tuple(lines), broken)
    if out is not None:
        _write(table, out)
    left_out = [*(() if opened is None else opened.broken), *(pair for one in found for pair in one.left_out)]
    if as_json:
        content: dict[str, Any] = {"protocol": used, "clips": len(found) - len(broken), "broken": broken}
        content["left_out"] = [{"path": path, "reason": reason} for path, reason in left_out]
        click.echo(to_json({**content, **table.plain(), **(written or {})}))
        return
    if rows:
        _print_summary(table)
    for clip, why in broken.items():
        click.echo(f"hmpfit: {clip}: {why}", err=True)
    if left_out:
        click.echo(f"hmpfit: {len(left_out)} sequences or frames of the dataset were left out (named above)", err=True)
    if written is not None:
        click.echo("{path}: {frames} frames, {filled} of them neutral hands".format(**written["submission"]))


def _opened(
    result: Path | None, dataset: str | None, predictions: Path | None, split: str | None, hand_model: str, jobs: int
) -> Any:
    from hmpfit.datasets.opening import open_dataset, prefetch
    from hmpfit.hands.model_files import load_hand_models

    if result is not None or dataset is None or predictions is None:
        raise InputError("Give RESULT and --truth PATH, or --dataset KIND:PATH and --predictions DIR.")
    if not predictions.is_dir():
        raise InputError(f"There is no folder '{predictions}'; --predictions is what hmpfit batch wrote.")
    # Without the user's MANO a dataset's parameters give no meshes; its joints are stored.
    found = open_dataset(dataset, split, None if hand_model == "open" else load_hand_models(hand_model))
    for path, why in found.broken:
        click.echo(f"hmpfit: '{path}' was left out: {why}", err=True)
    if hand_model == "open" and found.kind in _OF_MANO:
        click.echo(f"hmpfit: meshes are not scored: {found.kind}'s are MANO's, and the runs' hand is not.", err=True)
    if jobs > 1 and len(found.sequences) > jobs and found.kind != "synthetic":
        prefetch(dataset, split, jobs)
    return found


def _submit(opened: Any, predictions: Path, hand_model: str, file: Path) -> dict[str, Any]:
    from hmpfit.evaluation.write_submission import submit

    made = submit(opened, predictions, hand_model, file)
    return {"submission": {"path": str(made.path), "frames": made.frames, "filled": made.filled}}


def _write(table: Any, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for suffix, text in (("md", table.markdown()), ("csv", table.csv()), ("json", table.json())):
        (out / f"table.{suffix}").write_text(text)


def _print_summary(table: Any) -> None:
    """Print the last line of the table (all clips together, or the only one): a row per number, a column per kind."""
    from rich.table import Table as RichTable

    from hmpfit.command_line.literal import literal_console

    name, scores = table.rows[-1]
    drawn = RichTable(title=f"{table.title}: {name}, coverage {scores['coverage']:.0%}", title_justify="left")
    drawn.add_column("", no_wrap=True)
    for heading in ("estimated frames", "all frames, charged", "occluded frames"):
        drawn.add_column(heading, justify="right")
    for key in (key for key in table.columns if not key.endswith("_charged") and not key.startswith("occluded_")):
        if key != "coverage":
            values = (scores.get(key), scores.get(f"{key}_charged"), scores.get(f"occluded_{key}"))
            drawn.add_row(key, *("–" if value is None else f"{value:.3f}" for value in values))
    literal_console().print(drawn)
