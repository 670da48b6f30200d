"""The pages of a PDF as a scanner would see them, drawn by PDFium (https://pdfium.googlesource.com/pdfium/)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.errors import DigitsError

RESOLUTION = 200  # dots an inch: a digit of 4 mm has 31
UNITS = 72  # of a PDF's lengths, an inch
LONGEST_SIDE = 5_000  # pixels; larger pages are drawn smaller, so that none has more than 25 megapixels
HEAD = 1024  # bytes in which PDFium looks for the mark
MARK = b"%PDF-"

_one_at_a_time = Lock()  # PDFium knows no threads


def is_pdf(stream: IO[bytes]) -> bool:
    """Return whether a file is a PDF, by its first bytes; leave it at its beginning."""
    head = stream.read(HEAD)
    stream.seek(0)
    return head.lstrip().startswith(MARK)


def count_pages(stream: IO[bytes], name: str) -> int:
    """Return how many pages a PDF has, at least one; raises as `render_page` does."""
    with _opened(stream, name) as document:
        return len(document)


def render_page(stream: IO[bytes], number: int, name: str) -> NDArray[np.uint8]:
    """Draw a page of a PDF, with what was written on it later, but not the entries of its form fields.

    Parameters
    ----------
    stream
        The file, at its beginning.
    number
        Of the page, from 1.
    name
        What errors call the file.

    Returns
    -------
    NDArray[np.uint8]
        Shape (height, width), upright, 200 dots an inch or at most 5,000 pixels long: 0 black to 255 white.

    Raises
    ------
    DigitsError
        The file is damaged, locked by a password or without pages, it has no such page, or the package
        pypdfium2 is not installed.
    """
    with _opened(stream, name) as document:
        count = len(document)
        if not 1 <= number <= count:
            raise DigitsError(f"{name} has no page {number}: expected 1 to {count}")
        try:
            page = document[number - 1]
        except RuntimeError as error:
            raise DigitsError(f"page {number} of {name} is damaged") from error
        scale = min(RESOLUTION / UNITS, LONGEST_SIDE / max(page.get_size()))
        return np.array(page.render(scale=scale, grayscale=True).to_numpy())


@contextmanager
def _opened(stream: IO[bytes], name: str) -> Iterator[Any]:
    pdfium = _import_pdfium(name)
    content = stream.read()
    with _one_at_a_time:
        raw = pdfium.raw.FPDF_LoadMemDocument64(content, len(content), None)
        if not raw:
            locked = pdfium.raw.FPDF_GetLastError() == pdfium.raw.FPDF_ERR_PASSWORD
            what = "locked by a password: save it without one" if locked else "a damaged or incomplete PDF"
            raise DigitsError(f"{name} is {what}")
        with pdfium.PdfDocument(raw) as document:
            if len(document) == 0:
                raise DigitsError(f"{name} is a PDF without pages")
            yield document


def _import_pdfium(name: str) -> Any:
    try:
        import pypdfium2
    except ModuleNotFoundError as error:
        raise DigitsError(
            f'{name} is a PDF, which needs the package pypdfium2: run pip install "digit-recognizer[pdf]"'
        ) from error
    return pypdfium2
