"""Pages of PDFs become grey pages, as a scanner would make them."""

from __future__ import annotations

import io
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from digit_recognizer.imaging import count_pages, decode
from helpers import refusal, says
from pictures import EMPTY_PAGE, encoded, pdf_of, raw_pdf, written

FIRST, SECOND = written("12", seed=1), written("3456", seed=2)
TWO = pdf_of(FIRST, SECOND)


def page_of(box: str, content: str = "") -> bytes:
    """Return a PDF with one page of the given size, in units of 1/72 inch, and what is drawn on it."""
    page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {box}]/Contents 4 0 R>>"
    return raw_pdf("/Kids[3 0 R]/Count 1", page, f"<</Length {len(content)}>>stream\n{content}\nendstream")


@pytest.mark.parametrize(("number", "page"), [(1, FIRST), (2, SECOND)], ids=["first", "second"])
def test_each_page_is_rendered_at_200_dpi(number, page):
    found = decode(TWO, page=number)
    assert found.dtype == np.uint8
    assert found.shape == pytest.approx((2 * page.shape[0], 2 * page.shape[1]), abs=1)
    shrunk = found[::2, ::2][: page.shape[0], : page.shape[1]]
    assert np.corrcoef(shrunk.ravel(), page.ravel())[0, 1] > 0.9


def test_the_first_page_is_the_default(tmp_path):
    path = tmp_path / "form.txt"  # the name does not matter
    path.write_bytes(b"\r\n" + TWO)
    for picture in (TWO, path, str(path), io.BytesIO(TWO)):
        assert (decode(picture) == decode(TWO, page=1)).all()


def test_vectors_are_drawn_on_white():
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
    empty = raw_pdf("/Kids[]/Count 0")
    assert says(refusal(lambda: count_pages(empty, "the upload")), "the upload", "without pages")


@pytest.mark.parametrize("number", [-1, 0, 3])
def test_a_missing_page_is_refused(number):
    message = refusal(lambda: decode(TWO, "the upload", page=number))
    assert says(message, "the upload", f"page {number}", "1 to 2")


@pytest.mark.parametrize("picture", [FIRST, encoded(FIRST, "PNG")], ids=["array", "file"])
def test_other_pictures_have_one_page(picture):
    assert (decode(picture, page=1) == FIRST).all()
    assert says(refusal(lambda: decode(picture, "the upload", page=2)), "the upload", "page 2", "expected 1")


def test_a_damaged_page_does_not_affect_the_others():
    content = raw_pdf("/Kids[3 0 R 9 0 R]/Count 2", EMPTY_PAGE)
    assert count_pages(content) == 2
    assert decode(content, page=1).shape == (200, 200)
    assert says(refusal(lambda: decode(content, page=2)), "page 2", "damaged")


def test_threads_may_decode_at_the_same_time():
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda number: decode(TWO, page=number % 2 + 1), range(12)))
    assert all((page == found[number % 2]).all() for number, page in enumerate(found))


def test_without_pypdfium2_a_pdf_is_refused_with_the_command_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    message = refusal(lambda: decode(TWO, "the upload"))
    assert says(message, "the upload", "pypdfium2", 'pip install "digit-recognizer[pdf]"')
