"""Log a training's figures: metrics.csv that survives resuming, and TensorBoard where it is installed.

Separate from the loop because Lightning begins a new csv file whenever it resumes, and the old rows must be kept.
"""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from hmpfit.files.opening import explained, read_text
from hmpfit.files.replacing import replace_file

_DIGITS = 15  # of a step


def loggers(folder: Path) -> list[Any]:
    """Return Lightning's loggers for a folder."""
    found: list[Any] = [CSVLogger(folder, name="", version="")]
    if find_spec("tensorboard") is not None:
        found.append(TensorBoardLogger(folder, name="", version="tensorboard"))
    return found


@contextmanager
def whole_log(path: Path, resumed_at: int) -> Iterator[None]:
    """Keep the rows up to the step from which a training resumes, and put them before what the block logs."""
    before = [row for row in metric_rows(path) if int(row["step"]) < resumed_at]
    kept = path.with_suffix(".before.csv")
    if kept.is_file():  # a resumed training was killed: its earlier rows lie aside
        earlier = metric_rows(kept)
        first = min((int(row["step"]) for row in before), default=resumed_at)
        before = [row for row in earlier if int(row["step"]) < first] + before
    if before:
        _write(kept, before)
    try:
        yield
    finally:
        if before:
            _write(path, before + metric_rows(path))
            kept.unlink(missing_ok=True)


def metric_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a metrics file that have a step; none without a file. Raises UnreadableFileError."""
    if not path.is_file():
        return []
    lines = read_text(path).splitlines()
    with explained(path, "a training's figures"):
        rows = [{key: row[key] for key in row if isinstance(key, str)} for row in csv.DictReader(lines)]
        return [row for row in rows if (step := row.get("step") or "").isdecimal() and len(step) <= _DIGITS]


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    keys = list(dict.fromkeys(key for row in rows for key in row if key))
    partial = path.with_suffix(".part")
    with partial.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, keys, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    replace_file(partial, path)
