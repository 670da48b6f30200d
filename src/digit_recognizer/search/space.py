"""Which settings are searched, in which ranges, and what cannot be searched. Needs no torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from math import inf, isfinite
from pathlib import Path
from typing import Any

from digit_recognizer.errors import DigitsError
from digit_recognizer.recipes import Recipe
from digit_recognizer.runs.run_folder import holds_training

RANGE_FACTOR = 4.0  # a default range extends from a recipe's value by this factor each way
LOGARITHMIC_RATIO = 10  # of the ends of a range, from which it is searched on a logarithmic scale
BY_FACTOR = ("learning_rate", "weight_decay", "vectors")
BY_DISTANCE_TO_ONE = ("beta_1", "beta_2", "momentum", "rho")
BATCH_SIZE = "batch_size"

Value = float | int


@dataclass(frozen=True, slots=True)
class Range:
    """The range in which a setting is searched; integer ends search integers."""

    key: str  # such as optimizer.learning_rate
    low: Value
    high: Value
    logarithmic: bool = False


def default_ranges(recipe: Recipe, fixed: Collection[str] = (), max_batch: int | None = None) -> list[Range]:
    """Return the settings that are searched unless others are named, without the fixed ones.

    Learning rate, weight decay and the like: a factor of four each way. Momentum and betas: the same for
    their distance to 1. Augmentation, label smoothing and warm-up: from zero to twice the value. Batch size:
    a factor of two each way.
    """
    found = (_range_around(key, value) for key, value in _values(recipe).items() if key not in fixed)
    ranges = [each for each in found if each is not None]
    if max_batch is None:
        return ranges
    return [
        replace(each, high=min(each.high, max_batch)) if each.key == BATCH_SIZE else each for each in ranges
    ]


def parse_ranges(texts: Iterable[str]) -> list[Range]:
    """Parse ranges such as ``optimizer.learning_rate=0.001..0.1`` or ``batch_size=64..512``.

    Ranges are logarithmic if both ends are positive and their ratio is ten or more.
    """
    return [_parse_range(text) for text in texts]


def check_ranges(
    recipe: Recipe, ranges: Iterable[Range], fixed: Collection[str], images: float = inf
) -> tuple[Range, ...]:
    """Return ranges whose ends have the type of the setting, float or int.

    Raises `DigitsError` if a setting is unknown, named twice, fixed, out of range or not a number, if its
    trials could not be compared, or if a batch is larger than the number of training `images`, if known.
    """
    checked: list[Range] = []
    for each in ranges:
        _check_key(recipe, each.key, [other.key for other in checked], fixed)
        low, high = (_values(apply(recipe, {each.key: end}))[each.key] for end in (each.low, each.high))
        if each.key == BATCH_SIZE and high > images:
            raise DigitsError(
                f"{each.key}={low}..{high}: the upper end can be at most {images}, the number of training "
                "images"
            )
        checked.append(replace(each, low=low, high=high))
    return tuple(checked)


def check_holds_out(recipe: Recipe) -> None:
    """Raise `DigitsError` if a recipe holds out no images."""
    if not recipe.split.validation:
        raise DigitsError(
            f"{recipe.name} holds out no images to evaluate trials on: add --set split.validation=0.1"
        )


def check_study_folder(folder: Path) -> None:
    """Raise `DigitsError` if a study cannot be in a folder."""
    if not folder.name:
        raise DigitsError(f"{str(folder)!r} cannot hold a study: name a folder, such as --out runs/tuned")
    if holds_training(folder):
        raise DigitsError(
            f"{folder} holds a run or a cross-validation: choose another folder for the study, with --out"
        )


def own_values(recipe: Recipe, ranges: Iterable[Range]) -> dict[str, Value]:
    """Return a recipe's values of the searched settings, without those outside of their ranges."""
    values = _values(recipe)
    return {
        each.key: values[each.key]
        for each in ranges
        if each.key in values and each.low <= values[each.key] <= each.high
    }


def apply(recipe: Recipe, values: Mapping[str, Value]) -> Recipe:
    """Return a recipe with other values; raises `DigitsError` if a key is unknown or a value out of range."""
    return recipe.with_settings(f"{key}={value}" for key, value in values.items())


def _check_key(recipe: Recipe, key: str, seen: Collection[str], fixed: Collection[str]) -> None:
    """Raise `DigitsError` if a setting cannot be searched."""
    if key in seen:
        raise DigitsError(f"{key} has two ranges: name it once")
    if key in fixed:
        raise DigitsError(f"{key} is both set and searched: use either --set or --search")
    if key.startswith("split."):
        raise DigitsError(
            f"{key} cannot be searched: it determines the validation images, and errors on different images "
            "cannot be compared"
        )
    if not _is_number(_values(recipe).get(key, 0)):
        raise DigitsError(f"{key} is not a number, so it cannot be searched")


def _values(recipe: Recipe) -> dict[str, Any]:
    """Return all values of a recipe under their dotted keys, tables included."""
    return _flatten(asdict(recipe))


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in table.items():
        values[prefix + key] = value
        if isinstance(value, Mapping):
            values |= _flatten(value, f"{prefix}{key}.")
    return values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _range_around(key: str, value: Any) -> Range | None:
    """Return the default range of a setting; None if it is not searched by default."""
    table, _, name = key.rpartition(".")
    if not (_is_number(value) and value):
        return None
    if key == BATCH_SIZE:
        return Range(key, max(1, int(value) // 2), int(value) * 2, logarithmic=True)
    if table == "augmentation" or key in ("label_smoothing", "schedule.warmup"):
        return Range(key, 0.0, float(min(2 * value, 180 if name == "rotation" else 0.9)))
    if table != "optimizer":
        return None
    if name in BY_DISTANCE_TO_ONE:
        distance = 1 - float(value)
        return Range(key, max(0.0, 1 - distance * RANGE_FACTOR), 1 - distance / RANGE_FACTOR)
    if name in BY_FACTOR:
        return Range(key, value / RANGE_FACTOR, value * RANGE_FACTOR, logarithmic=True)
    return None


def _parse_range(text: str) -> Range:
    key, equals, ends = text.partition("=")
    low_text, dots, high_text = (part.strip() for part in ends.partition(".."))
    try:
        if not (equals and dots and key.strip()):
            raise ValueError(text)
        number = int if low_text.isdecimal() and high_text.isdecimal() else float
        low, high = number(low_text), number(high_text)
        if not (isfinite(low) and isfinite(high)):
            raise ValueError(text)
    except ValueError:
        raise DigitsError(
            f"expected a range such as optimizer.learning_rate=0.001..0.1, got {text!r}"
        ) from None
    if low >= high:
        raise DigitsError(f"the lower end of a range must be below the upper, got {text!r}")
    return Range(key.strip(), low, high, logarithmic=low > 0 and high / low >= LOGARITHMIC_RATIO)
