"""Find the rows and columns of the table that the numbers of a page form.

The lines of a page are its rows; lines beside each other are one row. The row with most numbers begins the
columns. Every other number, from the widest to the narrowest, joins the column that it shares most with, if
the middle of one of the two lies within the other; a number that shares no column begins a new one. This
needs no rulings and no distances: only that the numbers of a column stand above each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from digit_recognizer.reading.characters import Box


@dataclass(frozen=True, slots=True)
class _Extent:
    """From where to where something reaches, across or down a page."""

    start: float
    stop: float

    @property
    def middle(self) -> float:
        return (self.start + self.stop) / 2

    def shared_with(self, other: _Extent) -> float:
        """Return how much both have in common; negative if there is a gap between them."""
        return min(self.stop, other.stop) - max(self.start, other.start)

    def is_beside(self, other: _Extent) -> bool:
        """Return whether the middle of one lies within the other."""
        return self.start <= other.middle <= self.stop or other.start <= self.middle <= other.stop


@dataclass(slots=True)
class _Column:
    extent: _Extent
    members: list[int] = field(default_factory=list)

    def add(self, number: int, across: _Extent) -> None:
        self.members.append(number)
        start, stop = min(self.extent.start, across.start), max(self.extent.stop, across.stop)
        self.extent = _Extent(start, stop)


def find_cells(lines: Sequence[Sequence[Box]]) -> list[list[tuple[int, int]]]:
    """Return the row and the column, from 1, of each number of each line, given by their boxes."""
    slope = _slope(lines)
    rows = _find_rows([[_down(box, slope) for box in line] for line in lines], lines, slope)
    across = [_across(box, slope) for line in lines for box in line]
    rows_of_numbers = [row for line, row in zip(lines, rows, strict=True) for _ in line]
    columns = _find_columns(across, rows_of_numbers)
    cells = iter(zip(rows_of_numbers, columns, strict=True))
    return [[next(cells) for _ in line] for line in lines]


def _slope(lines: Iterable[Sequence[Box]]) -> float:
    """Return by how many pixels the lines fall per pixel to the right: the median of the lines."""
    slopes = []
    for line in lines:
        first, last = (_middle(box) for box in (line[0], line[-1]))
        if last[0] > first[0]:
            slopes.append((last[1] - first[1]) / (last[0] - first[0]))
    return median(slopes) if slopes else 0.0


def _middle(box: Box) -> tuple[float, float]:
    return box.x + box.width / 2, box.y + box.height / 2


def _across(box: Box, slope: float) -> _Extent:
    """Return the extent of a box along sloping lines."""
    along = _middle(box)[0] + slope * _middle(box)[1]
    return _Extent(along - box.width / 2, along + box.width / 2)


def _down(box: Box, slope: float) -> _Extent:
    """Return the extent of a box at a right angle to sloping lines."""
    down = _middle(box)[1] - slope * _middle(box)[0]
    return _Extent(down - box.height / 2, down + box.height / 2)


def _find_rows(down: Sequence[Sequence[_Extent]], lines: Sequence[Sequence[Box]], slope: float) -> list[int]:
    """Return the row of each line, from 1; lines of one row are level, and not above each other."""
    bands = [_Extent(median(e.start for e in each), median(e.stop for e in each)) for each in down]
    widths = [_around(_across(box, slope) for box in line) for line in lines]
    rows: list[list[int]] = []
    for line in sorted(range(len(lines)), key=lambda line: bands[line].middle):
        last = rows[-1] if rows else []
        is_level = all(bands[line].is_beside(bands[other]) for other in last)
        if last and is_level and all(widths[line].shared_with(widths[other]) <= 0 for other in last):
            last.append(line)
        else:
            rows.append([line])
    return [row for _, row in sorted((line, row) for row, each in enumerate(rows, start=1) for line in each)]


def _around(extents: Iterable[_Extent]) -> _Extent:
    starts, stops = zip(*((each.start, each.stop) for each in extents), strict=True)
    return _Extent(min(starts), max(stops))


def _find_columns(across: Sequence[_Extent], rows: Sequence[int]) -> list[int]:
    """Return the column of each number, from 1, given its extent and its row."""
    if not rows:
        return []
    fullest = max(sorted(set(rows)), key=rows.count)
    columns = [_Column(across[each], [each]) for each in range(len(rows)) if rows[each] == fullest]
    others = [each for each in range(len(rows)) if rows[each] != fullest]
    for number in sorted(others, key=lambda each: across[each].start - across[each].stop):
        extent = across[number]
        near = [column for column in columns if column.extent.is_beside(extent)]
        if near:
            max(near, key=lambda column: column.extent.shared_with(extent)).add(number, extent)
        else:
            columns.append(_Column(extent, [number]))
    ordered = sorted(columns, key=lambda column: column.extent.middle)
    places = {number: place for place, column in enumerate(ordered, start=1) for number in column.members}
    return [places[number] for number in range(len(rows))]
