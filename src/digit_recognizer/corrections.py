"""What users said of digits that were read wrong: an SQLite file of their images and the right labels.

One table, in write-ahead mode, so that a service may add while a command reads. Each call opens the file for
itself, so that one `Corrections` may serve many threads.
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

CORRECTIONS = Path("runs") / "corrections.sqlite"  # where they are unless said otherwise
VARIABLE = (
    "DIGITS_CORRECTIONS_FILE"  # of the environment, that may say otherwise; `digits serve` reads it, too
)

APPLICATION = 0x64676974  # "dgit": in the file's header, it tells our files from those of others
VERSION = 1  # of the table; raised when an older version could not read a newer one's
PATIENCE = 5.0  # seconds to wait for another process that writes
PAUSE = 0.02  # seconds between attempts that SQLite itself does not wait for
MAX_BYTES = 128 << 20  # of the file: about 130,000 corrections
HIGHEST_ID = 2**63 - 1

TABLE = f"""
CREATE TABLE IF NOT EXISTS corrections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image BLOB NOT NULL CHECK (length(image) = {PIXELS}),
    label INTEGER CHECK (label BETWEEN 0 AND {CLASSES - 1}),
    read_as INTEGER CHECK (read_as BETWEEN 0 AND {CLASSES - 1}),
    model TEXT NOT NULL,
    time TEXT NOT NULL
)
"""  # AUTOINCREMENT: an id that was taken back never becomes another correction's

BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """One digit, as a user corrected it.

    Attributes
    ----------
    id
        Never given twice in one file.
    image
        uint8, shape (28, 28), as the network got it.
    label
        What it is, 0 to 9; None: no digit.
    read_as
        What it was read as, 0 to 9; None: no digit.
    model
        What read it.
    time
        When it was corrected: ISO 8601, UTC.
    """

    id: int
    image: NDArray[np.uint8]
    label: int | None
    read_as: int | None
    model: str
    time: str


class Corrections:
    """The corrections in a file.

    Parameters
    ----------
    path
        The file; made, with its folder, where it is not there, and again where it is taken away later.
    create
        False: it must be there.

    Raises
    ------
    DigitsError
        It is not there, cannot be read or written, is damaged, or is something else.
    """

    def __init__(self, path: str | Path = CORRECTIONS, *, create: bool = True) -> None:
        self.path = Path(path)
        self._creates = create
        if not create and not self.path.is_file():
            raise DigitsError(
                f"there are no corrections: {self.path} is no file; they are made on the page, "
                "where 'digits serve --corrections' was started and the user has switched them on"
            )
        self.count()  # which says what is wrong with it

    def add(
        self, image: NDArray[np.uint8], label: int | None, read_as: int | None = None, model: str = ""
    ) -> int:
        """Keep a correction; on the disk when this returns.

        Parameters
        ----------
        image
            uint8, shape (28, 28): 0 is the background, 255 full ink.
        label
            What it is, 0 to 9; None: no digit.
        read_as
            What it was read as, 0 to 9; None: no digit.
        model
            What read it.

        Returns
        -------
        int
            Its id.

        Raises
        ------
        DigitsError
            The image or a label is none, or the file cannot be written; or it is full.
        """
        check_images(np.asarray(image)[None])
        _check_label("label", label)
        _check_label("digit that it was read as", read_as)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        values = (np.ascontiguousarray(image).tobytes(), label, read_as, model, now)
        with self._writing() as database:
            cursor = database.execute(
                "INSERT INTO corrections (image, label, read_as, model, time) VALUES (?, ?, ?, ?, ?)", values
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def remove(self, number: int) -> bool:
        """Take a correction back; return whether there was one of this id."""
        if not 0 < number <= HIGHEST_ID:
            return False
        with self._writing() as database:
            return database.execute("DELETE FROM corrections WHERE id = ?", (number,)).rowcount > 0

    def clear(self) -> int:
        """Take all corrections back, and their images off the disk; return how many there were."""
        with self._writing() as database:
            count = database.execute("DELETE FROM corrections").rowcount
        with self._opened(write=True) as database:
            database.execute("VACUUM")
        return count

    def count(self) -> int:
        """Return how many corrections there are."""
        with self._opened() as database:
            return int(database.execute("SELECT count(*) FROM corrections").fetchone()[0])

    def all(self) -> list[Correction]:
        """Return all corrections, the oldest first."""
        query = "SELECT id, image, label, read_as, model, time FROM corrections ORDER BY id"
        with self._opened() as database:
            return [_correction(row, self.path) for row in database.execute(query)]

    def latest(self) -> list[Correction]:
        """Return the corrections that count: where the same image was corrected twice, the later."""
        by_image = {each.image.tobytes(): each for each in self.all()}
        return sorted(by_image.values(), key=lambda each: each.id)

    def samples(self) -> Samples:
        """Return `latest` as samples to learn from: the digits first, then the non-digits; N may be 0."""
        latest = sorted(self.latest(), key=lambda each: each.label is None)
        images = np.concatenate([np.empty((0, SIDE, SIDE), np.uint8), *(each.image[None] for each in latest)])
        classes = [NON_DIGIT if each.label is None else each.label for each in latest]
        return Samples(images, np.array(classes, np.int64))

    @property
    def _reading(self) -> str:
        """How to open the file to read: in a folder closed to us, SQLite cannot make what else it needs."""
        log = self.path.with_name(f"{self.path.name}-wal")
        return "ro" if os.access(self.path.parent, os.W_OK) or log.exists() else "ro&immutable=1"

    def _make(self) -> None:
        make_directory(self.path.parent)
        try:
            self.path.touch(mode=0o600, exist_ok=True)  # handwriting is its writer's
        except OSError as error:
            raise DigitsError(f"cannot write {self.path}: {error.strerror or error}") from error
        with self._connected(write=True) as database:
            if _is_empty(database):
                _set_up(database)

    @contextmanager
    def _opened(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """Give a connection to what is a file of corrections."""
        if self._creates and not _has_content(self.path):
            self._make()
        with self._connected(write=write) as database:
            _check(database, self.path)
            yield database

    @contextmanager
    def _connected(self, *, write: bool) -> Iterator[sqlite3.Connection]:
        """Give a connection; what SQLite raises becomes one sentence."""
        address = f"{self.path.absolute().as_uri()}?mode={'rw' if write else self._reading}"
        try:
            with closing(
                sqlite3.connect(address, uri=True, timeout=PATIENCE, isolation_level=None)
            ) as database:
                database.execute("PRAGMA secure_delete = ON")
                pages = MAX_BYTES // _pragma(database, "page_size")
                database.execute(f"PRAGMA max_page_count = {pages}")
                yield database
        except sqlite3.Error as error:
            raise DigitsError(_sentence(self.path, error, "write" if write else "read")) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Give a connection within a transaction, which is committed at the end, or not at all."""
        with self._opened(write=True) as database:
            database.execute("BEGIN IMMEDIATE")
            with database:
                yield database


