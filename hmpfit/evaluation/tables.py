"""One table of results, written as Markdown, CSV and JSON; the terminal's form belongs to the command line."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hmpfit.strict_json import finite, to_json


@dataclass(frozen=True)
class Table:
    """Named rows of numbers under named columns; a missing number is None, a row that could not run has a reason."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, Mapping[str, float | None]], ...]
    notes: Mapping[str, str] = field(default_factory=dict)  # row name -> why it has no numbers

    def cells(self) -> list[list[str]]:
        """Return the rows as texts: the name, then each column's number or a dash."""
        return [[name, *(_text(values.get(column)) for column in self.columns)] for name, values in self.rows]

    def markdown(self) -> str:
        """Return the table in Markdown, the notes below it."""
        lines = [
            f"**{self.title}**",
            "",
            f"| | {' | '.join(self.columns)} |",
            "|---" + "|---:" * len(self.columns) + "|",
        ]
        lines += [f"| {' | '.join(row)} |" for row in self.cells()]
        lines += [""] + [f"- {name}: {why}" for name, why in self.notes.items()] if self.notes else []
        return "\n".join(lines) + "\n"

    def csv(self) -> str:
        """Return the table as CSV with full precision."""
        text = io.StringIO()
        lines = csv.writer(text)
        lines.writerow(["row", *self.columns])
        for name, values in self.rows:
            lines.writerow([name, *("" if values.get(column) is None else values[column] for column in self.columns)])
        return text.getvalue()

    def plain(self) -> dict[str, Any]:
        """Return the table as plain values for JSON; numbers that are not finite are null."""
        rows = {name: {column: finite(values.get(column)) for column in self.columns} for name, values in self.rows}
        return {"title": self.title, "columns": list(self.columns), "rows": rows, "notes": dict(self.notes)}

    def json(self) -> str:
        """Return `plain` as JSON text."""
        return to_json(self.plain(), indent=1)


def mean_of(
    scores: Sequence[Mapping[str, float]], weights: Sequence[float | Mapping[str, float]] | None = None
) -> dict[str, float]:
    """Return the weighted mean of each number over sequences, leaving out those where it is not finite.

    A weight is one number per sequence, or one for each of its keys.
    """
    given = [1.0] * len(scores) if weights is None else weights
    out: dict[str, float] = {}
    for key in dict.fromkeys(key for one in scores for key in one):
        weight = np.array([one.get(key, 0.0) if isinstance(one, Mapping) else one for one in given], dtype=np.float64)
        values = np.array([one.get(key, np.nan) for one in scores], dtype=np.float64)
        known = np.isfinite(values) & (weight > 0)
        out[key] = float(np.average(values[known], weights=weight[known])) if known.any() else float("nan")
    return out


def _text(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
