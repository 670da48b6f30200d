"""What recipes of all kinds share: their files, their settings, and what is said of a wrong key."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError

from digit_recognizer.errors import DigitsError, did_you_mean, did_you_mean_path
from digit_recognizer.notebook import facts
from digit_recognizer.recipes.schema import DType, Precision
from digit_recognizer.recipes.suggestions import did_you_mean_key

NETWORK_FORM = "a list of layers, each in quotes, or 'module:function'"

Table = dict[str, Any]
R = TypeVar("R")


def packaged_names() -> list[str]:
    """Return the names of all packaged recipes, sorted."""
    names = (entry.name for entry in resources.files("digit_recognizer.recipes").iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """Return the TOML file of a packaged recipe, in any case; `DigitsError` if there is none of that name."""
    names = packaged_names()
    if name.lower() not in names:
        if Path(name).is_file():
            raise DigitsError(f"{name} is a file, but not a recipe by its name: rename it to end in .toml")
        expected = f"expected one of {', '.join(names)}, or a .toml file"
        near = did_you_mean_path(name, names) if os.sep in name else did_you_mean(name, names)
        raise DigitsError(f"there is no recipe {name!r}: {expected}{near}")
    return (resources.files("digit_recognizer.recipes") / f"{name.lower()}.toml").read_text("utf-8")


def read_text(name: str | Path) -> str:
    """Return the TOML of a recipe by its name, or of a file that ends in ``.toml``."""
    if not str(name).endswith(".toml"):
        return recipe_text(str(name))
    try:
        return Path(name).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        near = did_you_mean_path(name, packaged_names()) if isinstance(error, FileNotFoundError) else ""
        raise DigitsError(f"cannot read the recipe {name}: {reason}{near}") from error


def parse(text: str, where: str) -> Table:
    """Return the table that TOML says; `where` names it in error messages."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also for a number that is too long, or lists too deep
        raise DigitsError(f"{where}: not valid TOML: {error}") from error


def as_table(recipe: Any) -> Table:
    """Return a recipe as nested tables, without the keys that are absent."""
    return {key: value for key, value in asdict(recipe).items() if value not in (None, ())}


def to_toml(recipe: Any) -> str:
    """Write a recipe as TOML."""
    import tomli_w

    table = as_table(recipe)
    dtypes = set(table["precision"].values())
    if len(dtypes) == 1:
        table["precision"] = dtypes.pop()
    return tomli_w.dumps(table)


def to_html(recipe: Any) -> str:
    """Return a recipe as a table of its settings, for a notebook, named as ``with_settings`` takes them."""
    return facts(_settings(as_table(recipe)))


def _settings(table: Table, parents: str = "") -> Iterator[tuple[str, str]]:
    """Yield the keys and values of nested tables; a network has a line for each layer."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{parents}{key}.")
        elif isinstance(value, tuple):
            yield (
                f"{parents}{key}",
                "\n".join(each if isinstance(each, str) else ", ".join(each) for each in value),
            )
        elif value != "":
            yield f"{parents}{key}", str(value)


def as_precision(value: Any) -> Any:
    """Return the table that a single data type stands for."""
    if isinstance(value, dict | Precision):
        return value
    if value not in get_args(DType):
        raise DigitsError(f"expected {', '.join(get_args(DType))}, or a table of these")
    return Precision(value, value, value)


def change(table: Table, settings: Iterable[str]) -> Table:
    """Apply settings to a recipe's table, in place; each value is read as TOML, or else as a string."""
    for setting in settings:
        key, equals, value = setting.partition("=")
        *parents, last = key.strip().split(".")
        if not equals or not last:
            raise DigitsError(f"expected a setting such as epochs=3, got {setting!r}")
        inner = table
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise DigitsError(f"setting {setting!r}: {parent!r} is not a table")
        try:
            inner[last] = tomllib.loads(f"value = {value}")["value"]
        except (ValueError, RecursionError):
            inner[last] = value.strip()
    return table


def validate(adapter: TypeAdapter[R], kind: type, table: Table, where: str) -> R:
    """Return the recipe of a kind that a table says; `where` names it in error messages."""
    for key in {"network", "networks"} & table.keys():
        table[key] = _as_tuple(table[key])  # TOML has lists, but a frozen recipe holds tuples
    try:
        return adapter.validate_python(table)
    except ValidationError as error:
        explained = (_explain(dict(problem), kind) for problem in error.errors())
        unique = dict.fromkeys(explained)  # a union repeats a problem for each of its types
        raise DigitsError(f"{where}: {'; '.join(unique)}") from error


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(part) for part in value) if isinstance(value, list) else value


def _explain(problem: dict[str, Any], recipe_type: type) -> str:
    """Return one of pydantic's problems in terms of the file."""
    place = [str(part) for part in problem["loc"]]
    if len(place) > 2 and place[0] in ("optimizer", "schedule"):
        del place[1]  # the chosen kind, which is no key of the file
    key = ".".join(place)
    kind = problem["type"]
    if kind == "missing":
        return f"the key {key!r} is missing"
    if kind == "union_tag_not_found":
        return f"the key '{key}.name' is missing"
    if key and place[0] == "network":
        return f"network: expected {NETWORK_FORM}"
    if key and place[0] == "networks":
        return f"networks: expected a list whose entries are {NETWORK_FORM}"
    if kind == "unexpected_keyword_argument":
        return f"there is no key {key!r}{did_you_mean_key(key, recipe_type)}"
    if kind == "union_tag_invalid":
        return f"{key}.name: expected {problem['ctx']['expected_tags']}, got {problem['ctx']['tag']!r}"
    message: str = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {message[0].lower()}{message[1:]}, got {problem['input']!r}" if key else message
