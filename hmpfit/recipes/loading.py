"""Read recipes and apply `--set` to them; a misspelt key is an error, never a term that silently drops out."""

import copy
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hmpfit.errors import InputError, UnknownNameError, UnreadableFileError
from hmpfit.files.structured import parse_toml_value, read_toml
from hmpfit.recipes.checking import check_recipe, kind_of, recipe_of, table_of
from hmpfit.recipes.ranges import check_ranges
from hmpfit.recipes.schema import Recipe

Table = dict[str, Any]

log = logging.getLogger("hmpfit")

_FOLDER = Path(__file__).parent
# Keys of earlier versions, read for one more version: what each is called now, by the table it lies in.
_RENAMED = {
    "": {"apart": "resolve_penetration"},
    "resolve_penetration": {"looks": "iterations", "skin_m": "clearance_m", "firmness": "weight_factor"},
    "prior": {"numbers": "latent_dim"},
    "keypoints": {"drop_covered": "weigh_covered"},
}


def recipe_names() -> tuple[str, ...]:
    """List the shipped recipes, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_recipe(name_or_path: str | Path, with_options: bool = True) -> Recipe:
    """Read a shipped recipe by name, or a user's TOML file by path.

    What a file leaves out is taken from `default`, table by table and key by key; `stages`, where given, replace the
    default's stages altogether. Assignments in `set`, as `--set` takes them, are applied last. `with_options` False
    leaves out the options of the stages' terms, whose records are read with torch. Raises UnknownNameError for an
    unknown recipe or key, InputError for a file that cannot be read or a value of the wrong type.
    """
    text, read = str(name_or_path), _read if with_options else _read_without_options
    if text in recipe_names():
        path = _FOLDER / f"{text}.toml"
    elif text.endswith(".toml") or "/" in text:
        path = Path(text)
    else:
        raise UnknownNameError("recipe", text, recipe_names())
    own = _renamed(read(path))
    check_recipe(own)
    table = own if path.stem == "default" and path.parent == _FOLDER else _merged(read(_FOLDER / "default.toml"), own)
    table["name"] = own.get("name", path.stem)
    return recipe_of(_assigned(table, table.pop("set", ())))


def apply_overrides(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """Return a copy of the recipe with assignments such as `stages.1.weights.prior=200` applied.

    A number in the path is a 0-based place in a list; the value is a TOML literal (a bare word counts as a string)
    of the type that the schema says. Raises InputError or UnknownNameError.
    """
    return recipe_of(_assigned(table_of(recipe), assignments))


def _assigned(table: Table, assignments: Iterable[str]) -> Table:
    changed = copy.deepcopy(table)
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
                raise InputError(f"--set {path}: the recipe holds {kind_of(node[last])} there, not {kind_of(value)}.")
            node[last] = value
        else:
            raise InputError(f"--set {path}: '{'.'.join(keys[:-1])}' is a single value and has no key '{last}'.")
        check_recipe(changed)
    check_ranges(changed)
    return changed


def _read(path: Path) -> Table:
    try:
        return read_toml(path)
    except UnreadableFileError as error:
        if not path.exists():
            raise InputError(
                f"There is no recipe file '{path}'; shipped recipes: {', '.join(recipe_names())}."
            ) from None
        raise InputError(f"Recipe file '{path}' cannot be read as TOML: {error.reason}.") from None


def _read_without_options(path: Path) -> Table:
    table = _read(path)
    stages = table.get("stages")
    for stage in stages if isinstance(stages, list) else ():
        if isinstance(stage, dict):
            stage.pop("options", None)
    return table


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


def _merged(base: Table, own: Table) -> Table:
    merged = dict(base)
    for key, value in own.items():
        merged[key] = _merged(base[key], value) if isinstance(value, dict) and key in base else value
    return merged


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
