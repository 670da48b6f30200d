"""The labels of a table of images in a file of their own, as in X_train.csv and y_train.csv."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES
from digit_recognizer.errors import DigitsError
from digit_recognizer.formatting import count
from digit_recognizer.sources.arrays import role_of
from digit_recognizer.sources.common import note, part_of, to_labels
from digit_recognizer.sources.folders import File
from digit_recognizer.sources.tables.columns import TRUTH
from digit_recognizer.sources.tables.csv_text import BLANK, Table, find_table
from digit_recognizer.sources.tables.headers import counts_rows

SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz")


def find_label_file(images: File) -> Table | None:
    """Return the only table of labels of the same part beside a table of images."""
    named = [
        name
        for name in images.folder.files()
        if name.lower().endswith(SUFFIXES)
        and role_of(name.partition(".")[0]) == "labels"
        and part_of(name) == part_of(images.name)
        and name != images.name
    ]
    table = find_table(images.folder.file(named[0])) if len(named) == 1 else None
    return None if table is None or table.is_wide else table


def read_labels(table: Table, images: File, expected: int) -> NDArray[np.int64]:
    """Read the labels of a number of images: one column, ten of a one-hot label, or one after an index."""
    with table.open() as text:
        rows = [table.cells(line) for line in text if line.strip(BLANK)]
    width = table.width - (table.width == 2 and counts_rows([row[0] for row in rows]))
    cells = [row[-width:] for row in rows]
    if width not in (1, CLASSES) or any(len(row) != width for row in cells):
        raise DigitsError(
            f"{table.file}: expected a column of labels, or {CLASSES} of a one-hot label, found {table.width}"
        )
    if len(rows) != expected:
        raise DigitsError(
            f"{images} contains {count(expected, 'image')}, but {table.file} contains "
            f"{count(len(rows), 'label')}: give files that belong together"
        )
    note(f"{images}: the labels are in {table.file.name}")
    if width == 1:
        return to_labels(str(table.file), np.array([row[0] for row in cells], np.str_))
    numbers = [[TRUTH.get(cell.lower(), cell) for cell in row] for row in cells]
    try:
        return to_labels(str(table.file), np.array(numbers, np.float64))
    except ValueError as error:
        raise DigitsError(f"{table.file}: expected a one-hot label of 0 and 1: {error}") from error
