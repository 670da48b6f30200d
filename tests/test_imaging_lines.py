"""Text lines are found, levelled, and split into digits, also where these touch."""

from __future__ import annotations

import numpy as np
import pytest

from digit_recognizer.imaging.line_segmentation import find_lines
from digit_recognizer.imaging.marks import Mark
from digit_recognizer.imaging.strip import make_strip
from digit_recognizer.imaging.touching_digits import deslanted_columns, split_mark
from pictures import written

DUMBBELL_PICTURE = [
    "####......####",
    "####......####",
    "##############",
    "####......####",
    "####......####",
]
DUMBBELL = Mark(*np.nonzero(np.array([list(row) for row in DUMBBELL_PICTURE]) == "#"))


def test_a_mark_is_split_where_it_is_thin():
    first, second = split_mark(DUMBBELL, 0.0, [2.0, 11.0])
    assert 18 <= len(first) <= 26
    assert len(first) + len(second) == len(DUMBBELL)
    assert first.right <= second.left


def test_a_mark_with_one_centre_is_not_split():
    assert split_mark(DUMBBELL, 0.0, [5.0]) == [DUMBBELL]


def test_a_slanted_mark_is_split_along_its_slant():
    rows, columns = np.mgrid[:40, :12]
    slanted = Mark(
        np.tile(rows.ravel(), 2),
        np.concatenate([columns.ravel(), columns.ravel() + 15]) - np.tile(rows.ravel() // 2, 2) + 30,
    )
    places = deslanted_columns(slanted, 0.5)
    first, second = split_mark(slanted, 0.5, [places.min() + 6, places.max() - 6])
    assert len(first) == len(second) == 480


def test_each_point_of_a_mark_belongs_to_one_digit():
    rng = np.random.default_rng(4)
    for _ in range(30):
        ink = np.kron(rng.random((8, 12)) < 0.6, np.ones((4, 4))) > 0
        mark = Mark(*np.nonzero(ink))
        centres = np.sort(rng.uniform(mark.left, mark.right, 4)).tolist()
        parts = split_mark(mark, rng.uniform(-0.5, 0.5), centres)
        assert len(parts) == 4
        assert sum(len(part) for part in parts if part is not None) == len(mark)


@pytest.mark.parametrize("number", ["472", "30 18"])
def test_the_marks_of_a_line_are_assigned_to_its_digits(number):
    _, (line,), rest = find_lines(written(number, seed=5))
    centres = np.array([mark.centre for mark in line.marks if mark.height > line.height / 2])
    assert len(centres) == len(number.replace(" ", ""))
    digits, unassigned = line.assign_marks(centres)
    for digit, centre in zip(digits, centres, strict=True):
        assert digit.left <= centre < digit.right
    assert len(unassigned) + len(rest) <= 2
    assert line.assign_marks(np.array([])) == ([], list(line.marks))


@pytest.mark.parametrize("slope", [-0.12, 0.0, 0.12])
def test_a_strip_is_level(slope):
    page = written("4725817", seed=5)
    height, width = page.shape
    rows = (np.arange(height)[:, None] - slope * (np.arange(width) - width / 2)).round().astype(int)
    sloped = page[rows.clip(0, height - 1), np.arange(width)]
    ink, (line, *_), _ = find_lines(sloped)
    strip = make_strip(ink, line).image
    assert (strip.dtype, strip.shape[0]) == (np.uint8, 40)
    assert strip.max() > 200
    inked = strip > 100
    middles = [np.flatnonzero(half.any(axis=1)).mean() for half in np.array_split(inked, 2, axis=1)]
    assert abs(middles[0] - middles[1]) < 4
    assert 15 <= np.ptp(np.flatnonzero(inked.any(axis=1))) <= 34


def test_columns_of_a_strip_are_columns_of_the_ink():
    ink, (line,), _ = find_lines(written("472", seed=5))
    strip = make_strip(ink, line)
    columns = np.flatnonzero((strip.image > 100).any(axis=0))
    found = strip.to_ink_columns(columns[[0, -1]].astype(float))
    assert found == pytest.approx([line.marks[0].left, line.marks[-1].right], abs=3 / strip.zoom)
