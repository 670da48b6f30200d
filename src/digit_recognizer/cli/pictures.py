"""Which pictures the names on a command line mean, and what is read in each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from digit_recognizer.errors import DigitsError
from digit_recognizer.imaging import count_pages
from digit_recognizer.reading import Reading, SingleDigit

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pdf", ".png", ".tif", ".tiff", ".webp")  # of those in a folder


@dataclass(frozen=True, slots=True)
class Page:
    """A picture, or a page of a PDF; `number` is the page's, from 1, and None for a picture.

    `problem` says why there is nothing to be read where that is known already.
    """

    path: Path
    number: int | None = None
    problem: str | None = None

    @property
    def name(self) -> str:
        """What the output calls it."""
        return str(self.path) if self.number is None else f"{self.path}, page {self.number}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A page and what was read on it, or why nothing could be."""

    page: Page
    found: Reading | SingleDigit | None
    error: str | None = None


def find_pages(names: Sequence[Path], number: int | None = None) -> list[Page]:
    """Find the pages of all files named, and of those in folders named, each once; or those of a number.

    Raises
    ------
    DigitsError
        A number is asked for, and none of them has a page of it; a picture is its own first.
    """
    found = list(dict.fromkeys(page for name in names for page in _pages_in(name)))
    chosen = [page for page in found if number is None or (page.number or 1) == number]
    if not chosen:
        most = max(page.number or 1 for page in found)
        raise DigitsError(f"there is no page {number}: expected 1 to {most}")
    return chosen


def _pages_in(name: Path) -> Iterable[Page]:
    if not _is_folder(name):
        return _pages(name)
    try:
        found = sorted(path for path in name.iterdir() if _looks_like_a_picture(path))
    except OSError as error:
        return [Page(name, problem=f"cannot read {name}: {error.strerror or error}")]
    if not found:
        expected = f"expected files that end in {', '.join(SUFFIXES)}"
        return [Page(name, problem=f"{name} holds no pictures: {expected}")]
    return chain.from_iterable(map(_pages, found))


def _is_folder(name: Path) -> bool:
    try:
        return name.is_dir()
    except OSError:  # said when it is read
        return False


def _looks_like_a_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _pages(path: Path) -> Iterable[Page]:
    try:
        count = count_pages(path)
    except DigitsError:  # said when it is read
        count = None
    return [Page(path)] if count is None else (Page(path, number + 1) for number in range(count))
