"""A folder of tables that `digits read` fills: part after part, so that a reading can be resumed.

``part-00000.csv`` and so on hold the rows; ``_pages/part-00000.csv`` has a line for each page that was read
for it. A part counts once that is written, after its rows. Programs that read folders of tables leave out
names that start with an underscore.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digit_recognizer.cli.read.output import Entry
from digit_recognizer.cli.read.tables import TABLES, rows_of
from digit_recognizer.errors import DigitsError
from digit_recognizer.files import make_directory, remove_partial_files, replacing, write_json
from digit_recognizer.runs.run_folder import read_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from digit_recognizer.cli.read.pages import Page

PART_PAGES = 10_000  # at most, in a part
PART_SECONDS = 60.0  # after which a part is written: a killed process loses no more
PAGES, SETTINGS = "_pages", "settings.json"
HEADER = ("picture", "page", "numbers", "error")
FORMAT = 1

Key = tuple[str, str]  # a file and the page in it


class Parts:
    """The folder, and the part that is being filled.

    Attributes
    ----------
    pages, numbers
        How many pages were read, and the numbers on them; those of earlier commands included.
    earlier
        How many pages earlier commands read.
    errors
        Why pages could not be read.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self._kind = folder, kind
        self.pages = self.numbers = 0
        self.errors: dict[Key, str] = {}
        self._files: set[str] = set()  # that need not be read again
        self._read: set[Key] = set()  # the pages of other files that need not
        self._waiting: list[Entry] = []
        self._last_written = time.monotonic()
        self._written = sorted((folder / PAGES).glob("part-*.csv"))
        self._recall()
        self.earlier = self.pages

    def left(self, files: Iterable[Page | str]) -> list[Page | str]:
        """Return the files that are not read yet; those that could not be read are tried again."""
        return [each for each in files if (each if isinstance(each, str) else each.file) not in self._files]

    def add(self, entries: Sequence[Entry]) -> None:
        """Add what was read of a file, and write the part if it is large or old enough."""
        for entry in entries:
            key = _key(entry)
            if key in self._read or (entry.error is not None and self.errors.get(key) == entry.error):
                continue
            self._waiting.append(entry)
            self._count(key, entry.error or "", len(rows_of(entry)))
        is_old = time.monotonic() - self._last_written > PART_SECONDS
        if self._waiting and (is_old or len(self._waiting) >= PART_PAGES):
            self.write()

    def write(self) -> None:
        """Write what was added since the last part."""
        if not self._waiting:
            return
        name = f"part-{len(self._written):05}"
        TABLES[self._kind](self.folder / f"{name}.{self._kind}", map(rows_of, self._waiting))
        target = self.folder / PAGES / f"{name}.csv"
        with (
            replacing(target) as partial,
            partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream,
        ):
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows((*_key(each), len(rows_of(each)), each.error) for each in self._waiting)
        self._written.append(target)
        self._waiting.clear()
        self._last_written = time.monotonic()

    def _count(self, key: Key, error: str, numbers: int) -> None:
        if error:
            self.errors[key] = error
            return
        self.errors.pop(key, None)
        self.pages += 1
        self.numbers += numbers

    def _recall(self) -> None:
        """Count what earlier commands read."""
        for key, numbers, error in self._lines():
            self._count(key, error, numbers)
            self._files.add(key[0])
        troubled = {file for file, _ in self.errors}
        self._files -= troubled
        if troubled:
            self._read = {key for key, _, error in self._lines() if key[0] in troubled and not error}

    def _lines(self) -> Iterator[tuple[Key, int, str]]:
        for part in self._written:
            try:
                with part.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
                    lines = csv.reader(stream)
                    if tuple(next(lines, ())) != HEADER:
                        raise ValueError("its header is another")
                    for file, page, numbers, error in lines:
                        yield (file, page), int(numbers), error
            except (OSError, ValueError, csv.Error) as error:
                raise DigitsError(
                    f"{part} is damaged: {error}; delete {self.folder}, and read again"
                ) from error


@contextmanager
def open_parts(folder: Path, kind: str, settings: dict[str, Any]) -> Iterator[Parts]:
    """Create or reopen a folder of tables, and write the last part at the end, also after an error.

    Raises
    ------
    DigitsError
        The folder holds rows that were read with other settings, is damaged or cannot be written, or another
        process fills it.
    """
    from digit_recognizer.runs.run import lock_folder  # imports NumPy, which the help does not need

    make_directory(folder / PAGES)
    with lock_folder(folder, "reading"):
        remove_partial_files(folder)
        _check_settings(folder, {"format": FORMAT, "table": kind, **settings})
        parts = Parts(folder, kind)
        try:
            yield parts
        finally:
            parts.write()


def check_is_ours(folder: Path) -> None:
    """Raise `DigitsError` if a folder exists and holds other files than such tables."""
    try:
        is_ours = not folder.exists() or (folder / PAGES).is_dir() or not any(folder.iterdir())
    except OSError as error:
        raise DigitsError(f"cannot write into {folder}: {error.strerror or error}") from error
    if not is_ours:
        raise DigitsError(f"cannot write into {folder}: it holds other files; name a new folder, or a file")


def _check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Note how pictures are read; raise `DigitsError` if they were read in another way before."""
    path = folder / PAGES / SETTINGS
    if not path.exists():
        write_json(path, settings)
        return
    found = read_json(path)
    differing = [key for key in settings if found.get(key) != settings[key]]
    if differing:
        raise DigitsError(
            f"{folder} was begun with another {' and another '.join(differing)}; use the same as before, or "
            "name a new folder"
        )


def _key(entry: Entry) -> Key:
    page = entry.page
    return page.file, "" if page.number is None else str(page.number)
