"""`CorrectionStore`: digits and numbers that users corrected, in a file, and as samples to learn from."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.corrections import numbers
from digit_recognizer.corrections.database import Database, prepare_for_numbers, tables
from digit_recognizer.corrections.numbers import NumberCorrection
from digit_recognizer.digits import CLASSES, NON_DIGIT, PIXELS, SIDE, Digits, Samples, check_images
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import replacing

DEFAULT_PATH = Path("runs") / "corrections.sqlite"
PATH_VARIABLE = "DIGITS_CORRECTIONS_FILE"  # environment variable: the default file; also of `digits serve`

MAX_ID = 2**63 - 1  # SQLite's largest integer

INSERT = "INSERT INTO corrections (image, label, read_as, model, time) VALUES (?, ?, ?, ?, ?)"
SELECT = "SELECT id, image, label, read_as, model, time FROM corrections ORDER BY id"
COUNT = {"corrections": "SELECT count(*) FROM corrections", "numbers": "SELECT count(*) FROM numbers"}
CLEAR = {"corrections": "DELETE FROM corrections", "numbers": "DELETE FROM numbers"}  # by table
DELETE = {table: f"{statement} WHERE id = ?" for table, statement in CLEAR.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """One digit that a user corrected.

    Attributes
    ----------
    id
        Unique in the file, also after the correction is deleted.
    image
        uint8, shape (28, 28): the network's input.
    label
        The right digit, 0 to 9; None for a non-digit.
    read_as
        The digit that the model read, 0 to 9; None for a non-digit.
    model
        The name of that model.
    time
        When the user corrected it: ISO 8601, UTC.
    """

    id: int
    image: NDArray[np.uint8]
    label: int | None
    read_as: int | None
    model: str
    time: str


class CorrectionStore:
    """A file of corrections.

    Parameters
    ----------
    path
        The file. It is created with its folder if it is missing, also if somebody deletes it later.
    create
        False: raise `DigitsError` if the file is missing.

    Raises
    ------
    DigitsError
        The file is missing, is not readable or writable, is damaged, or has another format.
    """

    def __init__(self, path: str | Path = DEFAULT_PATH, *, create: bool = True) -> None:
        self.path = Path(path)
        self._database = Database(self.path, create=create)
        if not create and not self.path.is_file():
            raise DigitsError(
                f"there are no corrections: the file {self.path} does not exist; start 'digits serve "
                "--corrections', and switch corrections on in the page"
            )
        self.count()  # raises if something is wrong with the file

    def add(
        self, image: NDArray[np.uint8], label: int | None, read_as: int | None = None, model: str = ""
    ) -> int:
        """Write a correction to the disk, and return its id; see `Correction` for the parameters."""
        check_images(np.asarray(image)[None])
        _check_label("label", label)
        _check_label("read_as", read_as)
        values = (np.ascontiguousarray(image).tobytes(), label, read_as, model, _now())
        with self._database.transaction() as database:
            return _insert(database, INSERT, values)

    def add_number(
        self,
        picture: NDArray[np.uint8],
        text: str,
        read_as: str = "",
        images: NDArray[np.uint8] | None = None,
        model: str = "",
    ) -> int:
        """Write a corrected number to the disk; return its id. See `NumberCorrection` for the parameters."""
        values = (*numbers.as_row(picture, text, read_as, images), model, _now())
        with self._database.transaction() as database:
            prepare_for_numbers(database)
            return _insert(database, numbers.INSERT, values)

    def delete(self, id: int) -> bool:  # noqa: A002
        """Delete the correction of a digit; return whether it existed."""
        return self._delete("corrections", id)

    def delete_number(self, id: int) -> bool:  # noqa: A002
        """Delete the correction of a number; return whether it existed."""
        return self._delete("numbers", id)

    def clear(self) -> int:
        """Delete all corrections, and their images from the disk; return how many there were."""
        with self._database.transaction() as database:
            count = sum(database.execute(CLEAR[each]).rowcount for each in _tables(database))
        with self._database.open(write=True) as database:
            database.execute("VACUUM")
        return count

    def count(self) -> int:
        """Return the number of corrections, of digits and of numbers."""
        with self._database.open() as database:
            counts = (database.execute(COUNT[each]).fetchone() for each in _tables(database))
            return sum(int(each[0]) for each in counts)

    def all(self) -> list[Correction]:
        """Return all corrections of digits, the oldest first."""
        with self._database.open() as database:
            return [_correction(row, self.path) for row in database.execute(SELECT)]

    def numbers(self) -> list[NumberCorrection]:
        """Return all corrections of numbers, the oldest first."""
        with self._database.open() as database:
            rows = database.execute(numbers.SELECT).fetchall() if "numbers" in _tables(database) else []
        try:
            return [numbers.from_row(row) for row in rows]
        except DigitsError as error:
            raise DigitsError(f"{self.path} is damaged: {error}") from error

    def samples(self) -> Samples:
        """Return the last label of each image, the digits first, then the non-digits; may be empty.

        Of numbers, these are the digits whose images are known; see `NumberCorrection.digits`.
        """
        found: list[tuple[str, NDArray[np.uint8], int | None]]
        found = [(str(each.time), each.image, each.label) for each in self.all()]
        found += [(each.time, image, digit) for each in self.numbers() for image, digit in each.digits]
        last: dict[bytes, tuple[NDArray[np.uint8], int | None]] = {}
        for _, image, label in sorted(found, key=lambda each: each[0]):  # stable: within a second, as stored
            last.pop(image.tobytes(), None)
            last[image.tobytes()] = image, label
        ordered = sorted(last.values(), key=lambda each: each[1] is None)
        images = np.array([image for image, _ in ordered], np.uint8).reshape(-1, SIDE, SIDE)
        classes = [NON_DIGIT if label is None else label for _, label in ordered]
        return Samples(images, np.array(classes, np.int64))

    def _delete(self, table: str, number: int) -> bool:
        if not 0 < number <= MAX_ID:
            return False
        with self._database.transaction() as database:
            if table not in _tables(database):
                return False
            return database.execute(DELETE[table], (number,)).rowcount > 0


def _tables(database: sqlite3.Connection) -> list[str]:
    """Return the tables of corrections that a file has: of digits, and in files of format 2 of numbers."""
    return [each for each in COUNT if each in tables(database)]


def _insert(database: sqlite3.Connection, statement: str, values: tuple[object, ...]) -> int:
    cursor = database.execute(statement, values)
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def corrections_path(path: Path | None = None) -> Path:
    """Return `path`; by default ``$DIGITS_CORRECTIONS_FILE``, then `DEFAULT_PATH`."""
    return path or Path(os.environ.get(PATH_VARIABLE) or DEFAULT_PATH)


def load_corrections(path: Path) -> Samples:
    """Load the samples of a `CorrectionStore`'s file, or of an .npz archive by `save_corrections`."""
    if path.suffix != ".npz":
        return CorrectionStore(path, create=False).samples()
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            images, labels, others = (arrays[name] for name in ("images", "labels", "others"))
        check_images(others)
        classes = np.concatenate([Digits(images, labels).labels, np.full(len(others), NON_DIGIT, np.int64)])
        return Samples(np.concatenate([images, others]), classes)
    except Exception as error:  # damage makes zipfile, zlib and numpy's parser raise almost anything
        raise DigitsError(
            f"{path} is damaged, or not an archive of corrections ({error}): restore it from a copy"
        ) from error


