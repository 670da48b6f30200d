"""What is read in a picture: as values, as JSON, and drawn over the picture."""

from __future__ import annotations

import json

import numpy as np
import pytest

from digit_recognizer.reading import (
    Box,
    Line,
    Number,
    ReadDigit,
    Reading,
    RejectedMark,
    SingleDigit,
    number_of,
)
from digit_recognizer.reading.overlay import CONFIDENT, REJECTED, UNCERTAIN


def read_digit(digit: int, x: int = 0, y: int = 0, is_digit: float = 0.95) -> ReadDigit:
    """Return a digit of 20x30 pixels."""
    probabilities = [0.001] * 10
    probabilities[digit] = 0.991
    return ReadDigit(digit, Box(x, y, 20, 30), tuple(probabilities), is_digit)


def one_line(*digits: ReadDigit, rejected: tuple[Box, ...] = ()) -> Reading:
    marks = tuple(RejectedMark(box, "not a digit") for box in rejected)
    return Reading((Line((number(*digits),)),), marks)


def number(*digits: ReadDigit) -> Number:
    return number_of(digit.as_character() for digit in digits)


def reading(*lines: str) -> Reading:
    numbers = [[number(*map(read_digit, map(int, word))) for word in line.split()] for line in lines]
    return Reading(tuple(Line(tuple(each)) for each in numbers))


def test_numbers_are_separated_by_spaces_and_lines_by_newlines():
    found = reading("17 42", "2026")
    assert found.text == "17 42\n2026"
    assert [line.text for line in found.lines] == ["17 42", "2026"]
    assert [number.text for number in found.lines[0].numbers] == ["17", "42"]
    assert [each.digit for each in found.digits] == [1, 7, 4, 2, 2, 0, 2, 6]
    assert (reading().text, reading().digits) == ("", ())


def test_the_confidence_is_the_probability_that_it_is_a_digit_and_this_one():
    assert read_digit(7, is_digit=0.5).confidence == pytest.approx(0.4955)


def test_a_reading_as_json_has_boxes_probabilities_and_rejected_marks():
    found = json.loads(json.dumps(one_line(read_digit(7), rejected=(Box(1, 2, 3, 4),)).as_dict()))
    assert found.keys() == {"format", "text", "lines", "rejected", "notes", "rotation"}
    assert (found["format"], found["text"], found["notes"], found["rotation"]) == (1, "7", [], 0)
    box = {"x": 1, "y": 2, "width": 3, "height": 4}
    assert found["rejected"] == [{**box, "reason": "not a digit", "text": None, "confidence": None}]
    (digit,) = found["lines"][0]["numbers"][0]["digits"]
    assert len(digit.pop("probabilities")) == 10
    assert digit == {"digit": 7, "box": {"x": 0, "y": 0, "width": 20, "height": 30}, "is_digit": 0.95}


def test_equal_readings_are_equal_and_cannot_be_changed():
    assert reading("17") == reading("17") != reading("71")
    assert len({SingleDigit(7, 0.9, (0.1,) * 10), SingleDigit(7, 0.9, (0.1,) * 10)}) == 1
    with pytest.raises(AttributeError):
        reading("17").lines = ()


def test_an_overlay_has_a_box_around_each_digit_in_the_colour_of_its_confidence():
    page = np.full((120, 200), 250, np.uint8)
    page[100:110, 20:60] = 40
    confident, uncertain = read_digit(3, 40, 50), read_digit(8, 90, 50, is_digit=0.6)
    found = one_line(confident, uncertain, rejected=(Box(20, 100, 40, 10),))
    drawn = np.array(found.draw(page))
    assert drawn.shape == (120, 200, 3)
    assert drawn[60, 40].tolist() == drawn[79, 50].tolist() == list(CONFIDENT)
    assert drawn[60, 90].tolist() == drawn[60, 109].tolist() == list(UNCERTAIN)
    assert drawn[105, 20].tolist() == drawn[100, 30].tolist() == list(REJECTED)
    assert (drawn[115] == 250).all()
    assert (drawn[105, 25:55] == 40).all()


def test_an_overlay_has_each_digit_above_its_box():
    drawn = np.array(one_line(read_digit(3, 40, 50)).draw(np.full((120, 200), 250, np.uint8)))
    red, _, blue = np.moveaxis(drawn[20:49, 40:60].astype(int), 2, 0)
    assert (blue - red > 60).sum() > 20
    assert (drawn[84:] == 250).all()


@pytest.mark.parametrize("place", [(0, 0), (190, 115), (-5, -5)])
def test_an_overlay_may_reach_the_edges(place):
    assert one_line(read_digit(1, *place)).draw(np.zeros((120, 200), np.uint8)).size == (200, 120)


def test_an_overlay_of_nothing_is_the_page():
    page = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (np.array(Reading(()).draw(page)) == page[..., None]).all()
