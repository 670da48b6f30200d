"""Parse the rows of a table: from bytes where numbers are plain, otherwise with NumPy."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import INK, PIXELS
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.common import (
    how_to_scale,
)
from digit_recognizer.sources.streams import OnProgress
from digit_recognizer.sources.tables.columns import Layout
from digit_recognizer.sources.tables.csv_text import (
    BLANK,
    CORRECT,
    MAX_LINE_CHARACTERS,
    UTF8,
    Cells,
    Table,
    find_bad_row,
    find_cells,
    label_digit,
    parse_plain,
    parse_scientific,
)
from digit_recognizer.sources.tables.headers import is_number

ROWS_AT_ONCE = 2048  # of floats, or moved, so that they need little memory
CHUNK_BYTES = 1 << 16  # of text; its arrays fit into the second-level cache
SCIENTIFIC = re.compile(r"\d\.(\d{2,})(e)\+0\d", re.IGNORECASE)  # two decimals hold any number up to 255
Parse = Callable[[bytes], "NDArray[np.uint8] | None"]  # whole rows of text to the columns used


@dataclass
class Rows:
    """The rows of a table: what they look like, which columns are read, and the ids met so far."""

    table: Table
    layout: Layout
    written: str  # some rows as text
    keep_ids: bool
    text_labels: bool  # "three" or "True"
    ids: list[str] = field(default_factory=list)

    @property
    def used(self) -> list[int]:
        """The columns to read, in this order: the label, if it is known, and the pixels."""
        return [*self.layout.labels, *self.layout.pixels]

    @cached_property
    def label_span(self) -> tuple[int, int, bool]:
        """Where columns of labels begin, how many there are, and whether the last column is one."""
        first, last = min(self.layout.labels), max(self.layout.labels)
        return first, last - first + 1, last == len(self.layout.names) - 1

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
        if self.text_labels:
            lines = map(self.with_digits, lines)
        return (line.replace(",", ".") for line in lines) if self.has_decimal_commas else lines

    def with_digits(self, line: str) -> str:
        """Replace the names of digits in a line by digits."""
        first, count, from_end = self.label_span
        if from_end:
            cells = line.rsplit(self.table.separator, count)
            first = len(cells) - count
        else:
            cells = line.split(self.table.separator, first + count)
        cells[first : first + count] = map(label_digit, cells[first : first + count])
        return self.separator.join(cells)

    def _keep_ids(self, lines: Iterator[str]) -> Iterator[str]:
        assert self.layout.id is not None
        at, separator = self.layout.id, self.table.separator
        for line in lines:
            cells = self.table.cells(line) if '"' in line else line.split(separator)
            self.ids.append(cells[at].strip() if at < len(cells) else "")
            yield line


def read_rows(
    table: Table, layout: Layout, sample: list[str], keep_ids: bool, on_progress: OnProgress | None
) -> tuple[Rows, NDArray[np.uint8]]:
    """Parse all rows in the fastest way that reads them: shape (N, columns used)."""
    shown = [row[at] for row in map(table.cells, sample) for at in layout.labels if at < len(row)]
    text_labels = not all(map(is_number, shown))
    for has_text in (False, True)[text_labels:]:  # text may come after the sample
        rows = Rows(table, layout, "".join(sample), keep_ids, has_text)
        for read in (_read_bytes, _read_integers, _read_floats):
            cells = read(rows, on_progress)
            if cells is not None:
                return rows, cells
    raise DigitsError(f"{table.file}: expected rows of numbers{CORRECT}")


def _read_bytes(rows: Rows, on_progress: OnProgress | None) -> NDArray[np.uint8] | None:
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
            found = parse(_with_digits(rows, chunk) if rows.text_labels else chunk)
            if found is None:
                return None
            cells += found.data
    return np.frombuffer(cells, np.uint8).reshape(-1, len(rows.used))


def _with_digits(rows: Rows, chunk: bytes) -> bytes:
    """Replace the names of digits in rows of bytes by digits."""
    lines = chunk.decode("latin-1").split("\n")  # any byte is a character of it
    return "\n".join(rows.with_digits(line) if line else line for line in lines).encode("latin-1")


def _plain_parser(rows: Rows) -> Parse | None:
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


def _scientific_parser(rows: Rows) -> Parse | None:
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


def _read_integers(rows: Rows, on_progress: OnProgress | None) -> NDArray[np.uint8] | None:
    """Parse rows of integers as text; None for other numbers."""
    with rows.table.open(on_progress) as text:
        try:
            cells = rows.read(rows.prepare(line for line in text if line.strip(BLANK)), np.uint8)
        except (DigitsError, UnicodeError):  # both are kinds of ValueError
            raise
        except ValueError:
            return None
    return cells if cells.shape[1] == len(rows.used) else None


def _read_floats(rows: Rows, on_progress: OnProgress | None) -> NDArray[np.uint8] | None:
    """Parse rows of whole numbers in any notation, some at a time; None if labels are text."""
    table, parts = rows.table, []
    with table.open(on_progress) as text:
        lines = rows.prepare(line for line in text if line.strip(BLANK))
        while some := list(islice(lines, ROWS_AT_ONCE)):
            try:
                values = rows.read(some, np.float32)
            except ValueError as error:
                problem = find_bad_row(table, rows.layout)
                if problem is None and rows.layout.labels and not rows.text_labels:
                    return None
                raise DigitsError(problem or f"{table.file}: {error}") from error
            with np.errstate(invalid="ignore"):  # NaN is refused below
                whole = values.astype(np.uint8)
            if values.shape[1] != len(rows.used) or not (whole == values).all():
                raise DigitsError(
                    _wrong_scale(str(table.file), values) or find_bad_row(table, rows.layout) or ""
                )
            parts.append(whole)
    return np.concatenate(parts)


def _wrong_scale(name: str, values: NDArray[np.float32]) -> str | None:
    """Return what is wrong with the scale of the pixels of some rows, if that is what is wrong."""
    pixels = values[:, -PIXELS:]
    pixels = pixels[np.isfinite(pixels)]
    low, high = float(pixels.min(initial=0)), float(pixels.max(initial=0))
    if (pixels == np.rint(pixels)).all() or (high > 1 and low >= 0):
        return None
    return f"{name}: expected pixels 0 to {INK}, found {low:.4g} to {high:.4g}: {how_to_scale(low, high)}"
