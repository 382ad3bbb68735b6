"""Read JSON, TOML and YAML that others made, as plain values of a bounded size and depth.

Separate from the archives because these are texts, whose danger is nesting, huge numbers and references.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

from hmpfit.errors import UnreadableFileError
from hmpfit.files.opening import DEPTH_MOST, DIGITS_MOST, MIB, TEXT_MOST, explained, read_text

TOML_MOST = 1 * MIB
YAML_MOST = 16 * MIB
_YAML_NODES = 1_000_000


def read_json(path: Path, most: int = TEXT_MOST) -> Any:
    """Return the content of a JSON file. Raises UnreadableFileError when it is missing, damaged, huge or too deep."""
    return parse_json(read_text(path, most), path)


def read_json_table(path: Path, most: int = TEXT_MOST) -> dict[str, Any]:
    """Return the content of a JSON file that holds an object. Raises UnreadableFileError as `read_json` does."""
    content = read_json(path, most)
    if not isinstance(content, dict):
        raise UnreadableFileError(path, f"it holds a {_kind(content)} where an object belongs")
    return content


def parse_json(text: str | bytes, path: Path) -> Any:
    """Return the content of a JSON text that stood in the file `path`. Raises UnreadableFileError."""
    with explained(path, "JSON"):
        return _shallow(json.loads(text, parse_int=_whole_number))


def read_toml(path: Path, most: int = TOML_MOST) -> dict[str, Any]:
    """Return the content of a TOML file. Raises UnreadableFileError when it is missing, damaged, huge or too deep."""
    text = read_text(path, most)
    with explained(path, "TOML"):
        content: dict[str, Any] = _shallow(tomllib.loads(text))
        return content


def parse_toml_value(text: str) -> Any:
    """Return the value of a TOML literal; raises ValueError for what is none."""
    try:
        content = _shallow(tomllib.loads(f"value = {text}"))
    except (RecursionError, tomllib.TOMLDecodeError) as error:
        raise ValueError(str(error)) from None
    if set(content) != {"value"}:
        raise ValueError("more than one value")
    return content["value"]


def read_yaml(path: Path, most: int = YAML_MOST) -> dict[str, Any]:
    """Return the table in a YAML file, of plain values. Raises UnreadableFileError.

    References that would expand to more than a million values are refused.
    """
    import yaml

    text = read_text(path, most)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, ten times faster
    with explained(path, "YAML"):
        content = load_yaml(text, loader)
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {_kind(content)} where a table belongs")
        return content


def load_yaml(text: str, loader: Any) -> Any:
    """Return the content of a YAML text by a safe loader. Raises yaml.YAMLError, ValueError and RecursionError."""
    import yaml

    _check_events(yaml.parse(text, loader))
    return _shallow(yaml.load(text, loader))


def _check_events(events: Any) -> None:
    """Count the values of a YAML text with its references expanded, before any of them is made."""
    import yaml

    named: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0

    def add(count: int) -> None:
        nonlocal total
        total += count
        if open_nodes:
            open_nodes[-1] = (open_nodes[-1][0], open_nodes[-1][1] + count)

    for event in events:
        if isinstance(event, yaml.AliasEvent):
            add(named.get(event.anchor, 1))
        elif isinstance(event, yaml.ScalarEvent):
            if event.anchor:
                named[event.anchor] = 1
            add(1)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, 1))
            if len(open_nodes) > DEPTH_MOST:
                raise RecursionError
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, count = open_nodes.pop()
            if anchor:
                named[anchor] = count
            add(count)
        if total > _YAML_NODES * (len(open_nodes) + 1):
            raise ValueError("its references expand to millions of values")


def _whole_number(digits: str) -> int:
    if len(digits) > DIGITS_MOST:
        raise ValueError(f"it holds a number of {len(digits)} digits")
    return int(digits)


def _shallow(content: Any) -> Any:
    """Return the content; raises RecursionError where lists and tables lie too deep within each other."""
    level = [content]
    for _ in range(DEPTH_MOST):
        inner: list[Any] = []
        for node in level:
            values = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
            inner.extend(value for value in values if isinstance(value, dict | list))
        if not inner:
            return content
        level = inner
    raise RecursionError


def _kind(content: Any) -> str:
    names = {list: "list", dict: "table", str: "text", int: "number", float: "number", type(None): "null"}
    return names.get(type(content), type(content).__name__)
