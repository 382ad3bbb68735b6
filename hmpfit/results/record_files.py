"""Any frozen record <-> one npz, field by field: the format of the stage files inside a run folder.

Separate from `npz.py`, whose keys are a public contract; these follow the records and may change with any version.
Arrays are npz entries named by their path (`tracks.xy_px`); everything else lies in one JSON text. No pickle.
"""

import dataclasses
import io
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_npz
from hmpfit.files.structured import parse_json

Record = TypeVar("Record")

_PLAIN = "plain"  # the JSON entry; no field path can collide with it, because records name theirs otherwise


def save_record(path: Path, record: Any) -> None:
    """Write a frozen dataclass of arrays, numbers, texts, None, tuples, dicts and nested dataclasses to an npz.

    Raises TypeError for a field of any other type.
    """
    arrays: dict[str, np.ndarray] = {}
    plain = _flatten(record, "", arrays)
    write_npz(path, {_PLAIN: np.array(json.dumps(plain)), **arrays})


def load_record(path: Path, kind: type[Record]) -> Record:
    """Read a record of the given dataclass back from `save_record`'s npz.

    Raises InputError when the file is damaged or holds another kind of record.
    """
    try:
        arrays = read_npz(path)
        plain = parse_json(str(arrays.pop(_PLAIN, "{}")), path)
        return typing.cast(Record, _build(kind, plain, "", arrays))
    except UnreadableFileError as error:
        raise InputError(f"'{path}' is damaged or not a {kind.__name__} file: {error.reason}.") from None
    except (LookupError, ValueError, TypeError, AttributeError) as error:  # of a field that is missing or another one
        raise InputError(f"'{path}' is damaged or not a {kind.__name__} file ({error}).") from None


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to an npz in one go: an archive cut short by a full disk would complain again when collected."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    path.write_bytes(buffer.getbuffer())


def _flatten(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"array": path}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        prefix = f"{path}." if path else ""
        return {f.name: _flatten(getattr(value, f.name), prefix + f.name, arrays) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _flatten(item, f"{path}.{key}", arrays) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_flatten(item, f"{path}.{place}", arrays) for place, item in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"field '{path}' is a {type(value).__name__}, which a stage file cannot hold")


def _build(kind: Any, value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """Convert a stored value to the type of the record's annotation."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        if value is None:
            return None
        kind = next(option for option in typing.get_args(kind) if option is not type(None))
    if isinstance(value, dict) and set(value) == {"array"} and value["array"] in arrays:
        return arrays[value["array"]]
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        fields = {
            f.name: _build(hints[f.name], value[f.name], f"{path}.{f.name}", arrays) for f in dataclasses.fields(kind)
        }
        return kind(**fields)  # type: ignore[operator]
    if typing.get_origin(kind) is tuple:
        options = typing.get_args(kind)
        same = len(options) == 2 and options[1] is Ellipsis
        return tuple(_build(options[0 if same else i], item, f"{path}.{i}", arrays) for i, item in enumerate(value))
    if isinstance(value, dict):
        options = typing.get_args(kind)
        item_kind = options[1] if len(options) == 2 else Any
        return {key: _build(item_kind, item, f"{path}.{key}", arrays) for key, item in value.items()}
    if isinstance(value, list):
        return [_build(Any, item, f"{path}.{i}", arrays) for i, item in enumerate(value)]
    return value
