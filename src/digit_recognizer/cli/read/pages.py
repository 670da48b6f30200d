"""The pages that `digits read` reads: of files, of the pictures in folders, and of standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from digit_recognizer.errors import DigitsError, check_is_local

STANDARD_INPUT = "-"
INPUT_NAME = "standard input"  # in error messages
SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pdf", ".pgm", ".png"),
    *(".ppm", ".tif", ".tiff", ".webp"),
)  # read in folders


@dataclass(frozen=True, slots=True)
class Page:
    """A picture, or page `number` of a PDF or TIFF, from 1.

    `problem`, if known, is why it cannot be read; `content` is that of standard input.
    """

    path: Path
    number: int | None = None
    problem: str | None = None
    content: bytes | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """What the output calls it."""
        return str(self.path) if self.number is None else f"{self.path}, page {self.number}"

    @property
    def picture(self) -> Path | bytes:
        """What is to be decoded."""
        return self.path if self.content is None else self.content


def find_pages(names: Sequence[str], number: int | None) -> list[Page]:
    """Return the pages of all files and folders, each once; of PDFs only page `number`, if there is one."""
    found = list(dict.fromkeys(page for name in dict.fromkeys(names) for page in _pages_of(name)))
    chosen = [page for page in found if number is None or (page.number or 1) == number]
    if not chosen:
        last = max(page.number or 1 for page in found)
        raise DigitsError(f"there is no page {number}; expected 1 to {last}")
    return chosen


def _pages_of(name: str) -> Iterable[Page]:
    """Return the pages of a file, of the pictures in a folder, or of standard input."""
    if name == STANDARD_INPUT:
        return _pages_of_input()
    folder = Path(name)
    try:
        check_is_local(name)
        if not folder.is_dir():
            return _pages_of_file(Page(folder))
        found = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
    except DigitsError as error:
        return [Page(folder, problem=str(error))]
    except OSError as error:
        return [Page(folder, problem=f"cannot read {name}: {error.strerror or error}")]
    if not found:
        expected = f"expected files that end in {', '.join(SUFFIXES)}"
        return [Page(folder, problem=f"{name} has no pictures; {expected}")]
    return chain.from_iterable(_pages_of_file(Page(path)) for path in found)


def _pages_of_file(page: Page) -> list[Page]:
    from digit_recognizer.imaging import count_pages

    try:
        count = count_pages(page.picture)
    except DigitsError:  # reading it gives the error again
        count = None
    if count is None:
        return [page]
    return [Page(page.path, number + 1, content=page.content) for number in range(count)]


def _pages_of_input() -> list[Page]:
    from digit_recognizer.imaging.decode import MAX_BYTES

    path = Path(STANDARD_INPUT)
    if sys.stdin is None:
        return [Page(path, problem=f"{INPUT_NAME} is closed")]
    if sys.stdin.isatty():
        hint = "give it a picture, such as digits read - < picture.jpg"
        return [Page(path, problem=f"{INPUT_NAME} is a terminal; {hint}")]
    try:
        content = sys.stdin.buffer.read(MAX_BYTES + 1)  # decoding refuses what is larger
    except OSError as error:
        return [Page(path, problem=f"cannot read {INPUT_NAME}: {error.strerror or error}")]
    return _pages_of_file(Page(path, content=content))
