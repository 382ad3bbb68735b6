"""Fingerprints of inputs and settings: equal content gives equal text on any machine, and decides what is stale.

Separate from the run folder because pipelines and priors fingerprint things that never lie in one.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.files.opening import explained, open_regular


def fingerprint(*parts: Any) -> str:
    """Return 16 hex digits that depend on the value of the parts alone.

    Parts are nested dicts, lists, tuples, dataclasses, numpy arrays, texts, numbers and None; dict order is ignored.
    Raises TypeError for anything else, so that no address in memory ever enters a fingerprint.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_fingerprint(path: Path) -> str:
    """Return 16 hex digits of a file's content, or of the names and contents of a folder's files."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(item for item in path.iterdir() if item.is_file())
    for file in files:
        if file != path:
            digest.update(file.name.encode())
        with explained(file), open_regular(file) as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return {"array": content, "dtype": value.dtype.str, "shape": value.shape}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"cannot fingerprint a {type(value).__name__}")
