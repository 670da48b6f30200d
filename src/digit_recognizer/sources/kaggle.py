"""Both ends of the Kaggle competition "Digit Recognizer": its archive or CSV files in, submission.csv out.

A row of train.csv is a label and 784 pixels, of test.csv the pixels alone; pixel 28 i + j lies on row
i, column j (https://www.kaggle.com/competitions/digit-recognizer/data).
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, INK, PIXELS, SIDE, Digits, Predictions
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import replacing, write_text
from digit_recognizer.sources.parts import Part, digits_of
from digit_recognizer.sources.streams import members, name_of, opened

ARCHIVE = "digit-recognizer.zip"  # as Kaggle names its download
LABEL = "label"
PIXEL_NAMES = tuple(f"pixel{i}" for i in range(PIXELS))
LABEL_CELLS = frozenset(str(digit) for digit in range(CLASSES))
PIXEL_CELLS = frozenset(str(level) for level in range(INK + 1))
INTEGER = re.compile(r"\s*\+?[0-9]{1,20}\s*")  # what loadtxt takes for an unsigned integer
HEADER_BYTES = 1 << 16  # a header of 785 names takes 7 kB
SHOWN = 3  # column names or members in a message


@dataclass(frozen=True, slots=True)
class _Table:
    """One CSV: a file, plain or gzip, or a member of a zip archive."""

    path: Path
    member: str | None = None

    @property
    def name(self) -> str:
        return name_of(self.path, self.member)

    @contextmanager
    def text(self) -> Iterator[TextIO]:
        """Give the text from its start; a byte order mark is skipped, every line end becomes a newline."""
        try:
            with opened(self.path, self.member) as stream:
                yield io.TextIOWrapper(stream, encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise DigitsError(f"{self.name} is not UTF-8 text: expected a CSV") from error


def load_zip(path: Path, part: Part) -> Digits:
    """Load one part of the competition's archive, or the only CSV of any zip archive."""
    tables = [name for name in members(path) if PurePosixPath(name).suffix.lower() == ".csv"]
    wanted = [name for name in tables if PurePosixPath(name).name.lower() == f"{part}.csv"]
    found = wanted[:1] or (tables if len(tables) == 1 else [])
    if not found:
        held = f"it holds {_some(tables)}" if tables else "it holds no CSV at all"
        raise DigitsError(f"{path}: expected a member {part}.csv, but {held}")
    return _load(_Table(path, found[0]), part)


def load_csv(path: Path, part: Part) -> Digits:
    """Load a single CSV, plain or gzip; whichever part is asked for, it is this one."""
    return _load(_Table(path), part)


def load_folder(folder: Path, part: Part) -> Digits:
    """Load one part from a folder with the CSV files, plain or compressed, or the whole archive."""
    found = tables_in(folder, part)
    if found is None:
        raise DigitsError(f"{folder}: expected {part}.csv, {part}.csv.gz, {part}.csv.zip or {ARCHIVE}")
    return load_zip(found, part) if found.suffix == ".zip" else load_csv(found, part)


def tables_in(folder: Path, part: Part) -> Path | None:
    """Return the file of a folder that holds a part in the competition's format, None without one."""
    names = (f"{part}.csv", f"{part}.csv.gz", f"{part}.csv.zip", ARCHIVE)
    return next((folder / name for name in names if (folder / name).is_file()), None)


def looks_like_csv(path: Path) -> bool:
    """Return whether a file names itself a CSV, or begins with the competition's header."""
    stem = path.name.lower().removesuffix(".gz")
    if stem.endswith(".csv"):
        return True
    with opened(path) as stream:
        return b"pixel0" in stream.read(64)


def write_submission(labels: NDArray[np.int64], target: Path) -> None:
    """Write predicted labels in the form that the competition scores.

    Parameters
    ----------
    labels
        Integers, shape (N,), each 0 to 9, in the order of the images of test.csv.
    target
        Where to: a line ``ImageId,Label``, then ``1,…`` to ``N,…``.

    Raises
    ------
    DigitsError
        The labels have another shape or range, or the file cannot be written.
    """
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or not np.isin(labels, range(CLASSES)).all():
        raise DigitsError(f"expected labels 0 to 9 of shape (N,), got {labels.dtype} {labels.shape}")
    rows = (f"{number},{label}" for number, label in enumerate(labels.tolist(), start=1))
    write_text(target, "\n".join(["ImageId,Label", *rows]) + "\n")


def write_training_csv(digits: Digits, target: Path) -> None:
    """Write digits in the form of the competition's train.csv.

    Parameters
    ----------
    digits
        With labels.
    target
        Where to: a line ``label,pixel0,…``, then a row for each image.

    Raises
    ------
    DigitsError
        They have no labels, or the file cannot be written.
    """
    if digits.labels is None:
        raise DigitsError("the digits have no labels, of which train.csv has a column")
    table = np.column_stack([digits.labels, digits.images.reshape(len(digits), PIXELS)])
    rows = (",".join(map(str, row)) for row in table.tolist())
    write_text(target, "\n".join([",".join((LABEL, *PIXEL_NAMES)), *rows]) + "\n")


