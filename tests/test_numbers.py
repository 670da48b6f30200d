"""Numbers of characters: what they amount to, what they may be, and where they are in a table."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from itertools import combinations, product
from math import prod
from pathlib import Path

import numpy as np
import pytest

from digit_recognizer.reading import (
    CHARACTERS,
    Box,
    Calibration,
    Character,
    Line,
    Number,
    Pattern,
    Reading,
    ReadingOptions,
    Values,
    interpret,
    load_calibration,
    number_of,
)
from digit_recognizer.reading.overlay import place_labels
from digit_recognizer.recognition.scale import scale_boxes
from digit_recognizer.service.reading_schemas import PrintedLine, reading_schema
from helpers import refusal, says

SCHEMA = Path(__file__).parent.parent / "docs/reading.schema.json"


def character(p: dict[str, float], x: int = 0, is_character: float = 1.0, y: int = 0) -> Character:
    """Return a character with some probabilities; the most probable is its text."""
    probabilities = tuple(p.get(each, 0.0) for each in CHARACTERS)
    return Character(max(p, key=p.__getitem__), Box(x, y, 8, 20), probabilities, is_character)


def number(text: str, x: int = 0, y: int = 0) -> Number:
    return number_of(character({each: 1.0}, x + 10 * place, y=y) for place, each in enumerate(text))


def reading(*lines: str) -> Reading:
    return Reading(tuple(Line(tuple(map(number, line.split()))) for line in lines))


@pytest.mark.parametrize(
    ("text", "mark", "value"),
    [
        ("2026", "auto", "2026"),
        ("1.234,50", "auto", "1234.50"),
        ("1,234.50", "auto", "1234.50"),
        ("3.50", "auto", "3.50"),
        ("1,5", "auto", "1.5"),
        (".5", "auto", "0.5"),
        ("0,125", "auto", "0.125"),
        ("1.234.567", "auto", "1234567"),
        ("-5", "auto", "-5"),
        ("+1,5", "auto", "1.5"),
        ("12%", "auto", "12"),
        ("1,234", "auto", None),
        ("1,234", ".", "1234"),
        ("1,234", ",", "1.234"),
        ("1,5", ".", None),
        ("12.11.2026", "auto", None),
        ("2026-11-27", "auto", None),
        ("17:30", "auto", None),
        ("3/4", "auto", None),
        ("5.", "auto", None),
        ("1.23,4.5", "auto", None),
        ("--5", "auto", None),
    ],
)
def test_a_number_amounts_to_what_is_written(text, mark, value):
    (found,) = interpret(reading(text), ReadingOptions(mark)).numbers
    assert (found.text, found.value) == (text, None if value is None else Decimal(value))


@pytest.mark.parametrize(
    ("others", "value", "notes"),
    [("3.50 12.5 1,5", "1234", 0), ("3,50", "1.234", 0), ("3.50 1,5", None, 1), ("42", None, 1)],
)
def test_most_of_the_picture_decides_what_an_ambiguous_number_is(others, value, notes):
    found = interpret(reading(f"1,234 {others}"))
    assert found.numbers[0].value == (None if value is None else Decimal(value))
    assert len(found.notes) == notes


def texts_by_enumeration(candidates: list[Character]) -> dict[str, float]:
    """Return the probability of each text: of all choices of a character, or none, at each place."""
    found: dict[str, float] = {}
    options = [
        [
            *((each, c.is_character * p) for each, p in zip(CHARACTERS, c.probabilities, strict=True) if p),
            ("", 1 - c.is_character),
        ]
        for c in candidates
    ]
    for choice in product(*options):
        text = "".join(each for each, _ in choice)
        found[text] = found.get(text, 0.0) + prod(p for _, p in choice)
    return found


CANDIDATES = [
    character({"1": 0.6, "7": 0.4}, 0, 0.9),
    character({"3": 0.7, "8": 0.3}, 10, 0.8),
    character({".": 0.55, "1": 0.45}, 20, 0.7),
    character({"5": 0.9, "6": 0.1}, 30, 0.95),
]


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ("dd.d", r"\d\d\.\d"),
        ("ddd", r"\d{3}"),
        ("d*", r"\d*"),
        ("d{1,2}.?d", r"\d{1,2}\.?\d"),
        ("1?d.d*", r"1?\d\.\d*"),
        ("-?d{2}", r"-?\d{2}"),
    ],
)
def test_the_most_probable_text_of_a_pattern_is_that_of_an_enumeration(pattern, allowed):
    every = {text: p for text, p in texts_by_enumeration(CANDIDATES).items() if text and p}
    matching = {text: p for text, p in every.items() if re.fullmatch(allowed, text)}
    found = Pattern(pattern).rank(CANDIDATES, 4)
    assert found.total == pytest.approx(sum(matching.values()))
    best = sorted(matching.items(), key=lambda each: -each[1])[:4]
    assert [each.text for each in found.texts[: len(best)]] == [text for text, _ in best]
    assert [each.probability for each in found.texts[: len(best)]] == pytest.approx([p for _, p in best])
    values = Values(matching).rank(CANDIDATES, 4)
    assert values.total == pytest.approx(found.total)
    assert [each.text for each in values.texts[: len(best)]] == [text for text, _ in best]


def test_a_number_is_the_most_probable_allowed_one_and_keeps_its_boxes():
    whole = Reading((Line((number_of(CANDIDATES),)),))
    (plain,) = interpret(whole).numbers
    assert (plain.text, plain.confidence) == ("13.5", pytest.approx(prod(c.confidence for c in CANDIDATES)))
    assert len(plain.alternatives) == 3
    (found,) = interpret(whole, ReadingOptions(allowed=Values(["15", "86"]))).numbers
    assert (found.text, [each.box.x for each in found.characters]) == ("15", [0, 30])
    assert found.confidence + found.alternatives[0].probability == pytest.approx(1)
    (none,) = interpret(whole, ReadingOptions(allowed=Pattern("dd/dd"))).numbers
    assert (none.text, none.confidence, none.sure, none.shown) == ("13.5", 0, False, "13.5?")


@pytest.mark.parametrize("pattern", ["", "x", "d{0}", "d{3,2}", "d{1,101}", "*d", "d{2", "(d)"])
def test_another_pattern_is_one_sentence(pattern):
    assert says(refusal(lambda: Pattern(pattern)), repr(pattern))


@pytest.mark.parametrize(
    ("values", "text", "confidence"),
    [
        (["203", "208"], "203", 0.99),
        (["23"], "23", 1),  # a character is left out
        (["23", "203"], "203", 0.99),
        (["2031"], "203", 0),  # no character is added
        (["2031", "203"], "203", 1),
        (["86"], "86", 1),  # the only one that is possible, however improbable
        (["2031", "86"], "86", 1),
    ],
)
def test_a_number_is_one_of_the_values_unless_all_are_longer(values, text, confidence):
    others = dict.fromkeys(CHARACTERS, 0.002)
    read = [character({**others, each: 0.968}, 10 * place, 0.99) for place, each in enumerate("203")]
    whole = Reading((Line((number_of(read),)),))
    (found,) = interpret(whole, ReadingOptions(allowed=Values(values), threshold=0.5)).numbers
    assert (found.text, found.sure) == (text, confidence > 0)
    assert found.confidence == pytest.approx(confidence, abs=0.011)
    assert text in values or not found.sure


def test_rows_and_columns_are_found_on_sloping_paper_and_with_empty_cells():
    cells = [("12", 0, 0), ("5", 110, 0), ("1234", 200, 0), ("7", 10, 60), ("88", 210, 60), ("3", 112, 120)]
    lines = [
        Line(tuple(number(text, x - y // 10, y + x // 10) for text, x, y in cells if y == top))
        for top in (0, 60, 120)
    ]
    found = interpret(Reading(tuple(lines)))
    texts = [["".join(each.text for each in cell) for cell in row] for row in found.grid]
    assert texts == [["12", "5", "1234"], ["7", "", "88"], ["", "3", ""]]


def test_calibration_is_stored_beside_the_model_and_keeps_0_and_1(tmp_path):
    assert load_calibration(tmp_path / "none.json").apply(0.3) == 0.3
    (tmp_path / "c.json").write_text('{"scale": 2, "shift": 0.5}')
    calibration = load_calibration(tmp_path / "c.json")
    assert calibration == Calibration(2, 0.5)
    assert [calibration.apply(p) for p in (0.0, 1.0)] == [0, 1]
    assert 0.5 < calibration.apply(0.5) < calibration.apply(0.6) < 1
    for damaged in ("{}", '{"scale": -1, "shift": 0}', "?"):
        (tmp_path / "c.json").write_text(damaged)
        assert says(refusal(lambda: load_calibration(tmp_path / "c.json")), "c.json", "damaged")


def test_the_published_schema_describes_what_is_printed():
    assert json.loads(SCHEMA.read_text("utf-8")) == reading_schema()
    found = interpret(reading("17 1.234,50", "3/4")).as_dict()
    for line in (
        {"picture": "a.png", **found},
        {"picture": "a.pdf", "page": 2, "error": "damaged"},
        {"picture": "a.png", "digit": None, "confidence": 0.4, "probabilities": [0.1] * 10},
    ):
        PrintedLine.model_validate_json(json.dumps(line))


CROWDS = {
    "one": ((60, 40), [(20, 15, 10, 20)], [(16, 12)]),
    "at the edges": (
        (100, 60),
        [(0, 0, 10, 20), (90, 0, 10, 20), (0, 40, 10, 20), (90, 40, 10, 20)],
        [(30, 12)] * 4,
    ),
    "a picture as large as the number": ((20, 28), [(0, 0, 20, 28)], [(18, 10)]),
    "close together": ((200, 120), [(10 + 9 * each, 50, 8, 20) for each in range(20)], [(24, 12)] * 20),
    "on top of each other": ((200, 120), [(90, 50, 20, 20)] * 15, [(24, 12)] * 15),
    "a page of numbers": (
        (400, 400),
        [(20 + 40 * (each % 9), 20 + 30 * (each // 9), 30, 20) for each in range(100)],
        [(28, 12)] * 100,
    ),
}  # size of the page; boxes; sizes of the labels


@pytest.mark.parametrize("name", CROWDS)
def test_labels_overlap_neither_each_other_nor_the_edge(name):
    page, boxes, sizes = CROWDS[name]
    corners = [(x, y, x + width, y + height) for x, y, width, height in boxes]
    places = place_labels([Box(*each) for each in boxes], sizes, corners, page, 1)
    assert None not in places
    for (left, top, right, bottom), (width, height) in zip(places, sizes, strict=True):
        assert (right - left, bottom - top) == pytest.approx((width, height))
        assert 0 <= left < right <= page[0]
        assert 0 <= top < bottom <= page[1]
    for one, other in combinations(places, 2):
        common = [min(one[end], other[end]) - max(one[end - 2], other[end - 2]) for end in (2, 3)]
        assert min(common) <= 0, (one, other)


def test_a_label_for_which_there_is_no_room_is_left_out():
    boxes, covered = [Box(10, 10, 10, 10)] * 3, [(10, 10, 20, 20)]
    assert place_labels(boxes, [(31, 8)] * 3, covered, (30, 30), 1) == [None] * 3
    assert place_labels(boxes, [(30, 14)] * 3, covered, (30, 30), 1).count(None) == 1


@pytest.mark.parametrize("size", [(28, 28), (60, 20), (400, 90)])
def test_numbers_are_drawn_in_pictures_of_any_size(size):
    page = np.full(size[::-1], 250, np.uint8)
    found = interpret(Reading((Line((number("12345"), number("67", 50))),), page=page))
    assert found.draw().size == size


def test_a_picture_that_was_reduced_is_drawn_with_its_boxes():
    page = np.full((60, 150), 250, np.uint8)
    found = interpret(Reading((Line((number("47", 40, 50),)),), page=page))
    scaled = scale_boxes(found, (4.0, 3.0))
    assert scaled.numbers[0].box == Box(160, 150, 72, 60)
    assert np.array_equal(scaled.draw(), found.draw())
    assert scaled.draw(np.full((180, 600), 250, np.uint8)).size == (600, 180)


def test_labels_are_beside_their_numbers_and_a_notebook_shows_them():
    page = np.full((120, 300), 250, np.uint8)
    found = interpret(Reading((Line((number("47", 40, 50), number("12", 100, 50))),), page=page))
    assert found.draw().size == (300, 120)
    assert "data:image/jpeg;base64," in found._repr_html_()
    assert says(refusal(reading("7").draw), "no picture")
