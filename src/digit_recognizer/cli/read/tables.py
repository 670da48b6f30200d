"""The tables that `digits read` writes: CSV and Parquet, with a row for each number."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from digit_recognizer.cli.read.output import Entry, Summary, grid_of, is_standard_output
from digit_recognizer.files import replacing

if TYPE_CHECKING:
    from digit_recognizer.reading import Number

COLUMNS = {
    "picture": "string",
    "page": "int64",
    "line": "int64",
    "text": "string",
    "confidence": "double",
    "x": "int64",
    "y": "int64",
    "width": "int64",
    "height": "int64",
    "value": "string",  # exact, as decimal fractions are not in binary
    "sure": "bool",
    "row": "int64",
    "column": "int64",
}  # with their types in Parquet; new ones come last

Row = tuple[Any, ...]


@contextmanager
def open_table(
    target: Path | None, *, as_grid: bool, is_only_picture: bool, kind: str = "csv"
) -> Iterator[Callable[[Entry], None]]:
    """Give a function that adds an entry to a table, which replaces `target` at the end.

    A grid has a row for each row of a page, and a cell for each column; otherwise, there is a row for each
    number.
    """
    if target is None:
        yield lambda _entry: None
    elif kind == "parquet":
        entries: list[list[Row]] = []
        yield lambda entry: entries.append(rows_of(entry))
        _write_parquet(target, entries)
    elif is_standard_output(target):
        yield _adder(sys.stdout, as_grid=as_grid, is_only_picture=is_only_picture)
    else:
        with _open_csv(target) as stream:
            yield _adder(stream, as_grid=as_grid, is_only_picture=is_only_picture)


def rows_of(entry: Entry) -> list[Row]:
    """Return a row for each number, or one for a single digit."""
    return list(_rows(entry)) if entry.summary is None else entry.summary.rows


def summarise(entry: Entry) -> Entry:
    """Return an entry with nothing but what a table needs."""
    return Entry(entry.page, None, entry.error, Summary(rows_of(entry), entry.lost_marks, entry.notes))


def _write_csv(target: Path, rows: Iterable[list[Row]]) -> None:
    with _open_csv(target) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(chain.from_iterable(rows))


def _write_parquet(target: Path, rows: Iterable[list[Row]]) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = list(zip(*chain.from_iterable(rows), strict=True)) or [()] * len(COLUMNS)
    arrays = [
        pyarrow.array([_typed(value, kind) for value in column], kind)
        for column, kind in zip(columns, COLUMNS.values(), strict=True)
    ]
    with replacing(target) as partial:
        parquet.write_table(pyarrow.table(arrays, names=list(COLUMNS)), partial)


TABLES: dict[str, Callable[[Path, Iterable[list[Row]]], None]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
}  # by the ending of their files


def _typed(value: Any, kind: str) -> Any:
    """Return a value of a row as a column of a type has it."""
    if value is None:
        return None
    if kind == "string":  # file names that are not UTF-8 contain surrogates
        return str(value).encode("utf-8", "backslashreplace").decode("utf-8")
    return {"double": float, "bool": bool, "int64": int}[kind](value)


@contextmanager
def _open_csv(target: Path) -> Iterator[IO[str]]:
    with (
        replacing(target) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream,
    ):
        yield stream


def _adder(stream: IO[str], *, as_grid: bool, is_only_picture: bool) -> Callable[[Entry], None]:
    writer = csv.writer(stream, lineterminator="\n")
    if not as_grid:
        writer.writerow(COLUMNS)
        return lambda entry: writer.writerows(_rows(entry))
    return lambda entry: writer.writerows(_grid_rows(entry, with_name=not is_only_picture))


def _grid_rows(entry: Entry, *, with_name: bool) -> Iterator[list[object]]:
    name: list[object] = [entry.page.file, entry.page.number] if with_name else []
    for row in [] if entry.reading is None else grid_of(entry.reading):
        yield [*name, *row]


def _rows(entry: Entry) -> Iterator[Row]:
    from digit_recognizer.reading import SingleDigit

    picture = (entry.page.file, entry.page.number)
    if isinstance(entry.found, SingleDigit):
        yield *picture, 1, entry.found.digit, f"{entry.found.confidence:.4f}", *[None] * 8
    if entry.reading is not None:
        for row, line in enumerate(entry.reading.lines, start=1):
            for number in line.numbers:
                yield *picture, row, number.text, *_values(number)


def _values(number: Number) -> Row:
    """Return the values of the columns after the text."""
    box = number.box
    value = None if number.value is None else f"{number.value:f}"
    place = (box.x, box.y, box.width, box.height)
    return f"{number.confidence:.4f}", *place, value, int(number.sure), number.row, number.column
