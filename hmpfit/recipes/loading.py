"""Reads recipes and applies `--set` to them; a misspelt key is an error, never a term that silently drops out.

The shipped recipes are the schema: a key is known when one of them uses it. Tables of terms know the registry's names.
"""

import copy
import logging
import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from hmpfit import registry
from hmpfit.errors import InputError, UnknownNameError, UnreadableFileError
from hmpfit.files.structured import parse_toml_value, read_toml

Recipe = dict[str, Any]

log = logging.getLogger("hmpfit")

_FOLDER = Path(__file__).parent
# Keys of earlier versions, read for one more version: what each is called now, by the table it lies in.
_RENAMED = {
    "": {"apart": "resolve_penetration"},
    "resolve_penetration": {"looks": "iterations", "skin_m": "clearance_m", "firmness": "weight_factor"},
    "prior": {"numbers": "latent_dim"},
}
_BY_TERM = ("weights", "kernels")  # tables of a stage whose keys are names of terms


def recipe_names() -> tuple[str, ...]:
    """List the shipped recipes, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a shipped recipe by name, or a user's TOML file by path.

    What a file leaves out is taken from `default`, table by table and key by key; `stages`, where given, replace the
    default's stages altogether. Assignments in `set`, as `--set` takes them, are applied last. Raises UnknownNameError
    for an unknown recipe or key, InputError for a file that cannot be read or a value of the wrong type.
    """
    text = str(name_or_path)
    if text in recipe_names():
        path = _FOLDER / f"{text}.toml"
    elif text.endswith(".toml") or "/" in text:
        path = Path(text)
    else:
        raise UnknownNameError("recipe", text, recipe_names())
    own = _renamed(_read(path))
    _check(own, _schema(), where="")
    recipe = own if path.stem == "default" and path.parent == _FOLDER else _merged(_read(_FOLDER / "default.toml"), own)
    recipe["name"] = own.get("name", path.stem)
    return apply_overrides(recipe, recipe.pop("set", ()))