def write_probabilities(predictions: Predictions, target: Path) -> None:
    """Write what a submission was decided from, as an .npz archive.

    Parameters
    ----------
    predictions
        Of N images, in the order of test.csv.
    target
        Where to: arrays ``image_ids``, int64 (N,), 1 to N, and ``probabilities``, float32 (N, 10).

    Raises
    ------
    DigitsError
        The file cannot be written.
    """
    image_ids = np.arange(1, len(predictions) + 1, dtype=np.int64)
    with replacing(target) as path, path.open("wb") as file:
        np.savez(file, image_ids=image_ids, probabilities=predictions.probabilities)


def _load(table: _Table, part: Part) -> Digits:
    with table.text() as text:
        columns = _header(table, text)
        if part == "train" and LABEL not in columns:
            raise DigitsError(
                f"{table.name} has no column {LABEL!r}, so it looks like test.csv: "
                "give train.csv or the archive that holds both"
            )
        cells = _cells(table, text, columns)
    return _digits(table, cells, columns)


def _header(table: _Table, text: TextIO) -> list[str]:
    """Read the header and check that it names each column once, in whatever order."""
    line = text.readline(HEADER_BYTES)
    if not line:
        raise DigitsError(f"{table.name} is empty: expected a header line label,pixel0,…,pixel{PIXELS - 1}")
    columns = [name.strip() for name in next(csv.reader([line]), [])]
    if columns and all(_is_number(name) for name in columns):
        raise DigitsError(f"{table.name}, line 1: expected a header line {LABEL},pixel0,…, found numbers")
    _check_names(f"{table.name}, line 1", columns)
    return columns


def _check_names(where: str, columns: Sequence[str]) -> None:
    missing = [name for name in PIXEL_NAMES if name not in set(columns)]
    if missing:
        raise DigitsError(f"{where}: columns are missing from the header: {_some(missing)}")
    doubled = [name for name, times in Counter(columns).items() if times > 1]
    if doubled:
        raise DigitsError(f"{where}: columns are in the header twice: {_some(doubled)}")
    unknown = [repr(name) for name in columns if name not in {LABEL, *PIXEL_NAMES}]
    if unknown:
        raise DigitsError(f"{where}: expected only {LABEL} and pixels as columns, found {_some(unknown)}")


def _cells(table: _Table, text: TextIO, columns: Sequence[str]) -> NDArray[np.uint8]:
    """Parse the rows below the header: uint8, shape (N, columns)."""
    lines = (line for line in text if not line.isspace())
    first = next(lines, None)
    if first is None:
        raise DigitsError(f"{table.name} has a header but no rows below it")
    options: dict[str, Any] = {"delimiter": ",", "comments": None, "quotechar": '"', "ndmin": 2}
    try:
        cells = np.loadtxt(chain([first], lines), dtype=np.uint8, **options)
    except (DigitsError, UnicodeDecodeError):  # both are kinds of ValueError
        raise
    except ValueError as error:
        raise DigitsError(_explain(table, columns) or f"{table.name}: {error}") from error
    labels = cells[:, columns.index(LABEL)] if LABEL in columns else np.zeros(1)
    if cells.shape[1] != len(columns) or labels.max() >= CLASSES:
        raise DigitsError(_explain(table, columns) or f"{table.name}: expected {len(columns)} cells a line")
    return cells


def _digits(table: _Table, cells: NDArray[np.uint8], columns: Sequence[str]) -> Digits:
    place = {name: index for index, name in enumerate(columns)}
    order = [place[name] for name in PIXEL_NAMES]
    in_order = order == list(range(order[0], order[0] + PIXELS))
    pixels = cells[:, order[0] : order[0] + PIXELS] if in_order else cells[:, order]
    labels = cells[:, place[LABEL]].astype(np.int64) if LABEL in place else None
    return digits_of(table.name, pixels.reshape(-1, SIDE, SIDE), labels)


def _explain(table: _Table, columns: Sequence[str]) -> str | None:
    """Walk the rows again, slowly, and say what is wrong with the first bad one.

    `numpy.loadtxt` counts neither the header nor blank lines and knows no column names.
    """
    with table.text() as text:
        rows = csv.reader(text)
        try:
            next(rows)
            for row in rows:
                complaint = _complaint(row, columns) if "".join(row).strip() else None
                if complaint:
                    return f"{table.name}, line {rows.line_num}{complaint}"
        except csv.Error as error:
            return f"{table.name}, line {rows.line_num}: {error}"
    return None


def _complaint(row: Sequence[str], columns: Sequence[str]) -> str | None:
    if len(row) != len(columns):
        return f": expected {len(columns)} cells, one for each column of the header, found {len(row)}"
    for name, cell in zip(columns, row, strict=True):
        values = LABEL_CELLS if name == LABEL else PIXEL_CELLS
        if cell not in values and not (INTEGER.fullmatch(cell) and str(int(cell)) in values):
            found = f"{cell[:40]!r}" if cell.strip() else "an empty cell"
            return f", column {name}: expected an integer 0 to {len(values) - 1}, found {found}"
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
