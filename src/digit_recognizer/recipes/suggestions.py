"""What a user probably meant by a key of a recipe that does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

from digit_recognizer.errors import did_you_mean

ABBREVIATIONS = {"bs": "batch_size", "lr": "learning_rate", "wd": "weight_decay"}


def did_you_mean_key(key: str, recipe_type: type) -> str:
    """Return the same for a key of a recipe, such as ``learning_rate`` for ``optimizer.learning_rate``."""
    known = list(dict.fromkeys(_keys_of(recipe_type)))
    table, _, last = key.rpartition(".")
    if key in known:
        return f"; it belongs to another {table}.name"
    last = ABBREVIATIONS.get(last.lower(), last)
    same_name = [each for each in known if each.rpartition(".")[2] == last]
    if same_name:
        return f"; did you mean {same_name[0]!r}?"
    beside = [each for each in known if each.rpartition(".")[0] == table]
    elsewhere = [] if table in known else known
    return did_you_mean(key, beside) or did_you_mean(key, elsewhere) or _by_last_part(last, elsewhere)


def _by_last_part(last: str, known: list[str]) -> str:
    nearest = get_close_matches(last, [each.rpartition(".")[2] for each in known], n=1)
    return f"; did you mean {_with_last_part(nearest[0], known)!r}?" if nearest else ""


def _with_last_part(last: str, known: list[str]) -> str:
    return next(each for each in known if each.rpartition(".")[2] == last)


def _keys_of(recipe_type: type, table: str = "") -> Iterator[str]:
    """Yield all keys of a recipe, with those of every kind of optimizer and schedule."""
    hints = get_type_hints(recipe_type)
    for each in fields(recipe_type):
        yield f"{table}{each.name}"
        for inner in _tables_in(hints[each.name]):
            yield from _keys_of(inner, f"{table}{each.name}.")


def _tables_in(hint: Any) -> Iterator[type]:
    """Yield the dataclasses in a type such as ``Adam | Muon`` or ``Shifts | None``."""
    if is_dataclass(hint) and isinstance(hint, type):
        yield hint
    for inner in get_args(hint):
        yield from _tables_in(inner)
