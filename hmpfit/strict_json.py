"""JSON that every parser reads: what commands print with --json and what run folders hold.

Separate and without numpy, because evaluation, exporters and commands all write figures, and some of these are NaN.
"""

import json
import math
from collections.abc import Mapping
from typing import Any


def to_json(values: Any, indent: int | None = None) -> str:
    """Return strict JSON of plain values and numpy's numbers; a number that is not finite becomes null."""
    return json.dumps(finite(values), indent=indent, allow_nan=False)


def finite(value: Any) -> Any:
    """Return the value with texts as keys, lists for tuples, Python's numbers, and None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
