"""The card beside a file of weights: training data, checksum, and tables of settings and figures, as TOML.

Separate because priors and regressors, which never import each other, both have weights with a card.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.structured import read_toml


def card_path(weights: Path) -> Path:
    """Return where the card of a weights file lies: beside it, ending in .card.toml."""
    return weights.with_suffix(".card.toml")


def read_card(weights: Path) -> dict[str, Any]:
    """Return the card beside a weights file, empty when it has none; InputError when it is not TOML."""
    card = card_path(weights)
    if not card.is_file():
        return {}
    try:
        return read_toml(card)
    except UnreadableFileError as error:
        raise InputError(f"The card '{card}' is not valid TOML: {error.reason}.") from None


def write_card(weights: Path, sha256: str, about: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write the card beside a weights file and return its path; a key of `tables` becomes the heading [key]."""
    lines = [*_lines(about), f'sha256 = "{sha256}"']
    for name, table in tables.items():
        lines += ["", f"[{name}]", *_lines(table)]
    path = card_path(weights)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in table.items()]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    return repr(value) if isinstance(value, int | float) else json.dumps(str(value), ensure_ascii=False)