def save_corrections(path: Path, samples: Samples) -> None:
    """Write corrections as an .npz archive, which `load_digits` reads too.

    Its arrays are ``images``, uint8 (N, 28, 28), and ``labels``, int64 (N,), for the digits, and ``others``,
    uint8 (M, 28, 28), for the non-digits.
    """
    digits, others = samples.digits(), samples.images[~samples.is_digit]
    assert digits.labels is not None
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, images=digits.images, labels=digits.labels, others=others)


def _correction(row: tuple[Any, ...], path: Path) -> Correction:
    number, image, label, read_as, model, when = row
    if not isinstance(image, bytes) or len(image) != PIXELS:
        raise DigitsError(f"{path} is damaged: expected {PIXELS} pixels in correction {number}")
    if not _is_label(label) or not _is_label(read_as):
        raise DigitsError(
            f"{path} is damaged: expected digits 0 to 9 in correction {number}, found {label}, {read_as}"
        )
    pixels = np.frombuffer(image, np.uint8).reshape(SIDE, SIDE)
    return Correction(number, pixels, label, read_as, model, when)


def _is_label(label: object) -> bool:
    return label is None or (type(label) is int and 0 <= label < CLASSES)


def _check_label(name: str, label: int | None) -> None:
    if not _is_label(label):
        raise DigitsError(f"{name}: expected 0 to {CLASSES - 1}, or None for a non-digit, got {label!r}")
