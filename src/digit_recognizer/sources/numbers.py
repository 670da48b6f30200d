"""Pictures of whole numbers and what is written on them: a CSV with the columns ``file`` and ``label``."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.errors import DigitsError, first_line
from digit_recognizer.formatting import count
from digit_recognizer.progress import counted, following
from digit_recognizer.reading import CHARACTERS
from digit_recognizer.sources.common import warn
from digit_recognizer.sources.streams import OnProgress

LABELS = "labels.csv"  # in a folder of pictures
COLUMNS = {
    "file": ("file", "filename", "file_name", "image", "path", "picture"),
    "label": ("label", "text", "number", "labels"),
    "part": ("part", "split", "set"),
}  # which names a column may have
NumberPart = Literal["train", "validation", "test"]
PARTS: dict[NumberPart, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
SEPARATORS = ",;\t"
MAX_PIXELS = 1_000_000  # of a picture in memory; larger ones are made smaller
MAX_LABEL_CHARACTERS = 64


@dataclass(frozen=True, slots=True, eq=False)
class NumberPictures:
    """Pictures, each of one number.

    Attributes
    ----------
    pictures
        uint8, each of its own shape (H, W): grey values, 0 black to 255 white.
    labels
        What is written on each.
    files
        What each is called in the table.
    parts
        The part of each; None if the table does not say.
    """

    pictures: tuple[NDArray[np.uint8], ...]
    labels: tuple[str, ...]
    files: tuple[str, ...]
    parts: tuple[NumberPart, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Sequence[int] | NDArray[np.int64]) -> NumberPictures:
        """Return the pictures in some rows."""
        places = np.asarray(rows, np.int64).tolist()
        parts = None if self.parts is None else tuple(self.parts[row] for row in places)
        pictures, labels, files = (
            tuple(column[row] for row in places) for column in (self.pictures, self.labels, self.files)
        )
        return NumberPictures(pictures, labels, files, parts)

    def without_test(self) -> NumberPictures:
        """Return the pictures that are not of the test part."""
        if self.parts is None or "test" not in self.parts:
            return self
        return self.of_parts("train", "validation")

    def of_parts(self, *names: NumberPart) -> NumberPictures:
        """Return the pictures of some parts; there may be none."""
        return self[[row for row, part in enumerate(self.parts or ()) if part in names]]

    def sha256(self) -> str:
        """Return a checksum of pictures, labels and parts."""
        digest = hashlib.sha256()
        for row, (picture, label) in enumerate(zip(self.pictures, self.labels, strict=True)):
            part = "" if self.parts is None else self.parts[row]
            digest.update(f"{picture.shape} {label} {part}\n".encode())
            digest.update(picture.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the table; its number counts from 1, as spreadsheets do."""

    number: int
    file: str
    label: str
    part: str | None


def is_number_table(source: str | Path) -> bool:
    """Return whether a source is a table of pictures and labels, or a folder that holds one."""
    try:
        return set(_find_columns(_read_header(_find_table(Path(source))))) >= {"file", "label"}
    except DigitsError:
        return False


def load_numbers(
    source: str | Path, *, skip_bad: bool = False, on_progress: OnProgress | None = None
) -> NumberPictures:
    """Load pictures of whole numbers.

    Parameters
    ----------
    source
        A CSV with the columns ``file`` (a path relative to the CSV) and ``label`` (characters of
        ``0123456789.,-/:+%``), and possibly ``part`` (train, validation or test); or a folder with such a
        ``labels.csv``.
    skip_bad
        Whether to leave out rows with a wrong label or with a picture that is missing or damaged, instead of
        raising an error.
    on_progress
        Called with the fraction that is read, 0 to 1.

    Raises
    ------
    DigitsError
        The table cannot be read, or a row is wrong; the message says which and why.
    """
    table = _find_table(Path(source))
    rows = list(_read_rows(table))
    labels_of: dict[str, set[str]] = {}
    for row in rows:
        labels_of.setdefault(row.file, set()).add(row.label)
    good: dict[str, tuple[_Row, NDArray[np.uint8]]] = {}
    bad: list[str] = []
    with following("Reading", on_progress) as tell:
        for row in counted(rows, len(rows), tell):
            if row.file in good:
                continue
            try:
                good[row.file] = row, _load_row(row, table.parent, labels_of[row.file])
            except DigitsError as error:
                problem = f"{table}, row {row.number}: {error}"
                if not skip_bad:
                    raise DigitsError(
                        f"{problem}; correct it, or leave such rows out with --skip-bad"
                    ) from error
                bad.append(problem)
    if bad:
        warn(f"{count(len(bad), 'row')} of {len(rows):,} left out, first {bad[0]}")
    if not good:
        raise DigitsError(f"{table}: expected a picture and a label in each row, found none that can be used")
    return _collect(good)


