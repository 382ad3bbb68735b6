"""Check a recipe against its schema: an unknown key or a value of another type is one sentence with what would do.

Separate from the schema, which is data, and from loading, which reads files.
"""

import dataclasses
import math
import typing
from typing import Any, Literal

import msgspec

from hmpfit import registry
from hmpfit.errors import InputError, UnknownNameError
from hmpfit.recipes.schema import Recipe


def check_recipe(recipe: dict[str, Any]) -> None:
    """Check every key and value of a recipe.

    Raises UnknownNameError, listing the known keys, and InputError for a value of the wrong type.
    """
    _check_record(recipe, Recipe, "")


def recipe_of(table: dict[str, Any]) -> Recipe:
    """Return the record of a table that was checked; options become the records that their terms declare."""
    recipe = msgspec.convert(table, Recipe)
    stages = [dataclasses.replace(stage, options=_options_of(stage.options)) for stage in recipe.stages]
    return dataclasses.replace(recipe, stages=stages, set=[])


def table_of(recipe: Recipe) -> dict[str, Any]:
    """Return the table of plain values that a recipe stands for, as `result.json` holds it."""
    table: dict[str, Any] = msgspec.to_builtins(recipe)
    table.pop("set")
    return table


def _options_of(options: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {name: msgspec.convert(given, registry.load("terms", name).options) for name, given in options.items()}


def _check_record(value: Any, kind: type[Any], where: str) -> None:
    if not isinstance(value, dict):
        raise InputError(f"Recipe key '{where.rstrip('.')}' must be a table, not {kind_of(value)}.")
    known = typing.get_type_hints(kind)
    for key, item in value.items():
        if key not in known:
            raise UnknownNameError(f"recipe key in [{where.rstrip('.') or 'top level'}]", key, known)
        _check_value(item, known[key], f"{where}{key}", key)


def _check_value(value: Any, hint: Any, path: str, key: str) -> None:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        _check_record(value, hint, f"{path}.")
    elif origin is dict:
        _check_terms(value, arguments[1], path, key)
    elif origin is list and dataclasses.is_dataclass(arguments[0]):
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            raise InputError(f"Recipe key '{path}' must be a list of tables, not {kind_of(value)}.")
        for place, item in enumerate(value):
            _check_value(item, arguments[0], f"{path}.{place}", key)
    else:
        _check_leaf(value, hint, path)


def _check_terms(value: Any, hint: Any, path: str, key: str) -> None:
    """Check a table by the names of terms: weights, kernels or options."""
    if not isinstance(value, dict):
        raise InputError(f"Recipe key '{path}' must be a table, not {kind_of(value)}.")
    known = registry.names("terms")
    for term, item in value.items():
        if term not in known:
            raise UnknownNameError(f"recipe key in [{path}]", term, known)
        if key == "options":
            _check_record(item, registry.load("terms", term).options, f"{path}.{term}.")
        else:
            _check_value(item, hint, f"{path}.{term}", term)


def _check_leaf(value: Any, hint: Any, path: str) -> None:
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError:
        choices = _choices(hint)
        if choices and isinstance(value, str):
            raise UnknownNameError(f"value of recipe key '{path}'", value, choices) from None
        if choices and isinstance(value, list):
            wrong = next((one for one in value if one not in choices), value)
            raise UnknownNameError(f"value in recipe key '{path}'", str(wrong), choices) from None
        raise InputError(f"Recipe key '{path}' must be {_wanted(hint)}, not {kind_of(value)}.") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"Recipe key '{path}' must be a finite number, not {value}.")


def _choices(hint: Any) -> tuple[str, ...]:
    inner = typing.get_args(hint)[0] if typing.get_origin(hint) is list else hint
    return typing.get_args(inner) if typing.get_origin(inner) is Literal else ()


def _wanted(hint: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    given = [option for option in typing.get_args(hint) if option is not type(None)]
    if type(None) in typing.get_args(hint):
        return _wanted(given[0])
    if typing.get_origin(hint) is list:
        return f"a list ({_wanted(typing.get_args(hint)[0])} each)"
    return names.get(hint, "a text")


def kind_of(value: Any) -> str:
    """Return what a value from TOML is, in words."""
    if isinstance(value, list):
        return f"a list ({kind_of(value[0])} each)" if value else "a list"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", dict: "a table"}
    return names.get(type(value), f"a {type(value).__name__}")