def apply_overrides(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """Return a copy of the recipe with assignments such as `stages.1.weights.prior=200` applied.

    A number in the path is a 0-based place in a list; the value is a TOML literal (a bare word counts as a string)
    of the type that the key holds in the shipped recipes. Raises InputError or UnknownNameError.
    """
    changed = copy.deepcopy(recipe)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        keys = _renamed_path(path.strip().split("."))
        if not equals or not all(keys):
            raise InputError(f"--set needs KEY=VALUE, such as stages.1.weights.prior=200; got '{assignment}'.")
        node: Any = changed
        for depth, key in enumerate(keys[:-1]):
            node = _child(node, key, ".".join(keys[:depth]))
        last = keys[-1]
        value = _literal(text)
        if isinstance(node, list):
            node[_place(node, last, ".".join(keys[:-1]))] = value
        elif isinstance(node, dict):
            if isinstance(node.get(last), dict) != isinstance(value, dict) and last in node:
                raise InputError(f"--set {path}: the recipe holds {_kind(node[last])} there, not {_kind(value)}.")
            node[last] = value
        else:
            raise InputError(f"--set {path}: '{'.'.join(keys[:-1])}' is a single value and has no key '{last}'.")
        _check(changed, _schema(), where="")
    return changed


def _read(path: Path) -> Recipe:
    try:
        return read_toml(path)
    except UnreadableFileError as error:
        if not path.exists():
            raise InputError(
                f"There is no recipe file '{path}'; shipped recipes: {', '.join(recipe_names())}."
            ) from None
        raise InputError(f"Recipe file '{path}' cannot be read as TOML: {error.reason}.") from None


def _renamed(table: Any, where: str = "") -> Any:
    """Return a recipe with its keys of earlier versions called as they are now; each is warned of."""
    if isinstance(table, list):
        return [_renamed(item, where) for item in table]
    if not isinstance(table, dict):
        return table
    now = {_name_now(key, where): value for key, value in table.items()}
    return {key: _renamed(value, key) for key, value in now.items()}


def _renamed_path(keys: list[str]) -> list[str]:
    out: list[str] = []
    for key in keys:
        out.append(_name_now(key, out[-1] if out else ""))
    return out


def _name_now(key: str, where: str) -> str:
    now = {**_RENAMED[""], **_RENAMED.get(where, {})}.get(key, key)
    if now != key:
        log.warning("The recipe key '%s' is called '%s' now; the next version no longer reads the old name.", key, now)
    return now


def _merged(base: Recipe, own: Recipe) -> Recipe:
    merged = dict(base)
    for key, value in own.items():
        merged[key] = _merged(base[key], value) if isinstance(value, dict) and key in base else value
    return merged


@cache
def _schema() -> dict[str, Any]:
    """Union of the shipped recipes: tables as dicts, lists of tables as one-element lists, leaves as examples."""
    known: dict[str, Any] = {}
    for name in recipe_names():
        _extend(known, _read(_FOLDER / f"{name}.toml"))
    return known


def _extend(known: dict[str, Any], table: dict[str, Any]) -> None:
    for key, value in table.items():
        if isinstance(value, dict):
            _extend(known.setdefault(key, {}), value)
        elif _is_tables(value):
            (item,) = known.setdefault(key, [{}])
            for element in value:
                _extend(item, element)
        else:
            known.setdefault(key, []).append(value)


def _check(table: dict[str, Any], known: dict[str, Any], where: str) -> None:
    for key, value in table.items():
        path = f"{where}{key}"
        if key not in known:
            raise UnknownNameError(f"recipe key in [{where.rstrip('.') or 'top level'}]", key, known)
        expected = known[key]
        if isinstance(expected, dict):
            if not isinstance(value, dict):
                raise InputError(f"Recipe key '{path}' must be a table, not {_kind(value)}.")
            _check(value, _terms(expected) if key in _BY_TERM else expected, f"{path}.")
        elif _is_tables(expected):
            if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
                raise InputError(f"Recipe key '{path}' must be a list of tables, not {_kind(value)}.")
            for place, item in enumerate(value):
                _check(item, expected[0], f"{path}.{place}.")
        elif not any(_same_type(value, example) for example in expected):
            kinds = " or ".join(sorted({_kind(example) for example in expected}))
            raise InputError(f"Recipe key '{path}' must be {kinds}, not {_kind(value)}.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"Recipe key '{path}' must be a finite number, not {value}.")


def _terms(examples: dict[str, Any]) -> dict[str, Any]:
    """What a table of terms may hold: every registered term, each like the examples seen in shipped recipes."""
    tables = [value for value in examples.values() if isinstance(value, dict)]
    if not tables:
        return {term: [0.0] for term in registry.names("terms")}
    like: dict[str, Any] = {}
    for table in tables:
        for key, leaves in table.items():
            like.setdefault(key, []).extend(leaves)
    return {term: like for term in registry.names("terms")}


def _same_type(value: Any, example: Any) -> bool:
    if isinstance(example, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(example, bool)
    if isinstance(example, float):
        return isinstance(value, int | float)
    if isinstance(example, list):
        return isinstance(value, list) and all(_same_type(item, example[0]) for item in value if example)
    return isinstance(value, type(example))


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(item, dict) for item in value)


def _literal(text: str) -> Any:
    try:
        return parse_toml_value(text.strip())
    except ValueError:
        return text.strip()


def _child(node: Any, key: str, where: str) -> Any:
    if isinstance(node, list):
        return node[_place(node, key, where)]
    if not isinstance(node, dict) or key not in node:
        known = node if isinstance(node, dict) else ()
        raise UnknownNameError(f"recipe key in [{where or 'top level'}]", key, known)
    return node[key]


def _place(items: list[Any], key: str, where: str) -> int:
    if not key.isdecimal() or int(key) >= len(items):
        raise UnknownNameError(f"place in the recipe's list '{where}'", key, map(str, range(len(items))))
    return int(key)


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return f"a list ({_kind(value[0])} each)" if value else "a list"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", dict: "a table"}
    return names.get(type(value), f"a {type(value).__name__}")
