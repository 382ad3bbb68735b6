"""`hmpfit eval`: a result, or a folder of results, against the truth."""

from pathlib import Path
from typing import Any

import click

from hmpfit.errors import HmpfitError, InputError

PROTOCOLS = ("hmp", "ho3d", "freihand", "dexycb", "interhand", "intaghand", "arctic")  # evaluation.scoring's


@click.command(name="eval")
@click.argument("result", required=False, type=click.Path(path_type=Path))
@click.option("--truth", type=click.Path(path_type=Path), help="truth.npz, a synthetic clip's folder, or another run.")
@click.option("--dataset", metavar="synthetic:PATH", help="A folder of clip folders, each with its truth.npz.")
@click.option("--predictions", type=click.Path(path_type=Path), metavar="DIR", help="Run folders named like the clips.")
@click.option("--protocol", default="hmp", show_default=True, help=f"{', '.join(PROTOCOLS)}.")
@click.option(
    "--hand-model", default="open", envvar="HMPFIT_MANO", show_envvar=True, show_default=True, metavar="open|PATH"
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Write table.md, table.csv and table.json too."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def evaluate(
    result: Path | None, truth: Path | None, dataset: str | None, predictions: Path | None, protocol: str,
    hand_model: str, out: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Score RESULT (a run folder or result.npz) against --truth, or all --predictions of a --dataset.

    Frames without an estimate are left out in one set of numbers and charged with a neutral hand in the other
    (`_charged`). Where the truth knows what is hidden, frames with many hidden joints are scored apart (`occluded`).
    """
    from hmpfit.evaluation.tables import Table, mean_of

    pairs = _pairs(result, truth, dataset, predictions)
    rows, broken = [], {}
    for name, found, true in pairs:
        try:
            rows.append((name, *_score(found, true, protocol, hand_model)))
        except HmpfitError as error:
            if len(pairs) == 1:
                raise
            broken[name] = str(error)
    if not rows:
        raise InputError(f"None of the {len(pairs)} clips could be scored; the first: {next(iter(broken.values()))}")
    lines = [(name, scores) for name, scores, _ in rows]
    if len(rows) > 1:
        lines.append(("all", mean_of([scores for _, scores, _ in rows], [frames for *_, frames in rows])))
    columns = tuple(dict.fromkeys(key for _, scores in lines for key in scores))
    table = Table(f"Protocol {protocol}", columns, tuple(lines), broken)
    if out is not None:
        _write(table, out)
    if as_json:
        import json

        click.echo(json.dumps({"protocol": protocol, "clips": len(rows), "broken": broken, **table.plain()}))
        return
    _tell(table)


def _pairs(
    result: Path | None, truth: Path | None, dataset: str | None, predictions: Path | None
) -> list[tuple[str, Path, Path]]:
    if result is not None and truth is not None and dataset is None:
        return [(result.name, result, truth)]
    if result is not None or dataset is None or predictions is None:
        raise InputError("Give RESULT and --truth PATH, or --dataset synthetic:PATH and --predictions DIR.")
    kind, _, folder = dataset.partition(":")
    if kind != "synthetic" or not folder:
        raise InputError(f"--dataset {dataset} cannot be read; this version reads synthetic:PATH.")
    clips = sorted(path.parent for path in Path(folder).glob("*/truth.npz"))
    if not clips:
        raise InputError(f"'{folder}' holds no clip folders with a truth.npz; `hmpfit demo` shows what one looks like.")
    return [(clip.name, predictions / clip.name, clip) for clip in clips]


def _score(found: Path, true: Path, protocol: str, hand_model: str) -> tuple[dict[str, float], float]:
    from hmpfit.evaluation.scoring import flattened, read_truth, score_motion
    from hmpfit.exporters.matching import read_with_model

    stored, models = read_with_model(found, hand_model)
    truth = read_truth(true)
    whole = score_motion(stored.motion, models, truth, protocol)
    scores = flattened(whole)
    if truth.occluded().any():
        hidden = flattened(score_motion(stored.motion, models, truth, protocol, subset=True))
        scores.update({f"occluded_{name}": value for name, value in hidden.items() if name != "coverage"})
    return scores, whole["coverage"]["frames"]


def _write(table: Any, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for suffix, text in (("md", table.markdown()), ("csv", table.csv()), ("json", table.json())):
        (out / f"table.{suffix}").write_text(text)


def _tell(table: Any) -> None:
    """Print the last line of the table (all clips together, or the only one): a row per number, a column per kind."""
    from rich.console import Console
    from rich.table import Table as Drawn

    name, scores = table.rows[-1]
    drawn = Drawn(title=f"{table.title}: {name}, coverage {scores['coverage']:.0%}", title_justify="left")
    for heading in ("", "estimated frames", "all frames, charged", "occluded frames"):
        drawn.add_column(heading, justify="right" if heading else "left")
    for key in (key for key in table.columns if not key.endswith("_charged") and not key.startswith("occluded_")):
        if key != "coverage":
            values = (scores.get(key), scores.get(f"{key}_charged"), scores.get(f"occluded_{key}"))
            drawn.add_row(key, *("–" if value is None else f"{value:.3f}" for value in values))
    Console().print(drawn)
    for clip, why in table.notes.items():
        click.echo(f"{clip}: {why}", err=True)
