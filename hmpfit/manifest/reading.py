"""The list of `hmpfit batch --manifest`: CSV or Parquet, a clip a line with its options, checked before any work.

A line cannot reach beyond its clip: its name is one plain word, and of the options only those below exist.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmpfit.errors import InputError, MissingExtraError, UnreadableFileError
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.recipes.settings import RunSettings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
MOST_LINES = 10_000_000
_FIELD_MOST = 1 << 16
# Columns of a line and their types; every other option of `hmpfit run` is given once, for all lines.
_WHOLE, _NUMBER = int, float
OPTIONS = {
    "hands": str, "max_hands": _WHOLE, "views": _WHOLE, "intrinsics": str, "hand_size_mm": _NUMBER, "fps": _NUMBER,
    "solver": str, "recipe": str, "prior": str, "seed": _WHOLE, "camera_motion": str,
    "mirrored": lambda text: {"true": True, "1": True, "false": False, "0": False}[text.lower()],
    "frames": lambda text: tuple(int(part) for part in _pair(text)),
}  # fmt: skip
_FILES = ("intrinsics", "recipe", "prior", "camera_motion")  # whose values may name a file: names only, in a manifest


@dataclass(frozen=True)
class ManifestLine:
    """A clip of the list: where it is, the name of its run folder, and its options as text."""

    number: int
    name: str
    video: str
    options: tuple[tuple[str, str], ...]


def read_manifest(path: Path, shard: tuple[int, int] = (0, 1)) -> list[ManifestLine]:
    """Read the lines of a list that belong to shard I of N (counted from 0). Raises InputError for a wrong line.

    Columns: `video`, optionally `name` (default: the video's stem), and options of `hmpfit run`; empty fields say
    nothing. Names must be unique.
    """
    lines, seen, checked = [], {}, set()  # type: ignore[var-annotated]
    for number, row in enumerate(_rows(path), start=2):
        if number > MOST_LINES:
            raise InputError(f"'{path}' has more than {MOST_LINES} lines; cut it into several.")
        line = _line(path, number, row)
        if line.name in seen:
            raise InputError(f"'{path}' names '{line.name}' twice (lines {seen[line.name]} and {number}); give names.")
        seen[line.name] = number
        if line.options not in checked:
            checked.add(line.options)
            try:
                settings_of(line, {})
            except InputError as error:
                raise InputError(f"'{path}', line {number}: {error}") from error
        if (number - 2) % shard[1] == shard[0]:
            lines.append(line)
    if not seen:
        raise InputError(f"'{path}' lists no clip.")
    return lines


def settings_of(line: ManifestLine, common: dict[str, Any]) -> RunSettings:
    """Return the settings of a line: those of all lines, with its own in their place. Raises InputError."""
    own: dict[str, Any] = {}
    for name, text in line.options:
        try:
            own[name] = OPTIONS[name](text)  # type: ignore[operator]
        except (ValueError, KeyError):
            raise InputError(f"{name} = '{text}' is no value of that option.") from None
    return resolve_settings(**{**common, **own})


def _line(path: Path, number: int, row: dict[str, str]) -> ManifestLine:
    video = row.pop("video", "").strip()
    if not video:
        raise InputError(f"'{path}', line {number} names no video.")
    last = video.rstrip("/").rpartition("/")[2]
    name = row.pop("name", "").strip() or re.sub(r"[^A-Za-z0-9._-]", "_", last.rpartition(".")[0] or last)
    if not NAME.fullmatch(name):
        raise InputError(
            f"'{path}', line {number}: the name '{name[:60]}' is no plain word (letters, digits, '.', '_', '-'; 120 at "
            "most, the first a letter or digit)."
        )
    options = tuple(sorted((key, text.strip()) for key, text in row.items() if text and text.strip()))
    for key, text in options:
        if key not in OPTIONS:
            raise InputError(f"'{path}' has the column '{key}'; known: video, name, {', '.join(sorted(OPTIONS))}.")
        if key in _FILES and ("/" in text or "\\" in text or ":" in text):
            raise InputError(f"'{path}', line {number}: {key} = '{text}' names a file, which a manifest may not.")
    return ManifestLine(number, name, video, options)


def _pair(text: str) -> tuple[str, str]:
    first, colon, last = text.partition(":")
    if not colon:
        raise ValueError(text)
    return first, last


def _rows(path: Path) -> Iterator[dict[str, str]]:
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    csv.field_size_limit(_FIELD_MOST)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="too many fields", restval="")
            if "video" not in (reader.fieldnames or ()):
                raise InputError(f"'{path}' has no column 'video'; its first line must name the columns.")
            for row in reader:
                if "too many fields" in row:
                    raise InputError(f"'{path}', line {reader.line_num} has more fields than the first line names.")
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFileError(path, getattr(error, "strerror", None) or str(error)) from error


def _parquet_rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError as error:
        raise MissingExtraError("a Parquet manifest", "pyarrow", "pip install pyarrow (or hmpfit[scale])") from error
    try:
        file = pq.ParquetFile(path)
        if "video" not in file.schema_arrow.names:
            raise InputError(f"'{path}' has no column 'video'.")
        for batch in file.iter_batches(8192):
            for row in batch.to_pylist():
                yield {key: "" if value is None else str(value) for key, value in row.items()}
    except (OSError, pa.ArrowException) as error:
        raise UnreadableFileError(path, str(error).partition("\n")[0]) from error
