"""What a benchmark measured ► medians, ratios between neighbours in time, an aligned table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

__all__ = [
    "Measured",
    "Summary",
    "aligned",
    "as_json",
    "neighbour_ratios",
    "ratios_in_turn",
    "summarise",
    "table",
]

FORMATS = {
    "": ".0f",
    "images/s": ",.0f",
    "s": ".2f",
    "ms": ".3f",
    "MB": ",.1f",
    "×": ".2f",
    "%": ".2f",
    "GFLOP/s": ",.0f",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure: what was measured, in which place of the run, and what came out."""

    key: str
    turn: int
    value: float


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of the table: a label and its values over the repeats."""

    section: str
    label: str
    unit: str
    values: tuple[float, ...]


def summarise(figures: Iterable[Measured], key: str, section: str, label: str, unit: str) -> Summary:
    """Gather the figures of one key; the order is that of the run."""
    return Summary(section, label, unit, tuple(figure.value for figure in figures if figure.key == key))


def neighbour_ratios(figures: Sequence[Measured], ours: str, theirs: str) -> tuple[float, ...]:
    """Return ours / theirs, one ratio for each of theirs that has one of ours next to it.

    Measured next to each other, both met the same machine in the same mood. Where ours stand on both
    sides, their mean counts.
    """
    own = {figure.turn: figure.value for figure in figures if figure.key == ours}
    ratios = []
    for figure in figures:
        beside = [own[turn] for turn in (figure.turn - 1, figure.turn + 1) if turn in own]
        if figure.key == theirs and beside:
            ratios.append(fmean(beside) / figure.value)
    return tuple(ratios)


def ratios_in_turn(figures: Sequence[Measured], first: str, second: str) -> tuple[float, ...]:
    """Return first / second for each turn that has both."""
    values = {figure.turn: figure.value for figure in figures if figure.key == second}
    return tuple(
        figure.value / values[figure.turn]
        for figure in figures
        if figure.key == first and figure.turn in values
    )


def table(rows: Sequence[Summary]) -> str:
    """Return the rows as text: label, unit, median, least and most, in aligned columns."""
    shown = [row for row in rows if row.values]
    return aligned(["", "", "median", "min", "max"], [(row.section, _cells(row)) for row in shown])


def aligned(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Return rows, each a section and its cells, as text: in columns, under their sections' names."""
    widths = [max(map(len, column)) for column in zip(heads, *(cells for _, cells in rows), strict=True)]
    lines = [_line(heads, widths)]
    before = ""
    for section, cells in rows:
        lines += ["", section] if section != before else []
        lines.append(_line(cells, widths))
        before = section
    return "\n".join(lines)


def as_json(rows: Sequence[Summary]) -> list[Mapping[str, Any]]:
    """Return the rows as JSON's values, statistics included."""
    return [{**asdict(row), **_statistics(row.values)} for row in rows if row.values]


def _statistics(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "min": min(values), "max": max(values)}


def _cells(row: Summary) -> list[str]:
    figures = [format(value, FORMATS[row.unit]) for value in _statistics(row.values).values()]
    return [f"  {row.label}", row.unit, *figures]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    label, unit, *figures = (
        cell.ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([label, unit, *figures]).rstrip()
