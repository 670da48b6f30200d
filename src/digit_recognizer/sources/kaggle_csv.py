"""Read the CSV files of the Kaggle competition, and say which cell is wrong.

A row of train.csv is a label and 784 pixels, a row of test.csv 784 pixels; pixel 28 i + j is in row i,
column j of the image (https://www.kaggle.com/competitions/digit-recognizer/data).
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, INK, PIXELS, SIDE, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.common import Part, make_digits

LABEL = "label"
PIXEL_COLUMNS = tuple(f"pixel{i}" for i in range(PIXELS))
HEADER = f"a header line {LABEL},pixel0,…,pixel{PIXELS - 1}"
LABEL_CELLS = frozenset(str(digit) for digit in range(CLASSES))
PIXEL_CELLS = frozenset(str(level) for level in range(INK + 1))
INTEGER = re.compile(r"\s*\+?[0-9]{1,20}\s*")  # what loadtxt accepts as an unsigned integer
MAX_HEADER_CHARACTERS = 1 << 16  # a header of 785 names has 7,000
MAX_CELL_CHARACTERS_SHOWN = 40
MAX_NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class CsvTable:
    """A CSV that can be read more than once: a file, or a member of a zip archive."""

    name: str
    open_bytes: Callable[[], AbstractContextManager[IO[bytes]]]

    @contextmanager
    def open_text(self) -> Iterator[TextIO]:
        """Open the text from its start; skips a byte order mark and accepts every kind of line end."""
        try:
            with self.open_bytes() as stream:
                yield io.TextIOWrapper(stream, encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise DigitsError(f"{self.name} is not UTF-8 text: expected a CSV") from error


def read_csv(table: CsvTable, part: Part) -> Digits:
    """Read the digits of a CSV, with labels if it has them."""
    with table.open_text() as text:
        columns = _read_header(table, text)
        if part == "train" and LABEL not in columns:
            raise DigitsError(
                f"{table.name} has no column {LABEL!r}, so it looks like test.csv: "
                "give train.csv or the archive with both"
            )
        cells = _read_cells(table, text, columns)
    return _cells_to_digits(table, cells, columns)


def first_names(names: Sequence[str]) -> str:
    """Return some names for an error message, and how many more there are."""
    more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
    return ", ".join(names[:MAX_NAMES_SHOWN]) + more


def _read_header(table: CsvTable, text: TextIO) -> list[str]:
    """Read the header and check that it names each column once, in any order."""
    line = text.readline(MAX_HEADER_CHARACTERS)
    if not line:
        raise DigitsError(f"{table.name} is empty: expected {HEADER}")
    columns = [name.strip() for name in next(csv.reader([line]), [])]
    if columns and all(_is_number(name) for name in columns):
        raise DigitsError(f"{table.name}, line 1: expected {HEADER}, found numbers")
    _check_columns(f"{table.name}, line 1", columns)
    return columns


def _check_columns(where: str, columns: Sequence[str]) -> None:
    missing = [name for name in PIXEL_COLUMNS if name not in set(columns)]
    if missing:
        raise DigitsError(f"{where}: expected {HEADER}; these columns are missing: {first_names(missing)}")
    repeated = [name for name, times in Counter(columns).items() if times > 1]
    if repeated:
        raise DigitsError(
            f"{where}: expected each column once, found more than once: {first_names(repeated)}"
        )
    unknown = [repr(name) for name in columns if name not in {LABEL, *PIXEL_COLUMNS}]
    if unknown:
        raise DigitsError(
            f"{where}: expected only the columns {LABEL} and pixels, found {first_names(unknown)}"
        )


def _read_cells(table: CsvTable, text: TextIO, columns: Sequence[str]) -> NDArray[np.uint8]:
    """Parse the rows after the header: uint8, shape (N, columns)."""
    lines = (line for line in text if not line.isspace())
    first = next(lines, None)
    if first is None:
        raise DigitsError(f"{table.name} has a header but no rows after it")
    options: dict[str, Any] = {"delimiter": ",", "comments": None, "quotechar": '"', "ndmin": 2}
    try:
        cells = np.loadtxt(chain([first], lines), dtype=np.uint8, **options)
    except (DigitsError, UnicodeDecodeError):  # both are kinds of ValueError
        raise
    except ValueError as error:
        raise DigitsError(_find_bad_row(table, columns) or f"{table.name}: {error}") from error
    labels = cells[:, columns.index(LABEL)] if LABEL in columns else np.zeros(1)
    if cells.shape[1] != len(columns) or labels.max() >= CLASSES:
        raise DigitsError(
            _find_bad_row(table, columns) or f"{table.name}: expected {len(columns)} cells in each row"
        )
    return cells


def _cells_to_digits(table: CsvTable, cells: NDArray[np.uint8], columns: Sequence[str]) -> Digits:
    position = {name: index for index, name in enumerate(columns)}
    order = [position[name] for name in PIXEL_COLUMNS]
    in_order = order == list(range(order[0], order[0] + PIXELS))
    pixels = cells[:, order[0] : order[0] + PIXELS] if in_order else cells[:, order]  # (N, 784)
    labels = cells[:, position[LABEL]].astype(np.int64) if LABEL in position else None
    return make_digits(table.name, pixels.reshape(-1, SIDE, SIDE), labels)


def _find_bad_row(table: CsvTable, columns: Sequence[str]) -> str | None:
    """Read the rows again and return what is wrong with the first bad one.

    This is slow but needed only for the message: `numpy.loadtxt` counts neither the header nor blank lines,
    and does not know the names of columns.
    """
    with table.open_text() as text:
        rows = csv.reader(text)
        try:
            next(rows)
            for row in rows:
                problem = _find_bad_cell(row, columns) if "".join(row).strip() else None
                if problem:
                    return (
                        f"{table.name}, line {rows.line_num}{problem}: correct it, or download the file again"
                    )
        except csv.Error as error:
            return f"{table.name}, line {rows.line_num}: {error}"
    return None


def _find_bad_cell(row: Sequence[str], columns: Sequence[str]) -> str | None:
    if len(row) != len(columns):
        return f": expected {len(columns)} cells, one for each column of the header, found {len(row)}"
    for name, cell in zip(columns, row, strict=True):
        allowed = LABEL_CELLS if name == LABEL else PIXEL_CELLS
        if cell not in allowed and not (INTEGER.fullmatch(cell) and str(int(cell)) in allowed):
            found = f"{cell[:MAX_CELL_CHARACTERS_SHOWN]!r}" if cell.strip() else "an empty cell"
            return f", column {name}: expected an integer 0 to {len(allowed) - 1}, found {found}"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
