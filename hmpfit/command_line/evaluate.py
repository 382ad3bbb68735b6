"""`hmpfit eval`: a result, or a folder of results, against the truth."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from hmpfit.errors import HmpfitError, InputError
from hmpfit.registry import names

PROTOCOLS = ("hmp", "ho3d", "freihand", "dexycb", "interhand", "intaghand", "hic", "arctic", "stc")


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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def evaluate(
    result: Path | None, truth: Path | None, dataset: str | None, predictions: Path | None, split: str | None,
    protocol: str | None, submission: Path | None, jobs: int, hand_model: str, out: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Score RESULT (a run folder or result.npz) against --truth, or all --predictions of a --dataset.

    RESULT may be a submission: pred.json (HO3D, FreiHAND; --truth is the folder with evaluation_xyz.json) or DexYCB's
    txt. Frames without an estimate are left out in one set of numbers and charged with a neutral hand in the other
    (`_charged`). Where the truth knows what is hidden, frames with many hidden joints are scored apart (`occluded`).
    """
    from hmpfit.evaluation.tables import Table, mean_of

    opened = None
    if result is not None and truth is not None and dataset is None:
        pairs = [Pair(result.name, result, truth)]
    else:
        opened = _opened(result, dataset, predictions, split, hand_model, jobs)
        assert predictions is not None
        pairs = _pairs(opened, predictions, hand_model)
    if submission is not None and (opened is None or predictions is None):
        raise InputError("--submission writes the official file of a --dataset; give it and --predictions.")
    used = protocol or pairs[0].protocol
    written = None if submission is None else _submit(opened, predictions, hand_model, submission)
    rows, failed = _score_all(pairs, used, hand_model, jobs)
    if not rows and written is None and len(pairs) == 1:
        raise failed[0][1]
    if not rows and written is None:
        raise InputError(f"None of the {len(pairs)} clips could be scored; the first: {failed[0][1]}")
    lines = [(name, scores) for name, scores, _ in rows]
    if len(rows) > 1:
        lines.append(("all", mean_of([scores for _, scores, _ in rows], [samples for *_, samples in rows])))
    columns = tuple(dict.fromkeys(key for _, scores in lines for key in scores))
    broken = {name: str(error) for name, error in failed}
    table = Table(f"Protocol {used}", columns, tuple(lines), broken)
    if out is not None:
        _write(table, out)
    if as_json:
        import json

        content = {"protocol": used, "clips": len(rows), "broken": broken, **table.plain(), **(written or {})}
        click.echo(json.dumps(content))
        return
    if rows:
        _tell(table)
    if written is not None:
        click.echo("{path}: {frames} frames, {filled} of them neutral hands".format(**written["submission"]))


@dataclass(frozen=True)
class Pair:
    """An estimate, and how to read the truth that it is scored against; `truth` is a path or reads a dataset's."""

    name: str
    found: Path
    truth: "Path | Callable[[], Any]"
    protocol: str = "hmp"


Scored = tuple[dict[str, float], dict[str, float]]  # the numbers, and the samples behind each


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
    if jobs > 1 and len(found.sequences) > jobs and found.kind != "synthetic":
        prefetch(dataset, split, jobs)
    return found


def _pairs(opened: Any, predictions: Path, hand_model: str) -> list[Pair]:
    from hmpfit.evaluation.truth_files import of_sequence
    from hmpfit.hands.model_files import load_hand_models

    count = len(load_hand_models(hand_model).right.v_template)
    return [
        Pair(one.name, predictions / one.name, partial(of_sequence, one, count), one.protocol)
        for one in opened.sequences
    ]


def _submit(opened: Any, predictions: Path | None, hand_model: str, file: Path) -> dict[str, Any]:
    from hmpfit.exporters.submission import submit

    assert predictions is not None
    made = submit(opened, predictions, hand_model, file)
    return {"submission": {"path": str(made.path), "frames": made.frames, "filled": made.filled}}


def _score_all(
    pairs: list[Pair], protocol: str, hand_model: str, jobs: int
) -> tuple[list[tuple[str, Any, Any]], list[tuple[str, HmpfitError]]]:
    from concurrent.futures import ThreadPoolExecutor

    def attempt(pair: Pair) -> Scored | HmpfitError:
        try:
            return _score(pair, protocol, hand_model)
        except HmpfitError as error:
            return error

    with ThreadPoolExecutor(jobs) as pool:  # numpy and the trees of the F-scores let go of the interpreter
        found = list(pool.map(attempt, pairs))
    rows = [(pair.name, *one) for pair, one in zip(pairs, found, strict=True) if not isinstance(one, HmpfitError)]
    return rows, [(pair.name, one) for pair, one in zip(pairs, found, strict=True) if isinstance(one, HmpfitError)]


def _score(pair: Pair, protocol: str, hand_model: str) -> Scored:
    from hmpfit.evaluation.scoring import flattened, read_truth, score_motion, weights
    from hmpfit.evaluation.submissions import SUFFIXES, score_submission
    from hmpfit.exporters.matching import read_with_model

    if pair.found.suffix in SUFFIXES and pair.found.is_file():
        if not isinstance(pair.truth, Path):
            raise InputError(f"'{pair.found}' is a submission; give its truth with --truth.")
        numbers, count = score_submission(pair.found, pair.truth, protocol)
        return {**numbers, "coverage": 1.0}, dict.fromkeys((*numbers, "coverage"), count)
    stored, models = read_with_model(pair.found, hand_model)
    truth = read_truth(pair.truth) if isinstance(pair.truth, Path) else pair.truth()
    whole = score_motion(stored.motion, models, truth, protocol)
    scores, samples = flattened(whole), weights(whole)
    if truth.occluded().any():
        hidden = score_motion(stored.motion, models, truth, protocol, subset=True)
        for target, part in ((scores, flattened(hidden)), (samples, weights(hidden))):
            target.update({f"occluded_{name}": value for name, value in part.items() if name != "coverage"})
    return scores, samples


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
