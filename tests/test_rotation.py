"""Pages that lie on their side or upside down are read upright."""

from __future__ import annotations

import numpy as np
import pytest

from digit_recognizer import Recognizer
from digit_recognizer.reading import Box, Reading, RejectedMark
from digit_recognizer.recognition.rotation import read_upright
from digit_recognizer.recognition.scale import scale_boxes
from pictures import written

NUMBERS = ("47263 5174", "27354", "94572 7345")


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(threads=1)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_turned_page_is_read_as_an_upright_one(degrees, recognizer):
    page = written(*NUMBERS, seed=5)
    reading = recognizer.read_page(np.rot90(page, degrees // 90).copy())
    assert (reading.rotation, reading.text) == (degrees, recognizer.read_page(page).text)
    assert reading.page.shape == page.shape
    assert reading.as_dict()["rotation"] == degrees


@pytest.mark.parametrize("digit", "0123456789")
def test_a_single_digit_is_never_turned(digit, recognizer):
    for turns in range(4):
        assert recognizer.read_page(np.rot90(written(digit), turns).copy()).rotation == 0


def test_a_page_that_is_sure_is_read_once(recognizer):
    pages = []

    def read(page: np.ndarray) -> Reading:
        pages.append(page)
        return recognizer.read_page(page)

    read_upright(written(*NUMBERS, seed=5), read)
    assert len(pages) == 1


def test_boxes_of_a_turned_and_reduced_page_are_in_pixels_of_the_original():
    mark = RejectedMark(Box(10, 20, 30, 40), "probably not a digit")
    for degrees, box in ((0, Box(20, 60, 60, 120)), (90, Box(30, 40, 90, 80))):
        scaled = scale_boxes(Reading((), (mark,), rotation=degrees), (2.0, 3.0))
        assert scaled.rejected == (box,)
