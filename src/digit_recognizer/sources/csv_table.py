"""Read tables of digits as text: the competition's CSV, and those of other names, separators and numbers.

A row of train.csv is a label and 784 pixels, a row of test.csv 784 pixels; pixel 28 i + j is in row i,
column j of the image (https://www.kaggle.com/competitions/digit-recognizer/data).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, INK, PIXELS, SIDE, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.columns import LABEL, UNNAMED, Layout, find_layout
from digit_recognizer.sources.common import Loaded, Options, how_to_scale, is_transposed, make_digits, note
from digit_recognizer.sources.csv_text import BLANK, SEPARATORS, Table, find_bad_row, find_table
from digit_recognizer.sources.folders import File

SAMPLE_ROWS = 20  # that show the columns and how numbers are written
ROWS_AT_ONCE = 2048  # of floats, so that they need little memory
MOSTLY = 0.5  # of the labels are not 0; of the pixels in a corner nearly all are


@dataclass
class _Rows:
    """The rows of a table: what they look like, which columns are read, and the ids met so far."""

    table: Table
    layout: Layout
    written: str  # some rows as text
    keep_ids: bool
    ids: list[str] = field(default_factory=list)

    @property
    def used(self) -> list[int]:
        """The columns to read, in this order: the label, if it is known, and the pixels."""
        return ([] if self.layout.label is None else [self.layout.label]) + list(self.layout.pixels)

    @property
    def has_decimal_commas(self) -> bool:
        """Whether numbers are written as 3,0."""
        return self.table.separator not in (",", None) and "," in self.written

    def read(self, lines: Iterable[str], dtype: type) -> NDArray[Any]:
        """Parse lines: shape (N, columns used)."""
        used = self.used
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # NumPy 1 warns, and reads 256 as 0
            return np.loadtxt(
                lines,
                dtype=dtype,
                delimiter=self.table.separator,
                comments=None,
                quotechar='"',
                ndmin=2,
                usecols=None if used == list(range(len(self.layout.names))) else used,
            )

    def prepare(self, lines: Iterator[str]) -> Iterator[str]:
        """Keep the ids of lines without blank ones, and give numbers a decimal point."""
        self.ids.clear()
        if self.keep_ids:
            lines = self._keep_ids(lines)
        return (line.replace(",", ".") for line in lines) if self.has_decimal_commas else lines

    def _keep_ids(self, lines: Iterator[str]) -> Iterator[str]:
        assert self.layout.id is not None
        at, separator = self.layout.id, self.table.separator
        for line in lines:
            cells = self.table.cells(line) if '"' in line else line.split(separator)
            self.ids.append(cells[at].strip() if at < len(cells) else "")
            yield line


def read_csv(file: File, options: Options) -> Loaded:
    """Read the digits of a table, with labels and ids if it has them."""
    table = find_table(file)
    rows, cells = _read(table, options)
    layout = rows.layout
    if layout.label is not None and cells[:, 0].max() >= CLASSES:
        raise DigitsError(find_bad_row(table, layout) or f"{file}: expected labels 0 to {CLASSES - 1}")
    ids = tuple(rows.ids) if rows.keep_ids else None
    return Loaded(_to_digits(table, layout, cells), _id_name(table, layout), ids)


def _read(table: Table, options: Options) -> tuple[_Rows, NDArray[np.uint8]]:
    """Find the columns of a table and parse its rows."""
    with table.open(options.on_progress) as text:
        lines = (line for line in text if line.strip(BLANK))
        sample = list(islice(lines, SAMPLE_ROWS))
        layout = _find_layout(table, sample, options)
        keep_ids = options.part == "test" and bool(_id_name(table, layout))
        rows = _Rows(table, layout, "".join(sample), keep_ids)
        cells = _read_integers(rows, chain(sample, lines))
    return rows, _read_floats(rows) if cells is None else cells


def _id_name(table: Table, layout: Layout) -> str:
    """Return the name of the column of ids; an index without a name, as pandas writes it, is none."""
    if layout.id is None or table.header is None or layout.id >= len(table.header):
        return ""
    name = table.header[layout.id].strip()
    return "" if name.lower().startswith(UNNAMED) else name


def _find_layout(table: Table, sample: list[str], options: Options) -> Layout:
    if not sample:
        raise DigitsError(f"{table.file} has a header but no rows after it")
    where = str(table.file) if table.header is None else f"{table.file}, line {table.header_line}"
    layout = find_layout(where, table.header, [table.cells(line) for line in sample], options.part)
    if options.part == "train" and layout.label is None and not layout.label_is_open:
        raise DigitsError(
            f"{table.file} has no column {LABEL!r}, so it looks like test.csv: "
            f"give train.csv or the archive with both, or name the column of the label {LABEL!r}"
        )
    return layout


def _read_integers(rows: _Rows, lines: Iterator[str]) -> NDArray[np.uint8] | None:
    """Parse rows of integers, also if they are written as 3.0; None for other numbers."""
    lines = rows.prepare(lines)
    if "." in rows.written or rows.has_decimal_commas:
        end = rows.table.separator or " "
        lines = (line.rstrip().removesuffix(".0").replace(f".0{end}", end) for line in lines)
    try:
        cells = rows.read(lines, np.uint8)
    except (DigitsError, UnicodeError):  # both are kinds of ValueError
        raise
    except ValueError:
        return None
    return cells if cells.shape[1] == len(rows.used) else None


def _read_floats(rows: _Rows) -> NDArray[np.uint8]:
    """Parse rows of whole numbers in any notation, some at a time."""
    table, parts = rows.table, []
    with table.open() as text:
        lines = rows.prepare(line for line in text if line.strip(BLANK))
        while some := list(islice(lines, ROWS_AT_ONCE)):
            try:
                values = rows.read(some, np.float32)
            except ValueError as error:
                problem = find_bad_row(table, rows.layout)
                raise DigitsError(problem or f"{table.file}: {error}") from error
            with np.errstate(invalid="ignore"):  # NaN is refused below
                whole = values.astype(np.uint8)
            if values.shape[1] != len(rows.used) or not (whole == values).all():
                raise DigitsError(
                    _wrong_scale(str(table.file), values) or find_bad_row(table, rows.layout) or ""
                )
            parts.append(whole)
    return np.concatenate(parts)


def _to_digits(table: Table, layout: Layout, cells: NDArray[np.uint8]) -> Digits:
    """Make digits of the label, if there is one, and the pixels; say what was assumed."""
    label, notes = (None if layout.label is None else 0), list(layout.notes)
    if layout.label_is_open:
        label = _find_label(table, cells)
        chosen = "the first is the label" if label == 0 else "the last is the label"
        notes[-1:] = [f"{notes[-1]}: {chosen}" if notes else chosen]
    if table.separator != ",":
        notes.insert(0, f"{SEPARATORS.get(table.separator or '', 'spaces')} separate the columns")
    transposed = is_transposed(table.file.name)
    if transposed:
        notes.append("EMNIST's images are stored column by column")
    if notes:
        note(f"{table.file}: {'; '.join(notes)}")
    start = 1 if label == 0 else 0
    pixels = cells[:, start : start + PIXELS].reshape(-1, SIDE, SIDE)
    if transposed:
        pixels = pixels.transpose(0, 2, 1)
    return make_digits(str(table.file), pixels, None if label is None else cells[:, label].astype(np.int64))


def _find_label(table: Table, cells: NDArray[np.uint8]) -> int:
    """Return which of 785 columns is the label, the first or the last, by their values."""
    first, last = cells[:, 0], cells[:, -1]
    if first.max() >= CLASSES and last.max() >= CLASSES:
        raise DigitsError(
            f"{table.file}: expected labels 0 to {CLASSES - 1} in the first or the last of {cells.shape[1]} "
            f"columns, found up to {first.max()} and {last.max()}: name the label in a header line"
        )
    if first.max() >= CLASSES or last.max() >= CLASSES:
        return 0 if last.max() >= CLASSES else cells.shape[1] - 1
    if (first != 0).mean() > MOSTLY and (last != 0).mean() > MOSTLY:
        raise DigitsError(
            f"{table.file}: the first and the last of {cells.shape[1]} columns can both be the label: "
            f"add a header line that names it, {LABEL},pixel0,… or pixel0,…,{LABEL}"
        )
    return 0 if first.any() or not last.any() else cells.shape[1] - 1


def _wrong_scale(name: str, values: NDArray[np.float32]) -> str | None:
    """Return what is wrong with the scale of the pixels of some rows, if that is what is wrong."""
    pixels = values[:, -PIXELS:]
    pixels = pixels[np.isfinite(pixels)]
    low, high = float(pixels.min(initial=0)), float(pixels.max(initial=0))
    if (pixels == np.rint(pixels)).all() or (high > 1 and low >= 0):
        return None
    return f"{name}: expected pixels 0 to {INK}, found {low:.4g} to {high:.4g}: {how_to_scale(low, high)}"
