"""Characters of a page: where they are looked for, which of them are kept, and which are a number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from digit_recognizer import Predictions
from digit_recognizer.reading import CHARACTERS
from digit_recognizer.recognition.agreement import P_MISSED, FoundCharacter, Look, agree, keep_best
from digit_recognizer.recognition.character_finder import (
    MARGIN_PX,
    OUTPUTS,
    READER_MODEL,
    SIDE_MULTIPLE_PX,
    CharacterFinder,
    pad,
    pyramid_scales,
)
from digit_recognizer.recognition.grouping import group
from digit_recognizer.recognition.page_reader import NO_DIGITS, UNLIKELY, read_page
from digit_recognizer.recognition.unread import Area, UnreadParts, is_blank
from pictures import written

DOCUMENT = Path(__file__).parent.parent / "docs/reader.md"


@pytest.fixture(scope="module")
def finder() -> CharacterFinder:
    return CharacterFinder(threads=1)


def found(
    text: str,
    left: float,
    top: float = 0,
    *,
    width: float = 20,
    height: float = 30,
    confidence: float = 0.95,
    starts: float = 0.0,
    em: float = 30,
) -> FoundCharacter:
    probabilities = np.zeros(len(CHARACTERS), np.float32)
    probabilities[CHARACTERS.index(text)] = 1
    box = np.array([left, top, left + width, top + height], np.float32)
    return FoundCharacter(box, probabilities, confidence, em, starts)


def row(text: str, left: float = 0, top: float = 0, *, fall: float = 0.0) -> list[FoundCharacter]:
    """Return the characters of a line 25 pixels apart; a space starts a number."""
    characters = []
    for place, letter in enumerate(text):
        if letter == " ":
            continue
        is_low = letter in ".,"
        characters.append(
            found(
                letter,
                left + 25 * place,
                top + 25 * place * fall + (25 if is_low else 0),
                height=5 if is_low else 30,
                width=5 if is_low else 20,
                starts=float(place == 0 or text[place - 1] == " "),
            )
        )
    return characters


def texts(characters: list[FoundCharacter]) -> list[str]:
    """Return each line's numbers as text."""
    letters = [CHARACTERS[int(each.probabilities.argmax())] for each in characters]
    lines = [["".join(letters[place] for place in number) for number in line] for line in group(characters)]
    return [" ".join(line) for line in lines]


# Where characters are looked for


@pytest.mark.parametrize(
    ("height", "width", "scales"),
    [
        (16, 16, [2, 4]),
        (28, 28, [2, 4]),
        (40, 128, [1 / 4, 1 / 2, 1, 2, 4]),
        (100, 256, [1 / 8, 1 / 4, 1 / 2, 1, 2]),
        (280, 280, [1 / 8, 1 / 4, 1 / 2, 1]),
        (1, 1, []),
        (3, 4000, []),
        (20, 300, [1 / 2, 1]),
    ],
)
def test_a_page_is_looked_at_in_doubling_scales(height, width, scales):
    assert pyramid_scales(height, width) == scales


def test_boxes_on_a_page_that_is_made_smaller_are_those_of_the_page(finder, monkeypatch):
    page = written("7041", height=40, margin=60)
    whole = [each for each in finder.find(page) if each.confidence > 0.5]
    monkeypatch.setattr("digit_recognizer.recognition.character_finder.MAX_PIXELS", page.size / 1.5)
    smaller = [each for each in finder.find(page) if each.confidence > 0.5]
    assert len(whole) == len(smaller) == 4
    for one, other in zip(*(sorted(each, key=lambda c: c.middle) for each in (whole, smaller)), strict=True):
        assert np.abs(one.box - other.box).max() < 4
        assert one.em == pytest.approx(other.em, rel=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (17, 250)])
def test_a_level_gets_a_margin_and_sides_that_suit_the_network(shape):
    level = np.full(shape, 200, np.uint8)
    padded = pad(level)
    assert all(side % SIDE_MULTIPLE_PX == 0 for side in padded.shape)
    assert (padded == 200).all()
    assert min(np.subtract(padded.shape, shape)) >= 2 * MARGIN_PX


def test_blank_parts_and_read_parts_are_not_looked_at():
    page = np.full((300, 400), 240, np.uint8)
    assert is_blank(page)
    page[100:140, 40:60] = 30
    page[200:220, 300:310] = 30
    unread = UnreadParts(page)
    assert not is_blank(page)
    whole = unread.area()
    assert whole is not None
    assert whole.left <= 40 < 310 <= whole.right
    unread.remove([np.array([40, 100, 60, 140], np.float32)])
    rest = unread.area()
    assert rest is not None
    assert rest.left > 60
    unread.remove([np.array([300, 200, 310, 220], np.float32)])
    assert unread.area() is None


