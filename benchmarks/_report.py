"""Turn figures into medians, ratios within a turn, and an aligned table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import floor, log10
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure: what was measured, in which turn, and its value."""

    key: str
    turn: int
    value: float


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of the table: a label and its values.

    `tries` is the number of attempts, if some of them may give no value.
    """

    section: str
    label: str
    unit: str
    values: tuple[float, ...]
    tries: int = 0

    @property
    def spread(self) -> str:
        """Median, minimum, maximum, and how many attempts gave a value, for a Markdown table."""
        seldom = f"in {len(self.values)} of {self.tries}" if len(self.values) < self.tries else ""
        figures = (
            [rounded(value, self.unit) for value in _statistics(self.values).values()] if self.values else []
        )
        middle = figures[:1] if len(set(figures)) < 2 else [f"{figures[0]} ({figures[1]} to {figures[2]})"]
        return " ".join([*middle, seldom]).strip()


def summarise(figures: Iterable[Measured], key: str, section: str, label: str, unit: str) -> Summary:
    """Collect the figures of one key, in their order."""
    return Summary(section, label, unit, tuple(figure.value for figure in figures if figure.key == key))


def ratios_in_turn(figures: Sequence[Measured], first: str, second: str) -> tuple[float, ...]:
    """Return first / second for each turn that has both."""
    values = {figure.turn: figure.value for figure in figures if figure.key == second}
    return tuple(
        figure.value / values[figure.turn]
        for figure in figures
        if figure.key == first and figure.turn in values
    )


def table(rows: Sequence[Summary]) -> str:
    """Return the rows as text: label, unit, median, minimum and maximum, in aligned columns."""
    shown = [row for row in rows if row.values]
    return aligned(["", "", "median", "min", "max"], [(row.section, _cells(row)) for row in shown])


def aligned(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Return rows, each a section and its cells, as text in columns below the names of the sections."""
    widths = [max(map(len, column)) for column in zip(heads, *(cells for _, cells in rows), strict=True)]
    lines = [_line(heads, widths)]
    before = ""
    for section, cells in rows:
        lines += ["", section] if section != before else []
        lines.append(_line(cells, widths))
        before = section
    return "\n".join(lines)


def as_json(rows: Sequence[Summary]) -> list[Mapping[str, Any]]:
    """Return the rows for JSON, with their statistics."""
    return [{**asdict(row), **_statistics(row.values)} for row in rows if row.values]


def rounded(value: float, unit: str) -> str:
    """Return a figure with three digits; percentages with two decimals, counts as they are."""
    if unit in ("%", ""):
        return format(value, ".2f" if unit else ".0f")
    return format(value, f",.{min(3, max(0, 2 - floor(log10(abs(value) or 1))))}f")


def _statistics(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "min": min(values), "max": max(values)}


def _cells(row: Summary) -> list[str]:
    seldom = f", in {len(row.values)} of {row.tries}" if len(row.values) < row.tries else ""
    figures = [rounded(value, row.unit) for value in _statistics(row.values).values()]
    return [f"  {row.label}{seldom}", row.unit, *figures]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    label, unit, *figures = (
        cell.ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([label, unit, *figures]).rstrip()
