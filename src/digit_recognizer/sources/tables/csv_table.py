"""Read tables of digits as text: the competition's CSV, and those of other names, separators and numbers.

A row of train.csv is a label and 784 pixels, a row of test.csv 784 pixels; pixel 28 i + j is in row i,
column j of the image (https://www.kaggle.com/competitions/digit-recognizer/data).
"""

from __future__ import annotations

import re
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, SIDE, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.sources.common import (
    Loaded,
    Options,
    is_transposed,
    make_digits,
    note,
    other_labels,
)
from digit_recognizer.sources.tables.columns import LABEL, Layout, find_label, find_layout
from digit_recognizer.sources.tables.csv_text import (
    BLANK,
    SEPARATORS,
    Table,
    find_bad_row,
)
from digit_recognizer.sources.tables.label_file import find_label_file, read_labels
from digit_recognizer.sources.tables.rows import ROWS_AT_ONCE, read_rows

SAMPLE_ROWS = 20  # that show the columns and how numbers are written
UNNAMED = re.compile("unnamed:", re.IGNORECASE)  # what pandas calls an index without a name


def read_csv(table: Table, options: Options) -> Loaded:
    """Read the digits of a table, with labels and ids if it has them."""
    with table.open() as text:
        sample = list(islice((line for line in text if line.strip(BLANK)), SAMPLE_ROWS))
    layout = _find_layout(table, sample, options)
    label_file = None if layout.labels or layout.label_is_open else find_label_file(table.file)
    if options.part == "train" and not (layout.labels or layout.label_is_open or label_file):
        raise DigitsError(
            f"{table.file} has no column {LABEL!r}, so it looks like test.csv: "
            f"give train.csv or the archive with both, or name the column of the label {LABEL!r}"
        )
    id_name = _id_name(table, layout)
    rows, cells = read_rows(
        table, layout, sample, bool(id_name) and options.part == "test", options.on_progress
    )
    ids = tuple(rows.ids) if rows.keep_ids else None
    digits = _to_digits(table, layout, cells)
    if label_file is not None:
        labels = read_labels(label_file, table.file, len(digits))
        digits = make_digits(str(label_file.file), digits.images, labels)
    return Loaded(digits, id_name, ids)


def _id_name(table: Table, layout: Layout) -> str:
    """Return the name of the column of ids; an index without a name, as pandas writes it, is none."""
    if layout.id is None or table.header is None or layout.id >= len(table.header):
        return ""
    name = table.header[layout.id].strip()
    return "" if UNNAMED.match(name) else name


def _find_layout(table: Table, sample: list[str], options: Options) -> Layout:
    if not sample:
        raise DigitsError(f"{table.file} has a header but no rows after it")
    where = str(table.file) if table.header is None else f"{table.file}, line {table.header_line}"
    return find_layout(where, table.header, [table.cells(line) for line in sample], options.part)


def _to_digits(table: Table, layout: Layout, cells: NDArray[np.uint8]) -> Digits:
    """Make digits of the label, if there is one, and the pixels; say what was assumed."""
    notes, count = list(layout.notes), len(layout.labels)
    if layout.label_is_open:
        label = find_label(str(table.file), cells)
        chosen = "the first is the label" if label == 0 else "the last is the label"
        notes[-1:] = [f"{notes[-1]}: {chosen}" if notes else chosen]
        cells, count = np.roll(cells, 1, axis=1) if label else cells, 1
    if table.separator != ",":
        notes.insert(0, f"{SEPARATORS.get(table.separator or '', 'spaces')} separate the columns")
    transposed = is_transposed(table.file.name)
    if transposed:
        notes.append("EMNIST's images are stored column by column")
    if notes:
        note(f"{table.file}: {'; '.join(notes)}")
    labels = _labels(table, layout, cells[:, :count])
    images = _move_together(cells, count).reshape(-1, SIDE, SIDE)
    if transposed:
        images = images.transpose(0, 2, 1)
    return make_digits(str(table.file), images, labels)


def _move_together(cells: NDArray[np.uint8], first: int) -> NDArray[np.uint8]:
    """Move the columns from `first` on together, in place: a copy would need as much memory again."""
    if first == 0:
        return cells
    count, left = len(cells), cells.shape[1] - first
    flat = cells.reshape(-1)
    for start in range(0, count, ROWS_AT_ONCE):
        rows = cells[start : start + ROWS_AT_ONCE, first:].copy()  # its place overlaps where it moves to
        flat[start * left :][: rows.size] = rows.reshape(-1)
    return flat[: count * left].reshape(count, left)


def _labels(table: Table, layout: Layout, cells: NDArray[np.uint8]) -> NDArray[np.int64] | None:
    """Return the labels of rows with none, one, or ten columns of them."""
    if cells.shape[1] == 0:
        return None
    if cells.shape[1] == 1:
        labels = cells[:, 0].astype(np.int64)
        others = other_labels(labels)
        if others:
            problem = find_bad_row(table, layout, f"; {others}")
            raise DigitsError(problem or f"{table.file}: expected labels 0 to {CLASSES - 1}, {others}")
        return labels
    if ((cells.sum(axis=1) != 1) | (cells.max(axis=1) != 1)).any():
        raise DigitsError(find_bad_row(table, layout) or f"{table.file}: expected a one-hot label")
    return np.asarray(cells.argmax(axis=1), np.int64)