def test_noise_is_skipped_like_blank_paper_or_not():
    noise = np.random.default_rng(0).normal(0, 4, (600, 900))
    page = np.clip(200 + noise, 0, 255).astype(np.uint8)
    assert UnreadParts(page).area() == Area(0, 0, 900, 600)
    assert UnreadParts(page, skips_noise=True).area() is None
    page[100:140, 400:410] -= 60
    area = UnreadParts(page, skips_noise=True).area()
    assert area is not None
    assert 370 < area.left <= 400 < 410 <= area.right < 440
    assert 70 < area.top <= 100 < 140 <= area.bottom < 170


def test_an_area_follows_the_size_of_the_page():
    area = Area(3, 5, 7, 9)
    assert area.scaled(0.5, 2) == Area(1, 10, 4, 18)
    assert area.grown(4, 10, 12) == Area(0, 1, 11, 10)
    assert (area.contains(3, 5), area.contains(7, 5)) == (True, False)


def test_tiles_find_what_the_whole_page_shows(finder, monkeypatch):
    page = written("7041", "3529", "8610", height=40, margin=60)
    whole = finder.find(page)
    monkeypatch.setattr("digit_recognizer.recognition.character_finder.TILE_PX", 128)
    tiled = finder.find(page)
    sure = [[each for each in every if each.confidence > 0.5] for every in (whole, tiled)]
    assert len(sure[0]) == len(sure[1]) == 12
    for one, other in zip(*(sorted(each, key=lambda c: tuple(c.middle)) for each in sure), strict=True):
        assert np.abs(one.box - other.box).max() < 3
        assert one.probabilities.argmax() == other.probabilities.argmax()


def test_threads_find_the_same(finder, monkeypatch):
    monkeypatch.setattr("digit_recognizer.recognition.character_finder.TILE_PX", 96)
    page = written("7041", "3529")
    one, two = finder.find(page), CharacterFinder(threads=2).find(page)
    assert [each.box.tolist() for each in one] == [each.box.tolist() for each in two]


def test_the_best_of_overlapping_characters_is_kept():
    best, worse = found("8", 0, confidence=0.9), found("3", 4, confidence=0.6)
    beside, inside = found("1", 15, confidence=0.5), found(".", 8, 12, width=4, height=4, confidence=0.3)
    assert keep_best([worse, inside, beside, best]) == [best, beside]
    assert keep_best([]) == []


PAGE = Area(0, 0, 400, 400)


def test_looks_that_should_find_a_character_vote():
    one, other = found("8", 0, confidence=0.9), found("3", 2, confidence=0.8)
    (first, second) = agree([Look(1.0, PAGE, [one]), Look(1.2, PAGE, [other])])
    odds = (9 * 4) ** 0.5  # the geometric mean of 0.9 to 0.1 and 0.8 to 0.2
    assert first.is_character == second.is_character == pytest.approx(odds / (1 + odds))
    expected = np.zeros(len(CHARACTERS))
    expected[[8, 3]] = 0.9 / 1.7, 0.8 / 1.7
    np.testing.assert_allclose(first.probabilities, expected, rtol=1e-6)
    assert first.box.tolist() == one.box.tolist()


@pytest.mark.parametrize(
    ("scale", "area", "is_asked"),
    [
        (1.2, PAGE, True),
        (3.0, PAGE, False),  # there it is too large
        (0.5, PAGE, False),  # too small
        (1.2, Area(200, 0, 400, 400), False),  # elsewhere
    ],
)
def test_a_look_that_misses_what_it_should_find_speaks_against_it(scale, area, is_asked):
    elsewhere = found("1", 300, confidence=0.9)
    agreed = agree([Look(1.0, PAGE, [found("8", 0, confidence=0.9)]), Look(scale, area, [elsewhere])])
    odds = (9 * P_MISSED / (1 - P_MISSED)) ** 0.5 if is_asked else 9
    assert agreed[0].is_character == pytest.approx(odds / (1 + odds))
    assert agree([Look(1.0, PAGE, [])]) == []


def test_looks_that_see_a_point_a_pixel_apart_agree():
    one, other = (found(".", left, 20, width=3, height=3, confidence=0.9) for left in (10, 12))
    elsewhere = found(".", 20, 20, width=3, height=3, confidence=0.9)
    near, far = (agree([Look(1.0, PAGE, [one]), Look(1.2, PAGE, [each])]) for each in (other, elsewhere))
    assert near[0].is_character == pytest.approx(0.9)
    assert far[0].is_character < 0.5


# Which are a number


@pytest.mark.parametrize("fall", [-0.25, 0.0, 0.1, 0.25])
def test_level_and_sloping_lines_are_lines(fall):
    characters = row("17 42 8", fall=fall) + row("305 9", top=80, fall=fall)
    order = np.random.default_rng(0).permutation(len(characters))
    assert texts([characters[place] for place in order]) == ["17 42 8", "305 9"]


