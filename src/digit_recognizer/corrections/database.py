"""The SQLite file of corrections: opened, created and checked; its errors are `DigitsError`.

It is in write-ahead mode, so a service can add rows while a command reads them. Each block opens and closes
the file, so threads can use the same `Database`.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from digit_recognizer.digits import CLASSES, PIXELS
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import make_directory

APPLICATION_ID = 0x64676974  # "dgit", in the file's header: distinguishes our files from other databases
FORMAT_VERSION = 2  # the newest that can be read; raised if an older version could not read or clear the file
FIRST_FORMAT = 1  # with single digits only; a file gets format 2 with its first number
BUSY_TIMEOUT_SECONDS = 5.0  # how long to wait for another process that writes
RETRY_SECONDS = 0.02  # between attempts at what SQLite does not wait for by itself
MAX_FILE_BYTES = 128 << 20  # about 130,000 corrections of digits

# AUTOINCREMENT: the id of a deleted correction is never used again
CREATE_DIGITS = f"""
CREATE TABLE IF NOT EXISTS corrections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image BLOB NOT NULL CHECK (length(image) = {PIXELS}),
    label INTEGER CHECK (label BETWEEN 0 AND {CLASSES - 1}),
    read_as INTEGER CHECK (read_as BETWEEN 0 AND {CLASSES - 1}),
    model TEXT NOT NULL,
    time TEXT NOT NULL
)
"""
CREATE_NUMBERS = f"""
CREATE TABLE IF NOT EXISTS numbers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    picture BLOB NOT NULL,
    text TEXT NOT NULL,
    read_as TEXT NOT NULL,
    images BLOB NOT NULL CHECK (length(images) IN (0, {PIXELS} * length(read_as))),
    model TEXT NOT NULL,
    time TEXT NOT NULL
)
"""

BUSY_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
DAMAGED_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Database:
    """A file of corrections.

    With `create`, it is created if it is missing, also if somebody deletes it later.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self._create = create

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Open the file for a change that is made as a whole or not at all."""
        with self.open(write=True) as database:
            database.execute("BEGIN IMMEDIATE")
            with database:
                yield database

    @contextmanager
    def open(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
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
            if not _pragma(database, "application_id") and not tables(database):
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


def _create_table(database: sqlite3.Connection) -> None:
    """Create the table in an empty file; two processes may do so at the same time.

    The mode changes after the table is there: changing it writes to the file, and another process must never
    see a file with content but without the table.
    """
    database.execute("BEGIN IMMEDIATE")
    with database:
        database.execute(CREATE_DIGITS)
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {FIRST_FORMAT}")
    _switch_to_write_ahead(database)


def prepare_for_numbers(database: sqlite3.Connection) -> None:
    """Create the table of numbers, within a transaction; older versions then refuse the file."""
    database.execute(CREATE_NUMBERS)
    database.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


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
    if _pragma(database, "application_id") != APPLICATION_ID or "corrections" not in tables(database):
        raise DigitsError(f"{path} is not a file of corrections: name another file")
    version = _pragma(database, "user_version")
    if version > FORMAT_VERSION:
        raise DigitsError(
            f"{path} has format {version}, and this version reads up to format {FORMAT_VERSION}: "
            "upgrade digit-recognizer"
        )


def _pragma(database: sqlite3.Connection, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])


def tables(database: sqlite3.Connection) -> set[str]:
    """Return the names of the tables of an open file."""
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


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
    if code == sqlite3.SQLITE_IOERR:  # on a full disk, also reading fails, because it needs an index there
        return f"cannot {action} {path}: {error}; the disk may be full, or it fails"
    return f"cannot {action} {path}: {error}"
