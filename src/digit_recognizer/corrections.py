"""The SQLite file with the digits that users corrected: their images and the right labels.

The file has one table and is in write-ahead mode, so a service can add rows while a command reads them. Each
call opens and closes the file, so threads can use the same `CorrectionStore`.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, NON_DIGIT, PIXELS, SIDE, Digits, Samples, check_images
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import make_directory, replacing

DEFAULT_PATH = Path("runs") / "corrections.sqlite"
PATH_VARIABLE = "DIGITS_CORRECTIONS_FILE"  # environment variable: the default file; also of `digits serve`

APPLICATION_ID = 0x64676974  # "dgit", in the file's header: distinguishes our files from other databases
FORMAT_VERSION = 1  # raised if an older version of this package could not read the table
BUSY_TIMEOUT_SECONDS = 5.0  # how long to wait for another process that writes
RETRY_SECONDS = 0.02  # between attempts at what SQLite does not wait for by itself
MAX_FILE_BYTES = 128 << 20  # about 130,000 corrections
MAX_ID = 2**63 - 1  # SQLite's largest integer

# AUTOINCREMENT: the id of a deleted correction is never used again
CREATE_TABLE = f"""
CREATE TABLE IF NOT EXISTS corrections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image BLOB NOT NULL CHECK (length(image) = {PIXELS}),
    label INTEGER CHECK (label BETWEEN 0 AND {CLASSES - 1}),
    read_as INTEGER CHECK (read_as BETWEEN 0 AND {CLASSES - 1}),
    model TEXT NOT NULL,
    time TEXT NOT NULL
)
"""
INSERT = "INSERT INTO corrections (image, label, read_as, model, time) VALUES (?, ?, ?, ?, ?)"
SELECT = "SELECT id, image, label, read_as, model, time FROM corrections ORDER BY id"

BUSY_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
DAMAGED_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


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
        self._create = create
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
        now = datetime.now(UTC).isoformat(timespec="seconds")
        values = (np.ascontiguousarray(image).tobytes(), label, read_as, model, now)
        with self._transaction() as database:
            cursor = database.execute(INSERT, values)
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def delete(self, id: int) -> bool:  # noqa: A002
        """Delete a correction; return whether it existed."""
        if not 0 < id <= MAX_ID:
            return False
        with self._transaction() as database:
            return database.execute("DELETE FROM corrections WHERE id = ?", (id,)).rowcount > 0

    def clear(self) -> int:
        """Delete all corrections, and their images from the disk; return how many there were."""
        with self._transaction() as database:
            count = database.execute("DELETE FROM corrections").rowcount
        with self._open(write=True) as database:
            database.execute("VACUUM")
        return count

    def count(self) -> int:
        """Return the number of corrections."""
        with self._open() as database:
            return int(database.execute("SELECT count(*) FROM corrections").fetchone()[0])

    def all(self) -> list[Correction]:
        """Return all corrections, the oldest first."""
        with self._open() as database:
            return [_correction(row, self.path) for row in database.execute(SELECT)]

    def samples(self) -> Samples:
        """Return the last correction of each image, the digits first, then the non-digits; may be empty."""
        last = {each.image.tobytes(): each for each in self.all()}.values()
        ordered = sorted(last, key=lambda each: (each.label is None, each.id))
        images = np.array([each.image for each in ordered], np.uint8).reshape(-1, SIDE, SIDE)
        classes = [NON_DIGIT if each.label is None else each.label for each in ordered]
        return Samples(images, np.array(classes, np.int64))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Open the file for a change that is made as a whole or not at all."""
        with self._open(write=True) as database:
            database.execute("BEGIN IMMEDIATE")
            with database:
                yield database

    @contextmanager
    def _open(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """Open the file, and check that it is a file of corrections; create it if it is missing."""
        if self._create and not _has_content(self.path):
            self._create_file()
        with self._connect(write=write) as database:
            _check_format(database, self.path)
            yield database

    def _create_file(self) -> None:
        make_directory(self.path.parent)
        try:
            self.path.touch(mode=0o600, exist_ok=True)  # handwriting is private
        except OSError as error:
            raise DigitsError(f"cannot write {self.path}: {error.strerror or error}") from error
        with self._connect(write=True) as database:
            if not _pragma(database, "application_id") and not _tables(database):
                _create_table(database)

    @contextmanager
    def _connect(self, *, write: bool) -> Iterator[sqlite3.Connection]:
        """Connect to the file; SQLite's errors become `DigitsError`."""
        uri = f"{self.path.absolute().as_uri()}?mode={'rw' if write else self._read_mode()}"
        try:
            with closing(
                sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None)
            ) as database:
                database.execute("PRAGMA secure_delete = ON")
                pages = MAX_FILE_BYTES // _pragma(database, "page_size")
                database.execute(f"PRAGMA max_page_count = {pages}")
                yield database
        except sqlite3.Error as error:
            raise DigitsError(_error_message(self.path, error, "write" if write else "read")) from error

    def _read_mode(self) -> str:
        """Return SQLite's mode for reading; without write access to the folder, it cannot create a log."""
        log = self.path.with_name(f"{self.path.name}-wal")
        return "ro" if os.access(self.path.parent, os.W_OK) or log.exists() else "ro&immutable=1"


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


def _create_table(database: sqlite3.Connection) -> None:
    """Create the table in an empty file; two processes may do so at the same time.

    The mode changes after the table is there: changing it writes to the file, and another process must never
    see a file with content but without the table.
    """
    database.execute("BEGIN IMMEDIATE")
    with database:
        database.execute(CREATE_TABLE)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    _switch_to_write_ahead(database)


def _switch_to_write_ahead(database: sqlite3.Connection) -> None:
    """Switch to write-ahead mode; wait for other processes, because SQLite does not wait here."""
    end = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if _error_code(error) not in BUSY_CODES or time.monotonic() > end:
                raise
            time.sleep(RETRY_SECONDS)


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:  # creating the file raises the same error
        return False


def _check_format(database: sqlite3.Connection, path: Path) -> None:
    if _pragma(database, "application_id") != APPLICATION_ID or "corrections" not in _tables(database):
        raise DigitsError(f"{path} is not a file of corrections: name another file")
    version = _pragma(database, "user_version")
    if version > FORMAT_VERSION:
        raise DigitsError(
            f"{path} has format {version}, and this version reads up to format {FORMAT_VERSION}: "
            "upgrade digit-recognizer"
        )


def _pragma(database: sqlite3.Connection, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])


def _tables(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


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


def _error_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _error_message(path: Path, error: sqlite3.Error, action: str) -> str:
    code = _error_code(error)
    if code in BUSY_CODES:
        return f"{path} is in use by another program: try again later"
    if code in DAMAGED_CODES:
        return (
            f"{path} is damaged, or not a file of corrections ({error}): restore it from a copy, "
            "or name another file"
        )
    if code == sqlite3.SQLITE_FULL:
        limit = MAX_FILE_BYTES >> 20
        return f"{path} is full ({limit} MB), or the disk is full: export the corrections and clear them"
    return f"cannot {action} {path}: {error}"