def test_separators_belong_to_their_numbers_and_wide_gaps_separate():
    assert texts(row("1.234,50")) == ["1.234,50"]
    assert texts(row("12") + row("34", left=150)) == ["12 34"]
    apart = [*row("12"), found("3", 25 * 2 + 80)]
    assert texts(apart) == ["12 3"]
    assert group([]) == []


@pytest.mark.parametrize("top", [0, 12, 25, 29])
@pytest.mark.parametrize("height", [2, 5, 20])
def test_a_separator_may_lie_anywhere_beside_a_digit(top, height):
    separator = found(",", 50, top, width=5, height=height)
    assert texts([*row("12"), separator, *row("34", left=60)]) == ["12,34"]


def test_a_separator_of_another_line_stays_there():
    assert texts([*row("12"), found(".", 50, 85, width=5, height=5), *row("34", top=60)]) == ["12", "34."]
    assert texts([*row("12"), found("-", 10, 55, height=4)]) == ["12", "-"]


def read(*characters: FoundCharacter, **options):
    return read_page(np.full((200, 300), 255, np.uint8), lambda _page: list(characters), **options)


def test_unlikely_characters_and_lone_separators_are_rejected_with_a_reason():
    reading = read(*row("47"), found("9", 200, confidence=0.3), found("-", 100, 100, starts=1))
    assert reading.text == "47"
    assert [(each.reason, each.guess.text) for each in reading.rejected_marks] == [
        (UNLIKELY, "9"),
        (NO_DIGITS, "-"),
    ]


def test_less_sure_digits_are_read_among_sure_ones_only():
    unsure = [found("4", 0, confidence=0.35), found("7", 25), found("9", 50)]
    assert read(*unsure).text == "479"
    assert read(*unsure, found(".", 75, 25, width=5, height=5, confidence=0.35)).text == "479"
    assert read(*unsure[:2]).text == "7"
    assert read(unsure[0]).text == ""
    assert [each.reason for each in read(*unsure[:2]).rejected_marks] == [UNLIKELY]


def test_a_separator_that_may_be_a_point_or_a_comma_is_read():
    mark = found(",", 50, 25, width=5, height=10)
    mark.probabilities[[CHARACTERS.index(","), CHARACTERS.index(".")]] = 0.55, 0.45
    reading = read(*row("12"), mark, *row("5", left=60))
    assert reading.text == "12,5"
    assert reading.numbers[0].characters[2].confidence == pytest.approx(0.95 * 0.55)
    half = found("1", 50)
    half.probabilities[[CHARACTERS.index("1"), CHARACTERS.index("7")]] = 0.55, 0.45
    assert read(half).text == ""


def test_boxes_are_whole_pixels_within_the_page():
    reading = read(found("1", -3.4, -2), found("2", 290.6, 180.2))
    assert [(b.x, b.y, b.right, b.bottom) for b in (digit.box for digit in reading.digits)] == [
        (0, 0, 17, 28),
        (291, 180, 300, 200),
    ]


def test_a_model_of_single_digits_decides_which_digit_it_is_but_not_whether():
    def sevens(images: np.ndarray) -> Predictions:
        assert images.shape[1:] == (28, 28)
        return Predictions(0.01 + 0.9 * np.eye(10, dtype=np.float32)[np.full(len(images), 7)])

    assert read(*row("1.23"), predict=sevens).text == "1.23"
    reading = read(*row("1.23"), predict=sevens, image_weight=1)
    assert reading.text == "7.77"
    assert all(digit.image is not None for digit in reading.digits)
    assert read(found("1", 0, confidence=0.2), predict=sevens).text == ""


def test_images_are_kept_if_they_are_asked_for(finder):
    page = written("47")
    reading = read_page(page, finder.find, with_images=True)
    assert reading.text == "47"
    assert all(digit.image.shape == (28, 28) and digit.image.max() > 200 for digit in reading.digits)
    assert all(digit.image is None for digit in read_page(page, finder.find).digits)


def test_the_file_names_its_characters_and_outputs():
    session = onnxruntime.InferenceSession(READER_MODEL, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_outputs()] == OUTPUTS
    assert session.get_modelmeta().custom_metadata_map["characters"] == CHARACTERS
    blank = session.run(OUTPUTS, {"page": np.full((32, 48), 255, np.uint8)})
    assert [values.shape[1:] for values in blank] == [(4,), (17,), (), (), ()]


def test_the_documented_lines_find_the_same_characters(finder):
    page = written("7041", "3529")
    block = re.search(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)[1]
    names: dict[str, Any] = {}
    exec(block, names)
    session = onnxruntime.InferenceSession(READER_MODEL, providers=["CPUExecutionProvider"])
    documented = names["find_characters"](page, session)
    sure = [each for each in finder.find(page) if each.confidence > 0.6]
    assert len(sure) == 8
    for each in sure:
        text = CHARACTERS[int(each.probabilities.argmax())]
        assert any(other == text and np.abs(box - each.box).max() < 4 for other, _, box in documented)
