"""Which settings of a recipe are searched, and where."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

from digit_recognizer.errors import DigitsError
from digit_recognizer.recipes.recipe import Recipe, recipe_from_toml, recipe_to_toml

EACH_WAY = 4.0  # how far around a recipe's own value is searched, as a factor
FAR = 10  # ends of a range that lie so far apart, as a factor, are searched on a logarithmic scale
NEAR_ONE = ("beta_1", "beta_2", "momentum", "rho")
AROUND = ("learning_rate", "weight_decay", "vectors")
BATCH_SIZE = "batch_size"
SEARCHED = (BATCH_SIZE, "label_smoothing")

Value = float | int


@dataclass(frozen=True, slots=True)
class Range:
    """Where a setting is searched.

    Attributes
    ----------
    key
        Such as ``optimizer.learning_rate``.
    low, high
        Whole numbers search whole numbers.
    logarithmic
        Whether each factor counts alike, instead of each difference.
    """

    key: str
    low: Value
    high: Value
    logarithmic: bool = False


def settings_of(recipe: Recipe) -> list[Range]:
    """Return the settings of a recipe that are searched unless others are named, with their ranges.

    Learning rate, weight decay and the like: a factor of four each way, and momentum and betas the same in
    their distance to 1. Augmentation and label smoothing: up to twice as much. Batch size: a factor of two.
    """
    values = _values(recipe)
    return [found for key, value in values.items() if (found := _range_around(key, value)) is not None]


def ranges_around(recipe: Recipe, fixed: Collection[str], images: int) -> list[Range]:
    """Return `settings_of` a recipe without those that are fixed, no batch larger than the images."""
    ranges = [each for each in settings_of(recipe) if each.key not in fixed]
    return [replace(each, high=min(each.high, images)) if each.key == BATCH_SIZE else each for each in ranges]


def parse_ranges(texts: Iterable[str]) -> list[Range]:
    """Read ranges such as ``optimizer.learning_rate=0.001..0.1`` or ``batch_size=64..512``.

    Both ends positive and far apart (ten times or more): searched on a logarithmic scale.

    Raises
    ------
    DigitsError
        One is not understood.
    """
    return [_parse_range(text) for text in texts]


def check_ranges(
    recipe: Recipe, ranges: Iterable[Range], fixed: Collection[str], images: int
) -> tuple[Range, ...]:
    """Return ranges with their ends as the recipe has them: a float where the setting is one.

    Raises
    ------
    DigitsError
        A setting is unknown, named twice, fixed, out of range, no number, or cannot be compared; a batch is
        larger than there are training images.
    """
    checked: list[Range] = []
    for each in ranges:
        _check_key(recipe, each.key, [other.key for other in checked], fixed)
        low, high = (_values(changed(recipe, {each.key: end}))[each.key] for end in (each.low, each.high))
        if each.key == BATCH_SIZE and high > images:
            raise DigitsError(
                f"{each.key}={low}..{high}: there are {images} training images, so the upper end can be "
                f"{images} at most"
            )
        checked.append(replace(each, low=low, high=high))
    return tuple(checked)


def own_values(recipe: Recipe, ranges: Iterable[Range]) -> dict[str, Value]:
    """Return a recipe's own values of what is searched, where they lie in their ranges."""
    values = _values(recipe)
    return {
        each.key: values[each.key]
        for each in ranges
        if each.key in values and each.low <= values[each.key] <= each.high
    }


def changed(recipe: Recipe, settings: Mapping[str, Value]) -> Recipe:
    """Return a recipe with other settings; `DigitsError` where one is unknown or out of range."""
    changes = [f"{key}={value}" for key, value in settings.items()]
    return recipe_from_toml(recipe_to_toml(recipe), recipe.name, changes)


def _check_key(recipe: Recipe, key: str, seen: Collection[str], fixed: Collection[str]) -> None:
    """Raise `DigitsError` where a setting that the recipe may have cannot be searched."""
    if key in seen:
        raise DigitsError(f"{key} cannot be searched twice")
    if key in fixed:
        raise DigitsError(f"{key} is to be set and to be searched: name it with --set or with --search")
    if key.startswith("split."):
        raise DigitsError(
            f"{key} cannot be searched: it decides which images judge a trial, and errors on other images "
            "say nothing about which settings are better"
        )
    if not _is_number(_values(recipe).get(key, 0)):
        raise DigitsError(f"{key} is no number that can be searched")


def _values(recipe: Recipe) -> dict[str, Any]:
    """Return all values of a recipe under their dotted keys, its tables too."""
    return _flat(asdict(recipe))


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in table.items():
        values[prefix + key] = value
        if isinstance(value, Mapping):
            values |= _flat(value, f"{prefix}{key}.")
    return values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _range_around(key: str, value: Any) -> Range | None:
    """Return where a setting is searched by default; None where it is left as it is."""
    section, _, name = key.rpartition(".")
    if section not in ("optimizer", "augmentation", "schedule") and key not in SEARCHED:
        return None
    if not (_is_number(value) and value):
        return None
    if key == BATCH_SIZE:
        return Range(key, max(1, int(value) // 2), int(value) * 2, logarithmic=True)
    if name in NEAR_ONE:
        away = 1 - float(value)
        return Range(key, max(0.0, 1 - away * EACH_WAY), 1 - away / EACH_WAY)
    if name in AROUND:
        return Range(key, value / EACH_WAY, value * EACH_WAY, logarithmic=True)
    if section == "augmentation" or name in ("label_smoothing", "warmup"):
        return Range(key, 0.0, float(min(2 * value, 180 if name == "rotation" else 0.9)))
    return None


def _parse_range(text: str) -> Range:
    key, equals, ends = text.partition("=")
    low, dots, high = ends.partition("..")
    try:
        if not (equals and dots and key.strip()):
            raise ValueError(text)
        whole = low.strip().isdecimal() and high.strip().isdecimal()
        least, most = (int(low), int(high)) if whole else (float(low), float(high))
        if not (isfinite(least) and isfinite(most)):
            raise ValueError(text)
    except ValueError:
        raise DigitsError(
            f"expected a range such as optimizer.learning_rate=0.001..0.1, got {text!r}"
        ) from None
    if least >= most:
        raise DigitsError(f"the lower end of a range must be below the upper, got {text!r}")
    return Range(key.strip(), least, most, logarithmic=least > 0 and most / least >= FAR)
