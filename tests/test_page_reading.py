"""Numbers on pages, written with digits that the model recognises one by one."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from digit_recognizer import Recognizer
from digit_recognizer.imaging import decode
from helpers import refusal, says
from pictures import odd_pictures, pdf_of, written

NUMBERS = ["68084", "56290", "23541", "10019", "16722", "42918", "78136", "46660", "95923", "81036"]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(threads=1)


def test_nine_of_ten_numbers_are_read_line_by_line(recognizer):
    lines = recognizer.read(written(*NUMBERS, seed=40)).text.splitlines()
    assert len(lines) == len(NUMBERS)
    assert sum(read == number for read, number in zip(lines, NUMBERS, strict=True)) >= 9


def test_numbers_in_a_line_are_separated_and_the_boxes_are_around_the_digits(recognizer):
    page = written("17 42", "2035", seed=3)
    found = recognizer.read(page)
    assert found.text == "17 42\n2035"
    for digit in found.digits:
        box = digit.box
        inside = page[box.y : box.y + box.height, box.x : box.x + box.width]
        assert 36 <= box.height <= 48
        assert inside.min() < 100
        assert inside.mean() < page.mean() - 30
        assert sum(digit.probabilities) == pytest.approx(1, abs=1e-5)
    lefts = [digit.box.x for digit in found.digits]
    assert lefts[:4] == sorted(lefts[:4])


@pytest.mark.parametrize("kind", ["light on dark", "1 bit", "transparent", "PDF"])
def test_odd_pictures_are_read(kind, recognizer):
    content = odd_pictures()[kind]
    found = recognizer.read(content)
    assert found.text == "752"
    assert recognizer.read_page(decode(content)) == found


def test_a_page_of_a_pdf_is_read(recognizer):
    content = pdf_of(written("472"), written("86"))
    assert recognizer.read_single(content, page=2) != recognizer.read_single(content)
    assert recognizer.read(content, page=2).text == "86"
    assert says(refusal(lambda: recognizer.read_single(content, page=3)), "page 3", "1 to 2")


@pytest.mark.parametrize(
    ("shape", "grey"), [((1, 1), 0), ((1, 20_000), 9), ((20_000, 1), 90), ((90, 70), 255)]
)
def test_blank_pages_of_any_shape_contain_nothing(shape, grey, recognizer):
    page = np.full(shape, grey, np.uint8)
    single = recognizer.read_single(page, 0.01)
    assert (recognizer.read(page).lines, single.digit, single.confidence) == ((), None, 0)


@pytest.mark.parametrize("thickness", [1, 2, 5])
def test_squared_paper_contains_nothing_but_the_number_on_it(thickness, recognizer):
    page = written("42", height=60, margin=170)
    squared = np.random.default_rng(1).normal(230, 3, page.shape).astype(np.uint8)
    for first in range(17, max(page.shape), 45):
        squared[first : first + thickness] -= 60
        squared[:, first : first + thickness] -= 60
    assert recognizer.read(squared).text == ""
    assert recognizer.read(np.minimum(page, squared)).text == "42"


def test_hardly_anything_on_a_page_of_specks_is_read(recognizer):
    page = np.full((1000, 1000), 255, np.uint8)
    rows, columns = np.random.default_rng(5).integers(0, 990, (2, 6000))
    for row, column in zip(rows, columns, strict=True):
        page[row : row + 8, column : column + 2] = 0
    reading = recognizer.read(page)
    assert len(reading.digits) < 0.02 * 6000
    assert len(reading.rejected) > 50


def test_little_of_a_printed_text_is_read_as_numbers(recognizer):
    page = Image.new("L", (1400, 500), 250)
    text = "Looking for numbers among words, one finds none here and\n"
    ImageDraw.Draw(page).multiline_text((40, 40), 5 * text, 20, ImageFont.load_default(46))
    reading = recognizer.read(page)
    assert len(reading.digits) < 0.3 * 5 * len(text.replace(" ", ""))  # o is read as 0, l as 1, g as 9
    assert reading.rejected


def test_a_single_digit_is_returned_from_the_threshold_on(recognizer):
    page = written("7")
    found = recognizer.read_single(page)
    assert found.digit == 7
    assert found.confidence == pytest.approx(max(found.probabilities), rel=0.5)
    assert recognizer.read_single(page, found.confidence - 0.01).digit == 7
    assert recognizer.read_single(page, min(1, found.confidence + 0.01)).digit is None
    assert recognizer.read_single(page, 1).confidence == found.confidence
    for wrong in (-0.1, 1.1, float("nan")):
        assert says(refusal(lambda wrong=wrong: recognizer.read_single(page, wrong)), "0 to 1", wrong)


def test_boxes_of_a_reduced_picture_are_in_its_own_pixels(recognizer):
    page = np.full((5100, 5000), 235, np.uint8)
    line = written("2026")
    large = np.kron(line, np.ones((3, 3), np.uint8))
    page[900 : 900 + large.shape[0], 600 : 600 + large.shape[1]] = large
    found = recognizer.read(page)
    assert found.text == "2026"
    box = found.lines[0].numbers[0].box
    assert (box.x + box.width / 2, box.y + box.height / 2) == pytest.approx(
        (600 + large.shape[1] / 2, 900 + large.shape[0] / 2), abs=120
    )
