"""Numbers on pages, written with digits that the model recognises one by one."""

from __future__ import annotations

import numpy as np
import pytest
from digit_recognizer.recognition.line_reader import LineDigit
from PIL import Image, ImageDraw, ImageFont

from digit_recognizer import Predictions, Reading, Recognizer
from digit_recognizer.imaging import decode
from digit_recognizer.recognition.page_reader import read_page
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
    content = pdf_of(written("472"), written("81"))
    assert recognizer.read_single(content, page=2) != recognizer.read_single(content)
    assert recognizer.read(content, page=2).text == "81"
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
    assert recognizer.read(squared) == Reading(())
    assert recognizer.read(np.minimum(page, squared)).text == "42"


def test_a_page_of_specks_contains_nothing(recognizer):
    page = np.full((1000, 1000), 255, np.uint8)
    rows, columns = np.random.default_rng(5).integers(0, 990, (2, 6000))
    for row, column in zip(rows, columns, strict=True):
        page[row : row + 8, column : column + 2] = 0
    reading = recognizer.read(page)
    assert not reading.lines
    assert len(reading.rejected) > 2000


def test_little_of_a_printed_text_is_read_as_numbers(recognizer):
    page = Image.new("L", (1400, 500), 250)
    text = "Looking for numbers among words, one finds none here and\n"
    ImageDraw.Draw(page).multiline_text((40, 40), 5 * text, 20, ImageFont.load_default(46))
    reading = recognizer.read(page)
    assert len(reading.digits) < 0.1 * 5 * len(text.replace(" ", ""))
    assert len(reading.rejected) > 50


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


def centres_of(strip: np.ndarray) -> list[float]:
    """Return the centres of the separate marks in a strip."""
    edges = np.flatnonzero(np.diff((strip > 100).any(axis=0).astype(int)))
    return edges.reshape(-1, 2).mean(axis=1).tolist()


def sevens(is_digit: float | None):
    """Return a model that takes every image for a 7."""

    def predict(images: np.ndarray) -> Predictions:
        probabilities = np.full((len(images), 10), 0.01, np.float32)
        probabilities[:, 7] = 0.91
        p_digit = None if is_digit is None else np.full(len(images), is_digit, np.float32)
        return Predictions(probabilities, p_digit)

    return predict


@pytest.mark.parametrize(("is_digit", "text"), [(0.95, "777"), (0.7, ""), (None, "")])
def test_a_mark_that_the_line_network_does_not_find_needs_a_confident_image(is_digit, text):
    found = read_page(written("472"), sevens(is_digit), lambda _strip: [])
    assert found.text == text
    assert len(found.digits) + len(found.rejected) == 3
    guesses = [guess for guess in found.guesses if guess is not None]
    assert [(guess.digit, guess.box) for guess in guesses] == [(7, box) for box in found.rejected]


@pytest.mark.parametrize(
    ("p_digits", "likeliest", "text"),
    [
        ((0.9, 0.9, 0.2), 7, "777"),  # the image of the third confirms it
        ((0.9, 0.9, 0.2), 3, "77"),  # its image is another digit
        ((0.9, 0.2, 0.2), 7, "7"),  # most have a low confidence: the line is text
    ],
)
def test_a_low_confidence_digit_needs_its_own_image_to_confirm_it(p_digits, likeliest, text):
    def find(strip: np.ndarray) -> list[LineDigit]:
        rows = np.full((3, 10), 0.01, np.float32)
        rows[range(3), [7 if each > 0.5 else likeliest for each in p_digits]] = 0.91
        return [LineDigit(*each) for each in zip(centres_of(strip), rows, p_digits, strict=True)]

    assert read_page(written("472"), sevens(0.7), find).text == text


def test_line_and_image_decide_together_and_a_line_without_any_digit_image_is_rejected():
    def find(strip: np.ndarray) -> list[LineDigit]:
        probabilities = np.full(10, 0.02, np.float32)
        probabilities[[1, 7]] = 0.44, 0.4
        return [LineDigit(centre, probabilities, 0.8) for centre in centres_of(strip)]

    found = read_page(written("472"), sevens(0.6), find)
    assert found.text == "777"
    assert [digit.is_digit for digit in found.digits] == [0.8] * 3
    assert all(0.4 < digit.probabilities[7] < 0.91 for digit in found.digits)
    non_digits = read_page(written("472"), sevens(0.1), find)
    assert (non_digits.text, len(non_digits.rejected)) == ("", 3)


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
