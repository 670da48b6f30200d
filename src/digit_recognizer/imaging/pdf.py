"""Render the pages of a PDF with PDFium (https://pdfium.googlesource.com/pdfium/), as a scanner would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.errors import DigitsError

RESOLUTION_DPI = 200  # a digit of 4 mm is 31 pixels high
UNITS_PER_INCH = 72  # of lengths in a PDF
MAX_PAGE_SIDE_PX = 5_000  # larger pages are reduced, so that none has more than 25 megapixels
HEADER_BYTES = 1024  # in which PDFium looks for the signature
SIGNATURE = b"%PDF-"

_pdfium_lock = Lock()  # PDFium is not thread-safe


def is_pdf(stream: IO[bytes]) -> bool:
    """Return whether a file is a PDF, by its first bytes; rewind it."""
    head = stream.read(HEADER_BYTES)
    stream.seek(0)
    return head.lstrip().startswith(SIGNATURE)


def count_pages(stream: IO[bytes], name: str) -> int:
    """Return the number of pages of a PDF, at least 1; raise as `render_page` does."""
    with _open_document(stream, name) as document:
        return len(document)


def render_page(stream: IO[bytes], number: int, name: str) -> tuple[NDArray[np.uint8], int]:
    """Render a page of a PDF, numbered from 1, with its annotations but without form field entries.

    Also return the number of pages. The page is upright, (H, W), 0 black to 255 white, at 200 dpi or at most
    5,000 pixels long. `DigitsError` is raised if the file is damaged, password-protected or without pages, if
    it has no such page, or if pypdfium2 is not installed.
    """
    with _open_document(stream, name) as document:
        count = len(document)
        if not 1 <= number <= count:
            raise DigitsError(f"{name} has no page {number}: expected 1 to {count}")
        try:
            page = document[number - 1]
        except RuntimeError as error:
            raise DigitsError(f"page {number} of {name} is damaged") from error
        scale = min(RESOLUTION_DPI / UNITS_PER_INCH, MAX_PAGE_SIDE_PX / max(page.get_size()))
        return np.array(page.render(scale=scale, grayscale=True).to_numpy()), count


@contextmanager
def _open_document(stream: IO[bytes], name: str) -> Iterator[Any]:
    pdfium = _import_pdfium(name)
    content = stream.read()
    with _pdfium_lock:
        raw = pdfium.raw.FPDF_LoadMemDocument64(content, len(content), None)
        if not raw:
            if pdfium.raw.FPDF_GetLastError() == pdfium.raw.FPDF_ERR_PASSWORD:
                raise DigitsError(f"{name} is locked by a password: save it without one")
            raise DigitsError(f"{name} is a damaged or incomplete PDF")
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
