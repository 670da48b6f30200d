"""Pages of PDFs become grey pages as a scanner would make them."""

from __future__ import annotations

import io
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from digit_recognizer.errors import DigitsError
from digit_recognizer.imaging import count_pages, decode
from pictures import EMPTY_PAGE, encoded, pdf_of, raw_pdf, written

FIRST, SECOND = written("12", seed=1), written("3456", seed=2)
TWO = pdf_of(FIRST, SECOND)


def page_of(box: str, content: str = "") -> bytes:
    """Return a PDF with one page of the given size, in units of 1/72 inch, and what is drawn on it."""
    page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {box}]/Contents 4 0 R>>"
    return raw_pdf("/Kids[3 0 R]/Count 1", page, f"<</Length {len(content)}>>stream\n{content}\nendstream")


def test_each_page_is_drawn_at_200_dots_an_inch():
    for number, page in ((1, FIRST), (2, SECOND)):
        found = decode(TWO, page=number)
        assert found.dtype == np.uint8
        assert found.shape == pytest.approx((2 * page.shape[0], 2 * page.shape[1]), abs=1)
        shrunk = found[::2, ::2][: page.shape[0], : page.shape[1]]
        assert np.corrcoef(shrunk.ravel(), page.ravel())[0, 1] > 0.9


def test_the_first_page_counts_where_none_is_named(tmp_path):
    path = tmp_path / "form.txt"  # what it is called plays no part
    path.write_bytes(b"\r\n" + TWO)
    for picture in (TWO, path, str(path), io.BytesIO(TWO)):
        assert (decode(picture) == decode(TWO, page=1)).all()


def test_vectors_and_transparent_colours_are_drawn_on_white():
    page = decode(page_of("72 72", "0.5 g 36 36 36 36 re f"))
    assert page.shape == (200, 200)
    assert page[[10, 10, 190, 190], [10, 190, 10, 190]].tolist() == [255, 128, 255, 255]


@pytest.mark.parametrize(
    ("box", "shape"),
    [("14400 14400", (5000, 5000)), ("14400 1", (1, 5000)), ("1 1000000", (5000, 1)), ("0.01 0.01", (1, 1))],
)
def test_pages_of_any_size_have_at_most_25_megapixels(box, shape):
    assert decode(page_of(box)).shape == shape


def test_pages_are_counted_and_other_files_have_none(tmp_path):
    (tmp_path / "two.pdf").write_bytes(TWO)
    assert count_pages(tmp_path / "two.pdf") == count_pages(TWO) == 2
    assert count_pages(encoded(FIRST, "PNG")) is None
    assert count_pages(b"") is None
    with pytest.raises(DigitsError, match="the upload is a PDF without pages"):
        count_pages(raw_pdf("/Kids[]/Count 0"), "the upload")


@pytest.mark.parametrize("number", [-1, 0, 3])
def test_a_page_that_is_not_there_is_refused(number):
    with pytest.raises(DigitsError) as error:
        decode(TWO, "the upload", page=number)
    assert str(error.value) == f"the upload has no page {number}: expected 1 to 2"


@pytest.mark.parametrize("picture", [FIRST, encoded(FIRST, "PNG")], ids=["array", "file"])
def test_what_is_no_pdf_has_one_page(picture):
    assert (decode(picture, page=1) == FIRST).all()
    with pytest.raises(DigitsError, match="the upload has no page 2: expected 1"):
        decode(picture, "the upload", page=2)


def test_a_damaged_page_does_not_spoil_the_others():
    content = raw_pdf("/Kids[3 0 R 9 0 R]/Count 2", EMPTY_PAGE)
    assert count_pages(content) == 2
    assert decode(content, page=1).shape == (200, 200)
    with pytest.raises(DigitsError, match="page 2 of the file is damaged"):
        decode(content, page=2)


def test_threads_take_turns():
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda number: decode(TWO, page=number % 2 + 1), range(12)))
    assert all((page == found[number % 2]).all() for number, page in enumerate(found))


def test_without_the_package_a_pdf_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(DigitsError) as error:
        decode(TWO, "the upload")
    assert str(error.value) == (
        'the upload is a PDF, which needs the package pypdfium2: run pip install "digit-recognizer[pdf]"'
    )
