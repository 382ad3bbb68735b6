"""Where a training's figures go: metrics.csv that survives resuming, and TensorBoard where it is installed.

Separate from the loop because Lightning begins a new csv file whenever it resumes, and the old rows must be kept.
"""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger


def loggers(folder: Path) -> list[Any]:
    """Return Lightning's loggers for a folder."""
    found: list[Any] = [CSVLogger(folder, name="", version="")]
    if find_spec("tensorboard") is not None:
        found.append(TensorBoardLogger(folder, name="", version="tensorboard"))
    return found


@contextmanager
def whole_log(path: Path, resumed_at: int) -> Iterator[None]:
    """Keep the rows up to the step from which a training resumes, and put them before what the block logs."""
    before = [row for row in _rows(path) if int(row["step"]) < resumed_at]
    kept = path.with_suffix(".before.csv")
    if kept.is_file():  # a resumed training was killed: its earlier rows lie aside
        earlier = _rows(kept)
        first = min((int(row["step"]) for row in before), default=resumed_at)
        before = [row for row in earlier if int(row["step"]) < first] + before
    if before:
        _write(kept, before)
    try:
        yield
    finally:
        if before:
            _write(path, before + _rows(path))
            kept.unlink(missing_ok=True)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        return [row for row in csv.DictReader(stream) if (row.get("step") or "").isdecimal()]


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    keys = list(dict.fromkeys(key for row in rows for key in row if key))
    partial = path.with_suffix(".part")
    with partial.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, keys, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)