def corrections_path(named: Path | None = None) -> Path:
    """Return the file as named, else as ``DIGITS_CORRECTIONS_FILE`` says, else `CORRECTIONS`."""
    return named or Path(os.environ.get(VARIABLE) or CORRECTIONS)


def load_corrections(path: Path) -> Samples:
    """Read what can be learned from a file of corrections, or from what `save_corrections` wrote.

    Raises
    ------
    DigitsError
        It is missing, damaged, or something else.
    """
    if path.suffix != ".npz":
        return Corrections(path, create=False).samples()
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            images, labels, others = (arrays[name] for name in ("images", "labels", "others"))
        check_images(others)
        classes = np.concatenate([Digits(images, labels).labels, np.full(len(others), NON_DIGIT, np.int64)])
        return Samples(np.concatenate([images, others]), classes)
    except Exception as error:  # damage makes zipfile, zlib and numpy's parser raise nearly anything
        raise DigitsError(f"{path} is damaged, or holds no corrections ({error}): bring it back") from error


def save_corrections(path: Path, samples: Samples) -> None:
    """Write corrections as an .npz archive, which `load_digits` reads too.

    Its arrays are ``images``, uint8 (N, 28, 28), and ``labels``, int64 (N,), of the digits, and ``others``,
    uint8 (M, 28, 28).

    Raises
    ------
    DigitsError
        The file cannot be written.
    """
    digits = samples.digits()
    assert digits.labels is not None
    others = samples.images[~samples.is_digit]
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, images=digits.images, labels=digits.labels, others=others)


def _set_up(database: sqlite3.Connection) -> None:
    """Make the table in an empty file; two processes may do so at the same time."""
    _go_ahead(database)
    database.execute("BEGIN IMMEDIATE")
    with database:
        database.execute(TABLE)
        database.execute(f"PRAGMA application_id = {APPLICATION}")
        database.execute(f"PRAGMA user_version = {VERSION}")


def _go_ahead(database: sqlite3.Connection) -> None:
    """Switch to write-ahead mode, for which SQLite waits for nobody."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if _code(error) not in BUSY or time.monotonic() > end:
                raise
            time.sleep(PAUSE)


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:  # said when it is made
        return False


def _is_empty(database: sqlite3.Connection) -> bool:
    return not _pragma(database, "application_id") and not _tables(database)


def _check(database: sqlite3.Connection, path: Path) -> None:
    """Raise `DigitsError` unless this is a file of corrections that this version reads."""
    if _pragma(database, "application_id") != APPLICATION or "corrections" not in _tables(database):
        raise DigitsError(f"{path} is no file of corrections: name another")
    version = _pragma(database, "user_version")
    if version > VERSION:
        raise DigitsError(
            f"{path} was written by a newer version (format {version}; this one reads up to {VERSION}): "
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
            f"{path} is damaged: expected digits in correction {number}, found {label}, {read_as}"
        )
    pixels = np.frombuffer(image, np.uint8).reshape(SIDE, SIDE)
    return Correction(number, pixels, label, read_as, model, when)


def _is_label(label: object) -> bool:
    return label is None or (type(label) is int and 0 <= label < CLASSES)


def _check_label(what: str, label: int | None) -> None:
    if not _is_label(label):
        raise DigitsError(f"expected as {what} 0 to {CLASSES - 1}, or None for no digit, got {label!r}")


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _sentence(path: Path, error: sqlite3.Error, doing: str) -> str:
    code = _code(error)
    if code in BUSY:
        return f"{path} is in use by another program: try again when that is done"
    if code in BROKEN:
        return f"{path} is damaged, or no file of corrections ({error}): bring it back, or name another"
    if code == sqlite3.SQLITE_FULL:
        return f"{path} is full ({MAX_BYTES >> 20} MB), or the disk is: export the corrections and clear them"
    return f"cannot {doing} {path}: {error}"
