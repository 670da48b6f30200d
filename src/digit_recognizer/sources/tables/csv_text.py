"""A table as text: its encoding, separator, header and numbers, and which of its cells is wrong."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, INK, PIXELS
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.common import class_of
from digit_recognizer.sources.folders import File
from digit_recognizer.sources.streams import OnProgress
from digit_recognizer.sources.tables.columns import KAGGLE_HEADER, TRUTH, Layout
from digit_recognizer.sources.tables.headers import is_header
from digit_recognizer.sources.unreadable import HEAD_BYTES, kind_of_bytes

SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "vertical bars", ",": "commas"}
MAX_LINE_CHARACTERS = 1 << 17  # 785 numbers as numpy.savetxt writes them have 20,000
MAX_CELL_CHARACTERS_SHOWN = 40
CORRECT = ": correct it, or download the file again"
BLANK = ' \t\r\n\f\v,;|"'  # characters of lines without a value, as spreadsheets leave them at the end
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
UTF8 = "utf-8-sig"  # with a byte order mark or without
NEWLINE, RETURN, ZERO = b"\n\r0"
ARFF_ATTRIBUTE = re.compile(r"@attribute\s+('[^']*'|\"[^\"]*\"|\S+)", re.IGNORECASE)
NUMBER = re.compile(r"\s*[-+]?([0-9]{1,20}(\.[0-9]*)?|\.[0-9]+)(e[-+]?[0-9]{1,3})?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Table:
    """A table as text, which can be read more than once.

    Attributes
    ----------
    file
        The file.
    encoding
        Of its text.
    separator
        Between cells; None is any white space.
    lines_before
        How many lines come before the first row.
    header_line
        The number of the line with the names of the columns, from 1.
    header
        These names; None without.
    width
        The number of columns: of names or of cells in the first row, whichever are more.
    """

    file: File
    encoding: str
    separator: str | None
    lines_before: int
    header_line: int
    header: tuple[str, ...] | None
    width: int

    @property
    def is_wide(self) -> bool:
        """Whether a row has cells for all pixels of an image."""
        return self.width >= PIXELS

    @contextmanager
    def open(self, on_progress: OnProgress | None = None) -> Iterator[TextIO]:
        """Open the text at the first row."""
        with _open_text(self.file, self.encoding, on_progress) as text:
            for _ in range(self.lines_before):
                text.readline()
            yield text

    def cells(self, line: str) -> list[str]:
        """Return the cells of a line."""
        return _cells(line, self.separator)


@dataclass(frozen=True, slots=True)
class Cells:
    """Where the cells of some rows end in their text, and their lengths, both of shape (N, columns)."""

    text: NDArray[np.uint8]
    ends: NDArray[np.int64]
    lengths: NDArray[np.int64]


def find_table(file: File) -> Table:
    """Find the encoding, the separator, and the header or its absence; refuse what is no text of numbers."""
    head = file.head(HEAD_BYTES)
    known = kind_of_bytes(file.name, head)
    if known:
        raise DigitsError(f"{file} is {known[0]}: {known[1]}")
    return _find_table(file, _encoding(head))


def is_wide_table(file: File) -> bool:
    """Return whether a file is text with at least 784 columns in a line, without reading further."""
    try:
        return find_table(file).is_wide
    except DigitsError:
        return False


def find_bad_row(table: Table, layout: Layout, advice: str = CORRECT) -> str | None:
    """Read the rows again and return what is wrong with the first bad one.

    This is slow but needed only for the message: `numpy.loadtxt` counts neither the header nor blank lines,
    and does not know the names of columns.
    """
    with table.open() as text:
        for number, line in enumerate(text, start=table.lines_before + 1):
            if not line.strip(BLANK):
                continue
            try:
                problem = _find_bad_cell(table.cells(line), layout, table.separator)
            except csv.Error as error:
                return f"{table.file}, line {number}: {error}"
            if problem:
                return f"{table.file}, line {number}{problem}{advice}"
    return None


def find_cells(chunk: bytes, separator: bytes, columns: int) -> Cells | None:
    """Find the cells of whole rows; None unless each row has as many as there are columns."""
    text = np.frombuffer(chunk if chunk.endswith(b"\n") else chunk + b"\n", np.uint8)
    newlines = text == NEWLINE
    ends = np.flatnonzero(newlines | (text == ord(separator)))
    shape = np.count_nonzero(newlines), columns
    if len(ends) != shape[0] * columns or not newlines[ends[columns - 1 :: columns]].all():
        return None
    lengths = np.empty_like(ends)
    lengths[0] = ends[0]
    np.subtract(ends[1:], ends[:-1], out=lengths[1:])
    lengths[1:] -= 1
    cells = Cells(text, ends.reshape(shape), lengths.reshape(shape))
    is_return = text[cells.ends[:, -1] - 1] == RETURN
    cells.ends[:, -1] -= is_return
    cells.lengths[:, -1] -= is_return
    return cells


def parse_plain(cells: Cells, columns: slice | list[int], decimals: bytes) -> NDArray[np.uint8] | None:
    """Parse columns of digits that `decimals` (.0) may follow; None unless each number is 0 to 255."""
    text, ends, lengths = cells.text, cells.ends[:, columns], cells.lengths[:, columns]
    if decimals:
        has_decimals = lengths > len(decimals)
        for at, byte in enumerate(reversed(decimals), start=1):
            has_decimals &= text.take(ends - at) == byte
        ends, lengths = (array - has_decimals * len(decimals) for array in (ends, lengths))
    if lengths.min() < 1 or lengths.max() > len(str(INK)):
        return None
    numbers = text.take(ends - 1) - np.uint8(ZERO)  # characters below "0" become large
    longer = np.flatnonzero(lengths > 1)  # few: most pixels are 0
    ends, lengths, ones = ends.take(longer), lengths.take(longer), numbers.take(longer)
    tens, hundreds = (text.take(ends - at) - np.uint8(ZERO) for at in (2, 3))
    hundreds *= lengths > 2
    if max(figures.max(initial=0) for figures in (numbers, tens, hundreds)) > 9:
        return None
    large = hundreds * np.uint16(100) + tens * np.uint16(10) + ones
    if large.max(initial=0) > INK:
        return None
    numbers.ravel()[longer] = large
    return numbers


def parse_scientific(chunk: bytes, zeros: bytes, written: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Parse whole rows as numpy.savetxt writes them, 3.000e+00; None unless all are written so.

    `zeros` is a row of zeros, and `written` the numbers 0 to 255, shape (256, characters).
    """
    end = b"\r\n" if chunk.endswith(b"\r\n") else b"\n"
    chunk = chunk if chunk.endswith(end) else chunk + end
    row, width = zeros + end, written.shape[1] + 1
    if len(chunk) % len(row):
        return None
    text = np.frombuffer(chunk, np.uint8).reshape(-1, len(row))
    differs = text != np.frombuffer(row, np.uint8)
    positive = np.flatnonzero(differs[:, : len(zeros) : width])  # cells whose first figure is not 0
    cells = text[:, : len(zeros) + 1].reshape(-1, width).take(positive, axis=0)[:, :-1]
    first, second, third, exponents = (cells[:, at] - np.uint8(ZERO) for at in (0, 2, 3, -1))
    if exponents.max(initial=0) > 2:
        return None
    numbers = first * np.uint16(100) + second * np.uint16(10) + third
    numbers //= np.array([100, 10, 1], np.uint16).take(exponents)
    if numbers.max(initial=0) > INK or not np.array_equal(written.take(numbers, axis=0), cells):
        return None
    if np.count_nonzero(cells != written[0]) != np.count_nonzero(differs):  # a zero is written otherwise
        return None
    result = np.zeros((len(text), (len(zeros) + 1) // width), np.uint8)
    result.ravel()[positive] = numbers
    return result


def _find_bad_cell(row: Sequence[str], layout: Layout, separator: str | None) -> str | None:
    if len(row) != len(layout.names):
        expected = len(layout.names)
        return f": expected {expected} cells, one for each column, found {len(row)}"
    for column in (*layout.labels, *layout.pixels):
        highest = INK if column not in layout.labels else CLASSES - 1 if len(layout.labels) == 1 else 1
        cell = label_digit(row[column]) if column in layout.labels else row[column]
        cell = cell if separator == "," else cell.replace(",", ".")
        whole = NUMBER.fullmatch(cell) and float(cell).is_integer() and 0 <= float(cell) <= highest
        if not whole:
            found = f"{row[column][:MAX_CELL_CHARACTERS_SHOWN]!r}" if cell.strip() else "an empty cell"
            name = layout.names[column]
            return f", column {name}: expected an integer 0 to {highest}, found {found}"
    ones = sum(float(label_digit(row[column])) for column in layout.labels)
    if len(layout.labels) == CLASSES and ones != 1:
        return f": expected one 1 in the ten columns of the one-hot label, found {ones:g}"
    return None


@lru_cache(maxsize=1024)  # a table has few different labels
def label_digit(cell: str) -> str:
    """Return the digit for its name in a cell of a label, 0 or 1 for a truth value, other text as it is."""
    digit = class_of(cell)
    return TRUTH.get(cell.strip().lower(), cell) if digit is None else str(digit)


def _encoding(head: bytes) -> str:
    """Return the encoding of a text: UTF-8, or UTF-16 as PowerShell writes it."""
    return "utf-16" if head[:2] in UTF16_MARKS and b"\0" in head[2:4] else UTF8


@contextmanager
def _open_text(file: File, encoding: str, on_progress: OnProgress | None = None) -> Iterator[TextIO]:
    """Open the text from its start; skips a byte order mark and accepts every kind of line end."""
    try:
        with file.open_unpacked(on_progress) as stream:
            yield io.TextIOWrapper(stream, encoding=encoding)
    except UnicodeError as error:
        raise DigitsError(f"{file} is not UTF-8 text: expected a CSV") from error


def _find_table(file: File, encoding: str) -> Table:
    """Find the separator, and the header or its absence, in the first lines."""
    with _open_text(file, encoding) as text:
        number, line = 0, "\n"
        while (line and not line.strip(BLANK)) or line.startswith("%"):  # % starts a comment in ARFF
            number, line = number + 1, text.readline(MAX_LINE_CHARACTERS)
        if not line:
            raise DigitsError(f"{file} is empty: expected {KAGGLE_HEADER}")
        if line.lower().startswith("@relation"):
            return _find_arff(file, encoding, text, number)
        separator = None
        if line.lower().startswith("sep="):  # what Excel reads as the separator
            separator, number, line = line[4:5], number + 1, text.readline(MAX_LINE_CHARACTERS)
        next_line = text.readline(MAX_LINE_CHARACTERS)
    separator = separator or _find_separator(line)
    cells = _cells(line.removeprefix("#").removeprefix(" "), separator)  # numpy.savetxt marks a header with #
    width = max(len(cells), len(_cells(next_line, separator)))
    points = cells if separator == "," else [cell.replace(",", ".") for cell in cells]
    if is_header(points) or line.startswith("#"):
        return Table(file, encoding, separator, number, number, tuple(cells), width)
    return Table(file, encoding, separator, number - 1, number, None, width)


def _find_arff(file: File, encoding: str, text: TextIO, number: int) -> Table:
    """Read the header of an ARFF file, as OpenML and Weka write them."""
    names = []
    for line in text:
        number += 1
        if match := ARFF_ATTRIBUTE.match(line.strip()):
            names.append(match[1].strip("'\""))
        if line.strip().lower() == "@data":
            return Table(file, encoding, ",", number, number, tuple(names), len(names))
    raise DigitsError(f"{file} is an ARFF file without a line @data: download it again")


def _find_separator(line: str) -> str | None:
    """Return what separates the cells of a line; None for white space."""
    wide = [each for each in SEPARATORS if line.count(each) >= PIXELS - 1]
    if wide:
        return wide[0]  # a comma may be the decimal point if there are semicolons
    often = max(SEPARATORS, key=line.count)
    return (
        often if line.count(often) and len(line.split()) < PIXELS else None if len(line.split()) > 1 else ","
    )


def _cells(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]
