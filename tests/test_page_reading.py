"""Numbers on pages, written with digits that the model reads rightly where each stands alone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from digit_recognizer import Predictions, Reading, Recognizer
from digit_recognizer.errors import DigitsError
from digit_recognizer.recognition.line_reader import LineDigit
from digit_recognizer.recognition.page_reader import read_page
from pictures import odd_pictures, pdf_of, written

NUMBERS = ["68084", "56290", "23541", "10019", "16722", "42918", "78136", "46660", "95923", "81036"]


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(threads=1)


def test_nine_of_ten_numbers_are_read_line_by_line(recognizer):
    found = recognizer.read(written(*NUMBERS, seed=40))
    lines = found.text.splitlines()
    assert len(lines) == len(NUMBERS)
    assert sum(read == number for read, number in zip(lines, NUMBERS, strict=True)) >= 9


def test_numbers_of_a_line_are_told_apart_and_the_boxes_lie_on_the_digits(recognizer):
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


@pytest.mark.parametrize("what", ["light on dark", "1 bit", "transparent", "PDF"])
def test_what_is_odd_about_a_picture_does_not_count(what, recognizer):
    assert recognizer.read(odd_pictures()[what]).text == "752"


def test_a_page_of_a_pdf_is_read(recognizer):
    content = pdf_of(written("472"), written("81"))
    assert recognizer.read_single(content, page=2) != recognizer.read_single(content)
    assert recognizer.read(content, page=2).text == "81"
    with pytest.raises(DigitsError, match="has no page 3"):
        recognizer.read_single(content, page=3)


@pytest.mark.parametrize(
    ("shape", "grey"), [((1, 1), 0), ((1, 20_000), 9), ((20_000, 1), 90), ((90, 70), 255)]
)
def test_blank_pages_of_any_shape_hold_nothing(shape, grey, recognizer):
    page = np.full(shape, grey, np.uint8)
    assert (recognizer.read(page).lines, recognizer.read_single(page).digit) == ((), None)


@pytest.mark.parametrize("breadth", [1, 2, 5])
def test_squared_paper_holds_nothing_and_a_number_on_it_is_read(breadth, recognizer):
    page = written("42", height=60, margin=170)
    squared = np.random.default_rng(1).normal(230, 3, page.shape).astype(np.uint8)
    for first in range(17, max(page.shape), 45):
        squared[first : first + breadth] -= 60
        squared[:, first : first + breadth] -= 60
    assert recognizer.read(squared) == Reading(())
    assert recognizer.read(np.minimum(page, squared)).text == "42"


def test_a_page_of_specks_is_no_writing(recognizer):
    page = np.full((1000, 1000), 255, np.uint8)
    rows, columns = np.random.default_rng(5).integers(0, 990, (2, 6000))
    for row, column in zip(rows, columns, strict=True):
        page[row : row + 8, column : column + 2] = 0
    reading = recognizer.read(page)
    assert not reading.lines
    assert len(reading.rejected) > 2000


def test_of_printed_text_little_is_taken_for_numbers(recognizer):
    page = Image.new("L", (1400, 500), 250)
    text = "Looking for numbers among words, one finds none here and\n"
    ImageDraw.Draw(page).multiline_text((40, 40), 5 * text, 20, ImageFont.load_default(46))
    reading = recognizer.read(page)
    assert len(reading.digits) < 0.1 * 5 * len(text.replace(" ", ""))
    assert len(reading.rejected) > 50


def test_a_single_digit_is_given_from_the_threshold_on(recognizer):
    page = written("7")
    found = recognizer.read_single(page)
    assert found.digit == 7
    assert found.confidence == pytest.approx(max(found.probabilities), rel=0.5)
    assert recognizer.read_single(page, found.confidence - 0.01).digit == 7
    assert recognizer.read_single(page, min(1, found.confidence + 0.01)).digit is None
    assert recognizer.read_single(page, 1).confidence == found.confidence
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(DigitsError, match="expected a threshold from 0 to 1"):
            recognizer.read_single(page, wrong)


def test_a_blank_picture_has_no_digit_whatever_the_threshold(recognizer):
    found = recognizer.read_single(np.full((50, 50), 255, np.uint8), 0.01)
    assert (found.digit, found.confidence) == (None, 0)


def middles(strip: np.ndarray) -> list[float]:
    """Return the columns of the middles of what stands apart in a strip."""
    edges = np.flatnonzero(np.diff((strip > 100).any(axis=0).astype(int)))
    return edges.reshape(-1, 2).mean(axis=1).tolist()


def sevens(is_digit: float | None):
    """Return a model that takes everything for a 7."""

    def predict(images: np.ndarray) -> Predictions:
        probabilities = np.full((len(images), 10), 0.01, np.float32)
        probabilities[:, 7] = 0.91
        said = None if is_digit is None else np.full(len(images), is_digit, np.float32)
        return Predictions(probabilities, said)

    return predict


@pytest.mark.parametrize(("is_digit", "text"), [(0.95, "777"), (0.7, ""), (None, "")])
def test_what_the_line_does_not_show_counts_where_its_own_image_is_sure(is_digit, text):
    found = read_page(written("472"), sevens(is_digit), lambda _strip: [])
    assert found.text == text
    assert len(found.digits) + len(found.rejected) == 3
    guessed = [guess for guess in found.guesses if guess is not None]
    assert [(guess.digit, guess.box) for guess in guessed] == [(7, box) for box in found.rejected]


@pytest.mark.parametrize(
    ("shown", "likeliest", "text"),
    [
        ((0.9, 0.9, 0.2), 7, "777"),  # its own image shows it, too
        ((0.9, 0.9, 0.2), 3, "77"),  # it shows another
        ((0.9, 0.2, 0.2), 7, "7"),  # most of the line is hardly shown: it is text
    ],
)
def test_what_the_line_hardly_shows_counts_where_its_own_image_shows_it(shown, likeliest, text):
    def find(strip: np.ndarray) -> list[LineDigit]:
        classes = [7 if is_digit > 0.5 else likeliest for is_digit in shown]
        rows = np.full((3, 10), 0.01, np.float32)
        rows[range(3), classes] = 0.91
        return [
            LineDigit(each, row, is_digit)
            for each, row, is_digit in zip(middles(strip), rows, shown, strict=True)
        ]

    assert read_page(written("472"), sevens(0.7), find).text == text


def test_line_and_image_decide_together():
    def find(strip: np.ndarray) -> list[LineDigit]:
        torn = np.full(10, 0.02, np.float32)
        torn[[1, 7]] = 0.44, 0.4
        return [LineDigit(middle, torn, 0.8) for middle in middles(strip)]

    found = read_page(written("472"), sevens(0.6), find)
    assert found.text == "777"
    assert [digit.is_digit for digit in found.digits] == [0.8] * 3
    assert all(0.4 < digit.probabilities[7] < 0.91 for digit in found.digits)
    strange = read_page(written("472"), sevens(0.1), find)
    assert (strange.text, len(strange.rejected)) == ("", 3), "nothing in it looks like a digit on its own"
