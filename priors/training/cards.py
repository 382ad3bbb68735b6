"""The card beside a prior's weights: what it saw, how large it is, its checksum and how well it did."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hmpfit.priors.motion_field.loading import card_path

Value = str | int | float | bool | list[Any]


def write_card(
    weights: Path,
    sha256: str,
    sizes: Mapping[str, Value],
    about: Mapping[str, Value],
    figures: Mapping[str, Mapping[str, Value]],
) -> Path:
    """Write `<weights>.card.toml` beside a weights file and return its path.

    `about` holds data, licence and the like; each table of `figures` becomes [figures.<name>].
    """
    lines = [*_lines(about), f'sha256 = "{sha256}"', "", "[sizes]", *_lines(sizes)]
    for name, table in figures.items():
        lines += ["", f"[figures.{name}]", *_lines(table)]
    path = card_path(weights)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _lines(table: Mapping[str, Value]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in table.items()]


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    if isinstance(value, list):
        return "[" + ", ".join(_value(part) for part in value) + "]"
    return repr(value)
