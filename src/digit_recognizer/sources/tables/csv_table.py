"""Read tables of digits as text: the competition's CSV, and those of other names, separators and numbers.

A row of train.csv is a label and 784 pixels, a row of test.csv 784 pixels; pixel 28 i + j is in row i,
column j of the image (https://www.kaggle.com/competitions/digit-recognizer/data).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, INK, PIXELS, SIDE, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.common import Loaded, Options, how_to_scale, is_transposed, make_digits, note
from digit_recognizer.sources.folders import File
from digit_recognizer.sources.streams import OnProgress
from digit_recognizer.sources.tables.columns import LABEL, UNNAMED, Layout, find_layout
from digit_recognizer.sources.tables.csv_text import (
    BLANK,
    MAX_LINE_CHARACTERS,
    SEPARATORS,
    UTF8,
    Cells,
    Table,
    find_bad_row,
    find_cells,
    find_table,
    parse_plain,
    parse_scientific,
)

SAMPLE_ROWS = 20  # that show the columns and how numbers are written
ROWS_AT_ONCE = 2048  # of floats, so that they need little memory
Parse = Callable[[bytes], "NDArray[np.uint8] | None"]  # whole rows of text to the columns used
CHUNK_BYTES = 1 << 16  # of text; its arrays fit into the second-level cache
SCIENTIFIC = re.compile(r"\d\.(\d{2,})(e)\+0\d", re.IGNORECASE)  # two decimals hold any number up to 255
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

    @property
    def separator(self) -> str:
        """The separator that plain rows have; white space is a single space there."""
        return self.table.separator or " "

    def example(self) -> str:
        """Return the first pixel as it is written."""
        return "".join(self.table.cells(self.written.partition("\n")[0])[self.layout.pixels[1] :][:1])

    def add_ids(self, cells: Cells) -> bool:
        """Keep the ids of some rows; False if they are not plain text."""
        at = self.layout.id
        spans = zip(cells.ends[:, at].tolist(), cells.lengths[:, at].tolist(), strict=True)
        try:
            found = [cells.text[end - length : end].tobytes().decode().strip() for end, length in spans]
        except UnicodeDecodeError:
            return False
        self.ids += found
        return not any('"' in text for text in found)

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
    """Find the columns of a table and parse its rows, in the fastest way that reads them."""
    with table.open() as text:
        sample = list(islice((line for line in text if line.strip(BLANK)), SAMPLE_ROWS))
    layout = _find_layout(table, sample, options)
    keep_ids = options.part == "test" and bool(_id_name(table, layout))
    rows = _Rows(table, layout, "".join(sample), keep_ids)
    for read in (_read_bytes, _read_integers):
        cells = read(rows, options.on_progress)
        if cells is not None:
            return rows, cells
    return rows, _read_floats(rows)


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


def _read_bytes(rows: _Rows, on_progress: OnProgress | None) -> NDArray[np.uint8] | None:
    """Parse rows of plain numbers from bytes, faster than NumPy from text; None if one is not plain."""
    table, cells = rows.table, bytearray()
    parse = _scientific_parser(rows) or _plain_parser(rows)
    if parse is None or table.encoding != UTF8:
        return None
    with table.file.open_unpacked(on_progress, CHUNK_BYTES) as stream:
        before = [stream.readline(MAX_LINE_CHARACTERS) for _ in range(table.lines_before)]
        if any(b"\r" in line[:-2] or not line.endswith(b"\n") for line in before):  # other line ends
            return None
        while chunk := stream.read(CHUNK_BYTES) + stream.readline():
            found = parse(chunk)
            if found is None:
                return None
            cells += found.data
    return np.frombuffer(cells, np.uint8).reshape(-1, len(rows.used))


def _plain_parser(rows: _Rows) -> Parse | None:
    """Return what parses rows of digits, also if zeros follow a decimal point; None for others."""
    used = rows.used
    first, last = min(used), max(used) + 1
    columns = slice(first, last) if last - first == len(used) else sorted(used)
    order = None if used == sorted(used) else [sorted(used).index(at) for at in used]
    point = b"," if rows.has_decimal_commas else b"."
    _, *tail = rows.example().encode().partition(point)
    if tail[1].strip(b"0"):
        return None
    rows.ids.clear()

    def parse(chunk: bytes) -> NDArray[np.uint8] | None:
        cells = find_cells(chunk, rows.separator.encode(), len(rows.layout.names))
        if cells is None or (rows.keep_ids and not rows.add_ids(cells)):
            return None
        numbers = parse_plain(cells, columns, b"".join(tail))
        return numbers if numbers is None or order is None else numbers.take(order, axis=1)

    return parse


def _scientific_parser(rows: _Rows) -> Parse | None:
    """Return what parses rows as numpy.savetxt writes them; None for others."""
    found = SCIENTIFIC.fullmatch(rows.example())
    if not found or rows.keep_ids or rows.has_decimal_commas:
        return None
    decimals, letter = len(found[1]), found[2]
    notation = [f"{number:.{decimals}{letter}}" for number in range(INK + 1)]
    written = np.array([list(text.encode()) for text in notation], np.uint8)
    zeros = rows.separator.join([notation[0]] * len(rows.layout.names)).encode()

    def parse(chunk: bytes) -> NDArray[np.uint8] | None:
        numbers = parse_scientific(chunk, zeros, written)
        return None if numbers is None else numbers.take(rows.used, axis=1)

    return parse


def _read_integers(rows: _Rows, on_progress: OnProgress | None) -> NDArray[np.uint8] | None:
    """Parse rows of integers as text; None for other numbers."""
    with rows.table.open(on_progress) as text:
        try:
            cells = rows.read(rows.prepare(line for line in text if line.strip(BLANK)), np.uint8)
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