def _collect(good: dict[str, tuple[_Row, NDArray[np.uint8]]]) -> NumberPictures:
    rows = [row for row, _ in good.values()]
    parts = tuple(_part_of(row.part) for row in rows if row.part is not None)
    return NumberPictures(
        tuple(picture for _, picture in good.values()),
        tuple(row.label for row in rows),
        tuple(row.file for row in rows),
        parts or None,
    )


def _load_row(row: _Row, folder: Path, labels: set[str]) -> NDArray[np.uint8]:
    """Check a row and return its picture."""
    if not row.file:
        raise DigitsError("the name of the file is missing")
    if not row.label:
        raise DigitsError(f"{row.file} has no label")
    others = sorted(set(row.label) - set(CHARACTERS))
    if others:
        raise DigitsError(
            f"the label {row.label!r} of {row.file} has {others[0]!r}; expected only {CHARACTERS}"
        )
    if len(row.label) > MAX_LABEL_CHARACTERS:
        raise DigitsError(f"the label of {row.file} is longer than {MAX_LABEL_CHARACTERS} characters")
    if len(labels) > 1:
        raise DigitsError(f"{row.file} has different labels: {' and '.join(sorted(labels))}")
    if row.part is not None:
        _part_of(row.part)
    return _load_picture(folder / row.file, row.file)


def _load_picture(path: Path, name: str) -> NDArray[np.uint8]:
    from digit_recognizer.imaging import decode  # slow to import
    from digit_recognizer.imaging.resize import resize

    if not path.is_file():
        raise DigitsError(f"there is no picture {name}")
    page = decode(path, name)
    return resize(page, min(1.0, (MAX_PIXELS / page.size) ** 0.5))


def _part_of(word: str) -> NumberPart:
    for part, words in PARTS.items():
        if word.lower() in words:
            return part
    raise DigitsError(f"the part is {word!r}; expected train, validation or test")


def _find_table(source: Path) -> Path:
    if source.is_dir():
        if not (source / LABELS).is_file():
            raise DigitsError(f"{source}: expected {LABELS} with the columns file and label in this folder")
        return source / LABELS
    if not source.is_file():
        raise DigitsError(f"there is no table {source}: name a CSV with the columns file and label")
    return source


def _read_header(table: Path) -> list[str]:
    with _reading(table) as lines:
        return next(lines, [])


def _find_columns(header: Sequence[str]) -> dict[str, int]:
    """Return the places of the columns that a header names."""
    names = [name.strip().lower() for name in header]
    found = {}
    for column, choices in COLUMNS.items():
        places = [names.index(choice) for choice in choices if choice in names]
        if places:
            found[column] = places[0]
    return found


def _read_rows(table: Path) -> Iterator[_Row]:
    with _reading(table) as lines:
        columns = _find_columns(next(lines, []))
        missing = [name for name in ("file", "label") if name not in columns]
        if missing:
            raise DigitsError(
                f"{table}: expected a first row with the columns file and label, found no {missing[0]}"
            )
        for number, cells in enumerate(lines, start=2):
            if any(cell.strip() for cell in cells):
                values = {
                    name: cells[place].strip() if place < len(cells) else ""
                    for name, place in columns.items()
                }
                yield _Row(number, values["file"], values["label"], values.get("part"))


@contextmanager
def _reading(table: Path) -> Iterator[Iterator[list[str]]]:
    """Open a table as rows of cells; errors name the file."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as text:
            first = text.readline()
            text.seek(0)
            separator = max(SEPARATORS, key=first.count)
            yield iter(csv.reader(text, delimiter=separator))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DigitsError(f"{table} cannot be read as a table: {first_line(error)}") from error
