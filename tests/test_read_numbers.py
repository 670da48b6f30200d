"""The measurement of readers of numbers: sets, composed pages, scores, and one short run."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import _layouts
import _number_sets
import _readers
import _result_rows
import _scores
import _sheets
import _views
import read_numbers
from digit_recognizer import load_digits

DIGITS = load_digits("bundled")
HAND = _sheets.Hand(DIGITS)


def rng(seed=0):
    return np.random.default_rng(seed)


def answer(text, *areas, rejected=()):
    """Return the answer of lines of numbers, each with its area if areas are given."""
    places = iter(areas)
    lines = [
        tuple(_readers.ReadNumber(word, area=next(places, None)) for word in line.split())
        for line in text.splitlines()
    ]
    return _readers.Answer(tuple(lines), tuple(rejected))


def area(x, y, width=20, height=30):
    return _readers.Area(x, y, width, height)


def written(text, x, y, row=0, width=60, height=30):
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], float)
    return _sheets.WrittenNumber(text, row, corners)


@pytest.mark.parametrize(
    ("measure", "read", "expected", "right"),
    [
        ("digits", "13 5", "13.5", True),
        ("digits", "13.5", "13,5", True),
        ("digits", "135\n1", "135", False),
        ("exactly", "13.5", "13.5", True),
        ("exactly", "13,5", "13.5", False),
        ("exactly", "13 5", "135", False),
        ("first number", "35.\n8", "35", True),
        ("first number", "", "35", False),
        ("refused", "", "", True),
        ("refused", "-", "", True),
        ("refused", "1", "", False),
    ],
)
def test_readings_are_compared_by_digits_exactly_or_by_their_first_number(measure, read, expected, right):
    assert _scores.MEASURES[measure](answer(read), expected) is right


def test_an_object_with_text_and_rejected_is_an_answer():
    read = _readers.as_answer(SimpleNamespace(text="1·5 −3\n7", rejected=["a smudge"]))  # noqa: RUF001
    assert read.text == "1.5 -3\n7"
    assert [each.confidence for each in read.numbers] == [None] * 3
    assert (read.confidence, len(read.rejected)) == (None, 1)


def test_a_reading_keeps_the_areas_and_confidences_of_its_numbers():
    box = SimpleNamespace(x=1, y=2, width=3, height=4)
    characters = [
        SimpleNamespace(box=SimpleNamespace(x=x, y=5, width=10, height=20), confidence=certainty)
        for x, certainty in ((10, 0.5), (25, 0.8))
    ]
    whole = SimpleNamespace(text="47", characters=characters, confidence=0.7, box=box)
    parts = SimpleNamespace(text="47", digits=characters)  # without a confidence and a box of its own
    line, rejected = SimpleNamespace(numbers=[whole, parts]), [box, SimpleNamespace(box=box)]
    read = _readers.as_answer(SimpleNamespace(lines=[line], rejected=rejected))
    assert read.text == "47 47"
    assert [each.area for each in read.numbers] == [area(1, 2, 3, 4), area(10, 5, 25, 20)]
    assert [each.confidence for each in read.numbers] == [0.7, pytest.approx(0.4)]
    assert read.confidence == pytest.approx(0.28)
    assert read.rejected == (area(1, 2, 3, 4),) * 2


def test_the_package_reads_as_a_reader():
    assert not _readers.load_reader(None)(np.full((50, 50), 255, np.uint8)).numbers


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("12\n34", "12\n34", 0),
        ("12\n34", "1234", 0),
        ("12", "112", 1),
        ("12", "13", 1),
        ("123", "", 3),
        ("", "12", 2),
    ],
)
def test_changed_digits_are_those_lost_added_or_exchanged(before, after, changed):
    assert _scores.changed_digits(answer(before), answer(after)) == changed


def test_numbers_are_matched_by_their_place_or_by_their_text():
    numbers = [written("12", 0, 0), written("34", 100, 0)]
    found = _scores.match(numbers, answer("34 2 1 5", area(110, 0), area(30, 2), area(0, 1), area(300, 0)))
    assert [[each.text for each in one] for one in found] == [["1", "2"], ["34"]]
    found = _scores.match(numbers, answer("34 34"))
    assert [[each.text for each in one] for one in found] == [[], ["34"]]


def test_a_row_is_lost_if_it_is_neither_read_nor_rejected():
    rows = [written(str(row), 0, 100 * row, row) for row in range(3)]
    view = _views.View(np.zeros((300, 100), np.uint8), rows)
    score = _scores.PlacedScore()
    score.add("page", view, answer("7 9", area(20, 0), area(70, 250), rejected=[area(20, 100)]))
    assert score.exactly == [False] * 3
    assert score.unread == [False, True, True]
    assert score.lost == [False, False, True]
    assert score.invented == 1
    assert [error.read for error in score.errors] == ["7", "", ""]


@pytest.mark.parametrize(
    ("confidence", "right", "error"),
    [
        ([1.0, 1.0], [True, True], 0),
        ([1.0, 1.0], [True, False], 50),
        ([0.5, 0.5], [True, False], 0),
        ([0.9, 0.1], [False, True], 90),
    ],
)
def test_the_calibration_error_compares_confidence_with_accuracy(confidence, right, error):
    assert _scores.Confidences(confidence, right).error() == pytest.approx(error)


@pytest.mark.parametrize("text", ["0123456789", "13.5", "-5", "1,234", "12/05", "10:30", "+7"])
def test_every_character_leaves_ink_where_the_number_stands(text):
    sheet = _sheets.Sheet(100, 600, HAND, rng())
    end = sheet.write(text, 20, 70, 40, 0)
    (left, top), _, (right, bottom), _ = sheet.numbers[0].corners.astype(int)
    inside = sheet.ink[top:bottom, left:right]
    assert (left, right) == (20, end)
    assert inside.any(axis=1).all()
    assert sheet.ink.sum(dtype=int) == inside.sum(dtype=int)


@pytest.mark.parametrize("degrees", [-10, 0, 6])
@pytest.mark.parametrize("view", [*_views.VIEWS.values(), _layouts.note_on_desk])
def test_places_of_numbers_follow_the_sheet_into_the_picture(view, degrees):
    sheet = _sheets.Sheet(260, 460, HAND, rng(1))
    sheet.write("888", 100, 100, 40, 0)
    sheet.write("888", 250, 200, 40, 1)
    shown = view(sheet, degrees, rng(2))
    for number in shown.numbers:
        across = (number.corners[1] - number.corners[0]) * 0.5
        middle, above = number.corners.mean(axis=0), number.corners[0] + across
        outside = above + (above - middle) * 0.7
        assert darkest(shown.page, middle) < darkest(shown.page, outside) - 30


def darkest(page, point, reach=12):
    column, row = np.rint(point).astype(int)
    return int(page[row - 8 : row + 9, column - reach : column + reach + 1].min())


def test_a_line_changes_one_straight_stroke_of_a_page():
    page = np.full((60, 90), 240, np.uint8)
    for seed in range(20):
        rows, columns = np.nonzero(_layouts.with_line(page, rng(seed)) != page)
        assert min(np.ptp(rows), np.ptp(columns)) < 4


@pytest.mark.parametrize("name", list(_layouts.LAYOUTS))
def test_layouts_are_the_same_each_time(name):
    write, show, degrees = _layouts.LAYOUTS[name]
    views = [show(write(HAND, one), degrees, one) for one in (rng(3), rng(3))]
    assert (views[0].page == views[1].page).all()
    assert views[0].numbers


def test_a_form_has_two_numbers_in_each_of_fourteen_rows():
    numbers = _layouts.form(HAND, rng()).numbers
    assert [number.row for number in numbers] == [row for row in range(14) for _ in range(2)]


@pytest.mark.parametrize(
    "name", ["strings-apart", "comb", "boxed", "signs", "letters", "greek", "non-digits", "textures"]
)
def test_composed_sets_need_nothing_but_digits(name):
    sources = _number_sets.Sources(None, None, None, DIGITS, HAND, 3, 0)
    cases, again = (list(_number_sets.SETS[name].cases(sources)) for _ in "12")
    assert len(cases) == 3
    assert all((first.page == second.page).all() for first, second in zip(cases, again, strict=True))
    assert all(bool(case.expected) == ("refused" not in _number_sets.SETS[name].measures) for case in cases)


def test_rows_come_back_from_json():
    rows = [
        _result_rows.proportion("a", "b", [True, False], _result_rows.at_most(3)),
        _result_rows.Row("a", "c", "", 1.5),
    ]
    assert _result_rows.from_json(json.loads(json.dumps(_result_rows.as_json(rows)))) == rows


def nothing(_page):
    return SimpleNamespace(text="", rejected=[])


def test_any_reader_is_measured_and_its_errors_are_stored(tmp_path, monkeypatch, capsys):
    pictures = tmp_path / "pictures"
    (pictures / "photos").mkdir(parents=True)
    _readers_picture(pictures / "photos" / "0.png")
    (pictures / "labels.csv").write_text("file,label\nphotos/0.png,8\n", "utf-8")
    output, errors = tmp_path / "numbers.json", tmp_path / "errors"
    command = ["read_numbers.py", "bundled", "--sets", "photos,cheques,letters,forms,tables,lines"]
    command += ["--sample", "2", "--pictures", str(pictures), "--reader", "test_read_numbers:nothing"]
    monkeypatch.setattr(sys, "argv", [*command, "--errors", str(errors), "-o", str(output)])
    assert read_numbers.main() == 0
    rows = {row["label"]: row for row in json.loads(output.read_text("utf-8"))["rows"]}
    assert {label: (rows[label]["right"], rows[label]["of"]) for label in ("photos", "letters")} == {
        "photos": (0, 1),
        "letters": (2, 2),
    }
    assert (rows["forms, exactly"]["right"], rows["forms, exactly"]["of"]) == (0, 56)
    assert rows["forms, rows lost without a word"]["value"] == 100
    assert "cheques" not in rows  # the folder has none
    assert "digits changed" not in rows  # no picture was read right without the line
    assert (errors / "photos.tsv").read_text("utf-8").splitlines()[1:] == ["photos/0.png\t8\t(nothing)"]
    assert {path.name for path in errors.glob("*.png")} == {"photos.png", "forms.png", "tables.png"}
    assert "forms, photo, exactly" in capsys.readouterr().out


def _readers_picture(path):
    from PIL import Image

    Image.fromarray(255 - DIGITS.images[0]).save(path)


@pytest.mark.parametrize("name", ["no_such_module:read", "json:no_such_function", "json"])
def test_a_reader_that_is_not_there_is_named(name):
    from _bench import BenchmarkError

    with pytest.raises(BenchmarkError, match=f"cannot load the reader {name}"):
        _readers.load_function(name)
