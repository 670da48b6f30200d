"""A page ► lines of writing ► the ink of each digit, once it is known where in its line each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.imaging.touching_digits import across, cut
from digit_recognizer.imaging.ink import Ink, find_ink
from digit_recognizer.imaging.marks import Mark, find_marks, join

LONGEST, SHORTEST = 1600, 600  # pixels of the longer side, in which writing is looked for
LEAST = 7  # pixels; smaller marks could not be read
MOST = 2_000  # tall marks; a page with more is printed, or shows a texture
NOWHERE = -(10**6)  # pixels from anywhere
SPECK = 0.1  # of a digit's height; smaller marks are none
PALE = 0.4  # of the contrast that digits have; paler marks are the paper's
TALL = 0.4  # of a digit's height; lower marks are points, dashes or parts
SLANTS = np.linspace(-0.8, 0.8, 17)  # columns to the right for each row upwards
ABOVE = 0.6  # of a mark's width; as much lies over or under the digit that it is a part of
LEVEL = 0.4  # of the lower of two marks' height, which they share if they stand beside each other
FAR = 4.0  # of a digit's height; marks that are as far apart are in lines of their own
LAST = 3  # marks of a row that the next one may stand beside
FLAT = 4.0  # times its height; a mark that is as broad and lies low is a rule, a frame or a dash
LOW = 0.7  # of a row's height, downwards


@dataclass(frozen=True, slots=True, eq=False)
class TextLine:
    """One line of writing.

    Attributes
    ----------
    marks
        From left to right; some may be several digits that touch, others parts of one, or none.
    height
        That of its digits, in pixels of the ink.
    slant
        How many columns to the right the writing leans for each row upwards.
    """

    marks: tuple[Mark, ...]
    height: float
    slant: float

    def digits_at(self, centres: NDArray[np.float64]) -> tuple[list[Mark | None], list[Mark]]:
        """Share the marks out among digits, and return those that are left.

        Parameters
        ----------
        centres
            float64, shape (N,): the column of the middle of each digit, in rising order.

        Returns
        -------
        digits, rest
            What each digit consists of, None where it has no ink of its own; and the marks of none.
        """
        parts: list[list[Mark]] = [[] for _ in centres]
        rest = []
        for mark in self.marks:
            places = across(mark, self.slant)
            inside = np.flatnonzero((centres >= places.min()) & (centres <= places.max()))
            if not inside.size:
                rest.append(mark)
                continue
            cuts = cut(mark, self.slant, centres[inside].tolist())
            for number, part in zip(inside, cuts, strict=True):
                parts[number] += [part] if part is not None else []
        whole = [join(each) if each else None for each in parts]
        return self._with_strays(whole, rest)

    def _with_strays(
        self, digits: list[Mark | None], strays: list[Mark]
    ) -> tuple[list[Mark | None], list[Mark]]:
        """Add the marks that lie over or under a digit to it: the bar of a 5, the end of a broken stroke."""
        rest = []
        for stray in strays:
            shares = [0.0 if digit is None else _shared(stray, digit) for digit in digits]
            best = int(np.argmax(shares)) if shares else 0
            digit = digits[best] if shares else None
            if digit is not None and shares[best] > ABOVE and not _is_dash(stray, digit.top, digit.height):
                digits[best] = join([digit, stray])
            else:
                rest.append(stray)
        return digits, rest


def find_lines(page: NDArray[np.uint8]) -> tuple[Ink, list[TextLine], list[Mark]]:
    """Find the lines of a page, uint8 (height, width), from top to bottom, and the marks that are in none."""
    ink = find_ink(page, longest=LONGEST, shortest=SHORTEST)
    return ink, *lines_of(ink)


def lines_of(ink: Ink) -> tuple[list[TextLine], list[Mark]]:
    """Find the lines that ink is written in, from top to bottom, and the marks that are in none."""
    marks = [mark for mark in find_marks(ink) if mark.longest >= LEAST]
    if not marks:
        return [], []
    height = _height_of_digits(marks)
    marks = _without_specks(marks, height, ink)
    tall = [mark for mark in marks if mark.height > TALL * height]
    if len(tall) > MOST:
        return [], marks
    rest = [mark for mark in marks if mark.height <= TALL * height]
    lines = []
    for row in _rows(tall, height):
        own = _beside(row, rest)
        rest = [mark for mark in rest if mark not in own]
        lines.append(_line([*row, *own], float(np.percentile([mark.height for mark in row], 60))))
    return sorted(lines, key=lambda line: min(mark.top for mark in line.marks)), rest


def _height_of_digits(marks: Sequence[Mark]) -> float:
    """Return the height below which marks with six tenths of all ink lie."""
    heights = np.array([mark.height for mark in marks])
    order = heights.argsort()
    ink = np.cumsum(np.array([len(mark) for mark in marks], float)[order])
    return float(heights[order][np.searchsorted(ink, 0.6 * ink[-1])])


def _without_specks(marks: Sequence[Mark], height: float, ink: Ink) -> list[Mark]:
    large = [mark for mark in marks if mark.longest > SPECK * height and len(mark) > 0.008 * height**2]
    strengths = [float(np.percentile(ink.smooth[mark.rows, mark.columns], 85)) for mark in large]
    tall = [strength for mark, strength in zip(large, strengths, strict=True) if mark.height > height / 2]
    least = PALE * float(np.median(tall)) if tall else 0.0
    return [mark for mark, strength in zip(large, strengths, strict=True) if strength > least]


def _rows(tall: Sequence[Mark], height: float) -> list[list[Mark]]:
    """Sort tall marks into rows, each mark behind the one that it stands beside."""
    rows: list[list[Mark]] = []
    ends = np.full((len(tall), LAST, 3), NOWHERE)  # of each row: top, bottom and right of its last marks
    for mark in sorted(tall, key=lambda mark: mark.left):
        levels = _levels(mark, ends[: len(rows)], height)
        best = int(levels.argmax()) if rows else 0
        if rows and levels[best] > 0:
            rows[best].append(mark)
        else:
            best = len(rows)
            rows.append([mark])
        ends[best] = [*ends[best, 1:], (mark.top, mark.bottom, mark.right)]
    return rows


def _levels(mark: Mark, ends: NDArray[np.int_], height: float) -> NDArray[np.int_]:
    """Return how many rows of pixels a mark shares with the ends of rows of marks, (N, LAST, 3) ► (N,).

    With those that it does not stand beside it shares none.
    """
    top, bottom, right = (ends[..., number] for number in range(3))
    shared = np.minimum(mark.bottom, bottom) - np.maximum(mark.top, top)
    near = mark.left - right < FAR * height
    level = shared > LEVEL * np.minimum(mark.height, bottom - top)
    return np.asarray(np.where(near & level, shared, 0).max(axis=1, initial=0))


def _beside(row: Sequence[Mark], marks: Sequence[Mark]) -> list[Mark]:
    """Return the low marks that stand in a row or at its ends."""
    height = float(np.median([mark.height for mark in row]))
    top, bottom = (float(np.median([getattr(mark, side) for mark in row])) for side in ("top", "bottom"))
    left, right = min(mark.left for mark in row), max(mark.right for mark in row)
    return [
        mark
        for mark in marks
        if mark.top < bottom + 0.3 * height
        and mark.bottom > top - 0.3 * height
        and left - 2 * height < mark.left
        and mark.right < right + 2 * height
        and not _is_dash(mark, top, height)
    ]


def _line(marks: Sequence[Mark], height: float) -> TextLine:
    ordered = sorted(marks, key=lambda mark: mark.left + mark.right)
    return TextLine(tuple(ordered), height, _slant(join(ordered)))


def _slant(mark: Mark) -> float:
    """Return the slant under which the ink falls into the fewest columns."""
    rows, columns = mark.rows - (mark.top + mark.bottom) / 2, mark.columns - mark.left + mark.height
    fullness = [
        float((np.bincount((columns + slant * rows).astype(int).clip(0)).astype(float) ** 2).sum())
        for slant in SLANTS
    ]
    return float(SLANTS[int(np.argmax(fullness))])


def _shared(mark: Mark, other: Mark) -> float:
    """Return the share of a mark's width that lies over or under another."""
    return (min(mark.right, other.right) - max(mark.left, other.left)) / mark.width


def _is_dash(mark: Mark, top: float, height: float) -> bool:
    """Return whether a mark is a rule under a digit, or a row of them, rather than a part of it."""
    return mark.width > FLAT * mark.height and mark.top > top + LOW * height
