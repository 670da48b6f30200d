"""Rows of results with 95 % intervals, compared with targets, in an aligned table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _report import aligned
from digit_recognizer.evaluation import Z_95, wilson_interval

FORMATS = {
    "%": ".2f",
    "points": "+.2f",
    "": ".4f",
    "s": ".2f",
    "ms": ".2f",
    "MB": ".0f",
    "numbers": ",.0f",
    "requests/s": ",.0f",
    "images/s": ",.0f",
    "photos/s": ".1f",
    "×": ".2f",
}
HEADINGS = ("", "", "measured", "95 % interval", "of", "bar", "met")


@dataclass(frozen=True, slots=True)
class Target:
    """A value to reach, or not to exceed."""

    value: float
    is_least: bool

    def is_met(self, value: float) -> bool:
        return value >= self.value if self.is_least else value <= self.value


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table, unique by its section and label; field names are keys of the output file."""

    section: str
    label: str
    unit: str
    value: float  # fractions in per cent
    interval: tuple[float, float] | None = None  # 95 %; minimum and maximum of repeated measurements
    right: int | None = None  # number of successes, of `of` trials
    of: int | None = None
    bar: Target | None = None

    @property
    def is_met(self) -> bool | None:
        return None if self.bar is None else self.bar.is_met(self.value)


def at_least(value: float) -> Target:
    return Target(value, True)


def at_most(value: float) -> Target:
    return Target(value, False)


def proportion(
    section: str, label: str, right: NDArray[np.bool_] | Sequence[bool], bar: Target | None = None
) -> Row:
    """Return the proportion of successes in independent trials, with Wilson's interval."""
    successes, trials = int(np.sum(right)), len(right)
    low, high = wilson_interval(successes, trials)
    interval = (100 * low, 100 * high)
    return Row(section, label, "%", 100 * successes / trials, interval, successes, trials, bar)


def mean(section: str, label: str, unit: str, values: NDArray[np.float64], bar: Target | None = None) -> Row:
    """Return the mean of fractions, one of each image, in per cent, with the normal interval over images."""
    middle = float(values.mean())
    half = Z_95 * float(values.std()) / len(values) ** 0.5
    interval = (100 * (middle - half), 100 * (middle + half))
    return Row(section, label, unit, 100 * middle, interval, of=len(values), bar=bar)


def spread(section: str, label: str, unit: str, values: Sequence[float], bar: Target | None = None) -> Row:
    """Return the median of repeated measurements, with their minimum and maximum."""
    return Row(section, label, unit, median(values), (min(values), max(values)), None, len(values), bar)


def table(rows: Sequence[Row], beside: Iterable[Row] = (), name: str = "") -> str:
    """Return the rows as text, in aligned columns under their sections.

    The last column, called `name`, has the values of the same rows in `beside`, those of another model.
    """
    others = {(row.section, row.label): row for row in beside}
    shown = [(row.section, _cells(row, others.get((row.section, row.label)))) for row in rows]
    return aligned([*HEADINGS, name], shown)


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows for JSON, with whether they meet their targets."""
    return [{**asdict(row), "is_met": row.is_met} for row in rows]


def from_json(rows: Iterable[dict[str, Any]]) -> list[Row]:
    """Return rows that were written by `as_json`."""
    found = []
    for row in rows:
        values = {name: value for name, value in row.items() if name != "is_met"}
        bar = None if row["bar"] is None else Target(**row["bar"])
        interval = None if row["interval"] is None else tuple(row["interval"])
        found.append(Row(**values | {"bar": bar, "interval": interval}))
    return found


def _cells(row: Row, other: Row | None) -> list[str]:
    form = FORMATS[row.unit]
    interval = "" if row.interval is None else " to ".join(format(end, form) for end in row.interval)
    of = "" if row.of is None else f"{row.of:,}"
    bar = "" if row.bar is None else f"{'≥' if row.bar.is_least else '≤'} {row.bar.value:g}"
    met = {None: "", True: "yes", False: "no"}[row.is_met]
    beside = "" if other is None else format(other.value, form)
    return [f"  {row.label}", row.unit, format(row.value, form), interval, of, bar, met, beside]
