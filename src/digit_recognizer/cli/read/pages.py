"""The pages that `digits read` reads: of files, of the pictures in folders, and of standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from digit_recognizer.errors import DigitsError, check_is_local, first_line

STANDARD_INPUT = "-"
INPUT_NAME = "standard input"  # in error messages
SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pdf", ".pgm", ".png"),
    *(".ppm", ".tif", ".tiff", ".webp"),
)  # read in folders


@dataclass(frozen=True, slots=True)
class Page:
    """A picture, or page `number` of a PDF or TIFF, from 1.

    `problem`, if known, is why it cannot be read; `content` is that of standard input or of an `address`.
    """

    path: Path
    number: int | None = None
    problem: str | None = None
    content: bytes | None = field(default=None, compare=False, repr=False)
    address: str | None = None

    @property
    def file(self) -> str:
        """What the output calls its file."""
        return self.address or str(self.path)

    @property
    def name(self) -> str:
        """What the output calls it."""
        return self.file if self.number is None else f"{self.file}, page {self.number}"

    @property
    def picture(self) -> Path | bytes:
        """What is to be decoded."""
        return self.path if self.content is None else self.content

    def without_content(self) -> Page:
        """Return the page as what was read on it keeps it."""
        return self if self.content is None else replace(self, content=None)


def find_pages(files: Iterable[Page | str], number: int | None) -> list[Page]:
    """Return the pages of files, each once; of PDFs only page `number`, if there is one."""
    found = list(dict.fromkeys(chain.from_iterable(map(pages_of, files))))
    chosen = choose_pages(found, number)
    if not chosen:
        last = max(page.number or 1 for page in found)
        raise DigitsError(f"there is no page {number}; expected 1 to {last}")
    return chosen


def find_files(names: Sequence[str], *, with_addresses: bool = False) -> list[Page | str]:
    """Return the names of all files, and of the pictures in folders, each once, without opening them.

    Pages are standard input and what cannot be read. `with_addresses` allows what fsspec reads, such as
    ``s3://bucket/scans``.
    """
    found = (_files_of(name, with_addresses=with_addresses) for name in dict.fromkeys(names))
    return list(dict.fromkeys(chain.from_iterable(found)))


def choose_pages(pages: Sequence[Page], number: int | None) -> list[Page]:
    """Return the pages with a number; all if it is None."""
    return [page for page in pages if number is None or (page.number or 1) == number]


def pages_of(file: Page | str) -> list[Page]:
    """Return the pages of a file that `find_files` found."""
    if isinstance(file, Page):
        return [file] if file.content is None or file.number is not None else _pages_of_picture(file)
    return _pages_at(file) if "://" in file else _pages_of_picture(Page(Path(file)))


def _files_of(name: str, *, with_addresses: bool) -> Iterable[Page | str]:
    """Return a file, the pictures in a folder, or standard input."""
    if name == STANDARD_INPUT:
        return [_read_input()]
    folder = Path(name)
    try:
        if with_addresses and "://" in name:
            return _files_at(name)
        check_is_local(name)
        if not folder.is_dir():
            return [str(folder)]
        found = sorted(path for path in folder.iterdir() if _is_listed(path.name) and path.is_file())
    except DigitsError as error:
        return [Page(folder, problem=str(error), address=name if "://" in name else None)]
    except OSError as error:
        return [Page(folder, problem=f"cannot read {name}: {error.strerror or error}")]
    return list(map(str, found)) or [Page(folder, problem=_no_pictures(name))]


def _is_listed(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _no_pictures(name: str) -> str:
    return f"{name} has no pictures; expected files that end in {', '.join(SUFFIXES)}"


def _files_at(address: str) -> list[Page | str]:
    """Return what is at an address: a file, or the pictures in a folder."""
    system, path = _open_system(address)
    try:
        if not system.isdir(path):
            return [address]
        names = sorted(each for each in system.ls(path, detail=False) if _is_listed(each.rpartition("/")[2]))
        found: list[Page | str] = [system.unstrip_protocol(each) for each in names]
    except Exception as error:  # each file system has errors of its own
        raise DigitsError(f"cannot read {address}: {first_line(error)}") from error
    return found or [Page(Path(address), problem=_no_pictures(address), address=address)]


def _pages_at(address: str) -> list[Page]:
    """Return the pages of the file at an address, with its content."""
    from digit_recognizer.imaging.decode import MAX_BYTES

    page = Page(Path(address), address=address)
    try:
        system, path = _open_system(address)
        with system.open(path, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)  # decoding refuses what is larger
    except DigitsError as error:
        return [Page(page.path, problem=str(error), address=address)]
    except Exception as error:  # as above
        problem = f"cannot read {address}: {getattr(error, 'strerror', None) or first_line(error)}"
        return [Page(page.path, problem=problem, address=address)]
    return _pages_of_picture(Page(page.path, content=content, address=address))


def _open_system(address: str) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the path in it."""
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(address)
    except Exception as error:  # an unknown scheme, or a package that is missing
        raise DigitsError(f"cannot read {address}: {first_line(error)}") from error
    return system, path


def _pages_of_picture(page: Page) -> list[Page]:
    from digit_recognizer.imaging import count_pages

    try:
        count = count_pages(page.picture)
    except DigitsError:  # reading it gives the error again
        count = None
    if count is None:
        return [page]
    return [
        Page(page.path, number + 1, content=page.content, address=page.address) for number in range(count)
    ]


def _read_input() -> Page:
    from digit_recognizer.imaging.decode import MAX_BYTES

    path = Path(STANDARD_INPUT)
    if sys.stdin is None:
        return Page(path, problem=f"{INPUT_NAME} is closed")
    if sys.stdin.isatty():
        hint = "give it a picture, such as digits read - < picture.jpg"
        return Page(path, problem=f"{INPUT_NAME} is a terminal; {hint}")
    try:
        content = sys.stdin.buffer.read(MAX_BYTES + 1)  # decoding refuses what is larger
    except OSError as error:
        return Page(path, problem=f"cannot read {INPUT_NAME}: {error.strerror or error}")
    return Page(path, content=content)
