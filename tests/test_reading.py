"""What is read in a picture, as values, as JSON, and drawn over the picture."""

from __future__ import annotations

import json

import numpy as np
import pytest

from digit_recognizer.reading import Box, Line, Number, ReadDigit, Reading, SingleDigit
from digit_recognizer.recognition.overlay import (
    CONFIDENT_COLOUR,
    REJECTED_COLOUR,
    UNCERTAIN_COLOUR,
    draw_reading,
)


def read_digit(digit: int, x: int = 0, y: int = 0, sure: float = 0.95) -> ReadDigit:
    """Return a digit of 20x30 pixels, and `sure` the probability that there is one."""
    probabilities = [0.001] * 10
    probabilities[digit] = 0.991
    return ReadDigit(digit, Box(x, y, 20, 30), tuple(probabilities), sure)


def reading(*lines: str, rejected: tuple[Box, ...] = ()) -> Reading:
    rows = [
        Line(tuple(Number(tuple(map(read_digit, map(int, word)))) for word in line.split())) for line in lines
    ]
    return Reading(tuple(rows), rejected)


def test_the_text_has_a_space_between_numbers_and_a_newline_between_lines():
    found = reading("17 42", "2026")
    assert found.text == "17 42\n2026"
    assert [line.text for line in found.lines] == ["17 42", "2026"]
    assert [number.text for number in found.lines[0].numbers] == ["17", "42"]
    assert reading().text == ""


def test_the_digits_come_in_reading_order():
    assert [each.digit for each in reading("17 42", "2026").digits] == [1, 7, 4, 2, 2, 0, 2, 6]
    assert reading().digits == ()


def test_the_confidence_is_that_of_a_digit_and_of_this_one():
    assert read_digit(7, sure=0.5).confidence == pytest.approx(0.4955)


def test_a_reading_as_json_has_boxes_probabilities_and_what_was_rejected():
    found = json.loads(json.dumps(reading("7", rejected=(Box(1, 2, 3, 4),)).as_dict()))
    assert found.keys() == {"text", "lines", "rejected"}
    assert found["text"] == "7"
    assert found["rejected"] == [{"x": 1, "y": 2, "width": 3, "height": 4}]
    (digit,) = found["lines"][0]["numbers"][0]["digits"]
    assert digit["digit"] == 7
    assert digit["box"] == {"x": 0, "y": 0, "width": 20, "height": 30}
    assert digit["is_digit"] == 0.95
    assert len(digit["probabilities"]) == 10


def test_values_are_equal_where_they_say_the_same_and_cannot_be_changed():
    assert reading("17") == reading("17") != reading("71")
    assert len({SingleDigit(7, 0.9, (0.1,) * 10), SingleDigit(7, 0.9, (0.1,) * 10)}) == 1
    with pytest.raises(AttributeError):
        reading("17").lines = ()


def test_an_overlay_frames_each_digit_by_how_sure_it_is_and_leaves_the_rest_as_it_was():
    page = np.full((120, 200), 250, np.uint8)
    page[100:110, 20:60] = 40
    sure, unsure = read_digit(3, 40, 50), read_digit(8, 90, 50, sure=0.6)
    found = Reading((Line((Number((sure, unsure)),)),), (Box(20, 100, 40, 10),))
    drawn = np.array(draw_reading(page, found))
    assert drawn.shape == (120, 200, 3)
    assert drawn[60, 40].tolist() == drawn[79, 50].tolist() == list(CONFIDENT_COLOUR)
    assert drawn[60, 90].tolist() == drawn[60, 109].tolist() == list(UNCERTAIN_COLOUR)
    assert drawn[105, 20].tolist() == drawn[100, 30].tolist() == list(REJECTED_COLOUR)
    assert (drawn[115] == 250).all()
    assert (drawn[105, 25:55] == 40).all()


def test_an_overlay_writes_the_digit_over_its_box():
    page = np.full((120, 200), 250, np.uint8)
    drawn = np.array(draw_reading(page, Reading((Line((Number((read_digit(3, 40, 50),)),)),))))
    red, _, blue = np.moveaxis(drawn[20:49, 40:60].astype(int), 2, 0)
    assert (blue - red > 60).sum() > 20
    assert (drawn[84:] == 250).all()


@pytest.mark.parametrize("place", [(0, 0), (190, 115), (-5, -5)])
def test_an_overlay_may_reach_the_edges(place):
    page = np.zeros((120, 200), np.uint8)
    found = Reading((Line((Number((read_digit(1, *place),)),)),))
    assert draw_reading(page, found).size == (200, 120)


def test_an_overlay_of_nothing_is_the_page():
    page = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (np.array(draw_reading(page, Reading(()))) == page[..., None]).all()
