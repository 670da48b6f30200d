"""Segment a page into text lines, and the ink of a line into its digits once their centres are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.imaging.ink import Ink, find_ink
from digit_recognizer.imaging.marks import Mark, find_marks, join_marks
from digit_recognizer.imaging.touching_digits import deslanted_columns, split_mark

PAGE_MAX_SIDE_PX = 1600  # larger pages are reduced
PAGE_MIN_SIDE_PX = 600  # smaller pages are enlarged
MIN_MARK_PX = 7  # longer side; smaller marks cannot be read
MAX_TALL_MARKS = 2_000  # a page with more is printed, or shows a texture
DIGIT_INK_FRACTION = 0.6  # of all ink is in marks that are at most as high as the digits of the page
SPECK_HEIGHT_FRACTION = 0.1  # of a digit's height; smaller marks are specks
SPECK_AREA_FRACTION = 0.008  # of a digit's height squared, likewise
MIN_CONTRAST_FRACTION = 0.4  # of the digits' contrast; paler marks belong to the paper
TALL_FRACTION = 0.4  # of a digit's height; lower marks are points, dashes or parts of digits
SLANTS = np.linspace(-0.8, 0.8, 17)  # candidates; columns to the right per row upwards
MIN_OVERLAP_FRACTION = 0.6  # of a mark's width that lies over or under the digit that it is a part of
MIN_SHARED_HEIGHT_FRACTION = 0.4  # of the lower of two marks, for both to be in the same row
MAX_MARK_GAP = 4.0  # times a digit's height; marks further apart are in different lines
ROW_TAIL_MARKS = 3  # last marks of a row with which the next one is compared
LOW_MARK_MARGIN = 0.3  # times a row's height, by which its low marks may exceed it at the top and bottom
ROW_END_MARGIN = 2  # times a row's height, likewise at the left and right
DASH_ASPECT = 4.0  # times its height; a wider mark at the bottom of a digit is a dash, a rule or a frame
DASH_POSITION = 0.7  # of the height of a digit, from its top
FAR_LEFT_PX = -(10**6)  # left of, and above, every page


@dataclass(frozen=True, slots=True, eq=False)
class TextLine:
    """A line of writing; its marks may be digits, several that touch, parts of digits, or none."""

    marks: tuple[Mark, ...]  # from left to right
    height: float  # of its digits, in pixels of the ink
    slant: float  # columns that the writing leans to the right per row upwards

    def assign_marks(self, centres: NDArray[np.float64]) -> tuple[list[Mark | None], list[Mark]]:
        """Assign the marks to digits with the given centres, (N,), ascending columns of the ink.

        Returns the ink of each digit, None where there is none, and the marks of no digit.
        """
        parts: list[list[Mark]] = [[] for _ in centres]
        rest = []
        for mark in self.marks:
            columns = deslanted_columns(mark, self.slant)
            inside = np.flatnonzero((centres >= columns.min()) & (centres <= columns.max()))
            if not inside.size:
                rest.append(mark)
                continue
            split = split_mark(mark, self.slant, centres[inside].tolist())
            for number, part in zip(inside, split, strict=True):
                parts[number] += [part] if part is not None else []
        digits = [join_marks(each) if each else None for each in parts]
        return _attach_strays(digits, rest)


def find_lines(page: NDArray[np.uint8]) -> tuple[Ink, list[TextLine], list[Mark]]:
    """Return the ink of a page, (H, W), its text lines from top to bottom, and the marks of no line."""
    ink = find_ink(page, max_side=PAGE_MAX_SIDE_PX, min_side=PAGE_MIN_SIDE_PX)
    return ink, *segment_lines(ink)


def segment_lines(ink: Ink) -> tuple[list[TextLine], list[Mark]]:
    """Return the text lines in ink, from top to bottom, and the marks of no line."""
    marks = [mark for mark in find_marks(ink) if mark.longer_side >= MIN_MARK_PX]
    if not marks:
        return [], []
    height = _estimate_digit_height(marks)
    marks = _without_specks(marks, height, ink)
    tall = [mark for mark in marks if mark.height > TALL_FRACTION * height]
    if len(tall) > MAX_TALL_MARKS:
        return [], marks
    rest = [mark for mark in marks if mark.height <= TALL_FRACTION * height]
    lines = []
    for row in _group_into_rows(tall, height):
        own = _low_marks_of(row, rest)
        rest = [mark for mark in rest if mark not in own]
        lines.append(_make_line([*row, *own], float(np.percentile([mark.height for mark in row], 60))))
    return sorted(lines, key=lambda line: min(mark.top for mark in line.marks)), rest


def _attach_strays(digits: list[Mark | None], strays: Sequence[Mark]) -> tuple[list[Mark | None], list[Mark]]:
    """Join marks over or under a digit to it, such as the bar of a 5; return the others as well."""
    rest = []
    for stray in strays:
        overlaps = [0.0 if digit is None else _overlap(stray, digit) for digit in digits]
        best = int(np.argmax(overlaps)) if overlaps else 0
        digit = digits[best] if overlaps else None
        is_part = digit is not None and overlaps[best] > MIN_OVERLAP_FRACTION
        if digit is not None and is_part and not _is_dash(stray, digit.top, digit.height):
            digits[best] = join_marks([digit, stray])
        else:
            rest.append(stray)
    return digits, rest


def _estimate_digit_height(marks: Sequence[Mark]) -> float:
    """Return the height of the digits on a page: a percentile of heights, weighted by ink."""
    heights = np.array([mark.height for mark in marks])
    order = heights.argsort()
    ink = np.cumsum(np.array([len(mark) for mark in marks], float)[order])
    return float(heights[order][np.searchsorted(ink, DIGIT_INK_FRACTION * ink[-1])])


def _without_specks(marks: Sequence[Mark], height: float, ink: Ink) -> list[Mark]:
    large = [
        mark
        for mark in marks
        if mark.longer_side > SPECK_HEIGHT_FRACTION * height and len(mark) > SPECK_AREA_FRACTION * height**2
    ]
    contrasts = [float(np.percentile(ink.smooth[mark.rows, mark.columns], 85)) for mark in large]
    tall = [contrast for mark, contrast in zip(large, contrasts, strict=True) if mark.height > height / 2]
    min_contrast = MIN_CONTRAST_FRACTION * float(np.median(tall)) if tall else 0.0
    return [mark for mark, contrast in zip(large, contrasts, strict=True) if contrast > min_contrast]


def _group_into_rows(tall: Sequence[Mark], height: float) -> list[list[Mark]]:
    """Group tall marks into rows, from left to right: each is added to the row that it shares most with."""
    rows: list[list[Mark]] = []
    tails = np.full((len(tall), ROW_TAIL_MARKS, 3), FAR_LEFT_PX)  # top, bottom, right of last marks
    for mark in sorted(tall, key=lambda mark: mark.left):
        shared = _shared_rows(mark, tails[: len(rows)], height)
        best = int(shared.argmax()) if rows else 0
        if rows and shared[best] > 0:
            rows[best].append(mark)
        else:
            best = len(rows)
            rows.append([mark])
        tails[best] = [*tails[best, 1:], (mark.top, mark.bottom, mark.right)]
    return rows


def _shared_rows(mark: Mark, tails: NDArray[np.int_], height: float) -> NDArray[np.int_]:
    """Return how many rows of pixels a mark shares with each row of marks: (N, 3, 3) → (N,).

    It is 0 for rows of marks that it does not continue.
    """
    top, bottom, right = (tails[..., number] for number in range(3))
    shared = np.minimum(mark.bottom, bottom) - np.maximum(mark.top, top)
    is_near = mark.left - right < MAX_MARK_GAP * height
    is_level = shared > MIN_SHARED_HEIGHT_FRACTION * np.minimum(mark.height, bottom - top)
    return np.asarray(np.where(is_near & is_level, shared, 0).max(axis=1, initial=0))


def _low_marks_of(row: Sequence[Mark], marks: Sequence[Mark]) -> list[Mark]:
    """Return the low marks that stand in a row or at its ends."""
    height = float(np.median([mark.height for mark in row]))
    top, bottom = (float(np.median([getattr(mark, side) for mark in row])) for side in ("top", "bottom"))
    left, right = min(mark.left for mark in row), max(mark.right for mark in row)
    return [
        mark
        for mark in marks
        if mark.top < bottom + LOW_MARK_MARGIN * height
        and mark.bottom > top - LOW_MARK_MARGIN * height
        and left - ROW_END_MARGIN * height < mark.left
        and mark.right < right + ROW_END_MARGIN * height
        and not _is_dash(mark, top, height)
    ]


def _make_line(marks: Sequence[Mark], height: float) -> TextLine:
    ordered = sorted(marks, key=lambda mark: mark.centre)
    return TextLine(tuple(ordered), height, _estimate_slant(join_marks(ordered)))


def _estimate_slant(mark: Mark) -> float:
    """Return the slant at which the ink is concentrated in the fewest columns."""
    rows, columns = mark.rows - (mark.top + mark.bottom) / 2, mark.columns - mark.left + mark.height
    concentrations = [
        float((np.bincount((columns + slant * rows).astype(int).clip(0)).astype(float) ** 2).sum())
        for slant in SLANTS
    ]
    return float(SLANTS[int(np.argmax(concentrations))])


def _overlap(mark: Mark, other: Mark) -> float:
    """Return the fraction of a mark's width that lies over or under another mark."""
    return (min(mark.right, other.right) - max(mark.left, other.left)) / mark.width


def _is_dash(mark: Mark, top: float, height: float) -> bool:
    """Return whether a mark is a dash or a rule below a digit, or a row of digits, and not a part of it."""
    return mark.width > DASH_ASPECT * mark.height and mark.top > top + DASH_POSITION * height
