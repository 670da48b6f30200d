"""The one digit of a picture, or what may be one: its mark among specks, shadows and the paper's edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import SIDE
from digit_recognizer.imaging.mnist_style import to_image
from digit_recognizer.imaging.ink import Ink, find_ink
from digit_recognizer.imaging.marks import Mark, find_marks, join

LONGEST, SHORTEST = 400, 160  # pixels; larger shows no more of one digit, smaller leaves no room to measure
SPECK = 0.03  # of the page's longer side
PART = 0.12  # of the digit's longer side; smaller marks beside it are specks
NEAR = 0.35  # of the digit's longer side; marks that are further off do not belong to it
PALE = 0.35  # of the digit's contrast; paler marks do not belong to it
EDGES = {0: 1.0, 1: 0.6, 2: 0.2}  # how much a mark counts that touches as many edges; none with three


def find_single(page: NDArray[np.uint8]) -> tuple[Ink, Mark | None]:
    """Find the one digit of a page, uint8 (height, width), and its ink; no mark on a blank page."""
    ink = find_ink(page, longest=LONGEST, shortest=SHORTEST)
    shape = ink.contrast.shape
    marks = [mark for mark in find_marks(ink) if mark.longest > SPECK * max(shape)]
    if not marks:
        return ink, None
    main = max(marks, key=lambda mark: _weight(mark, ink))
    return ink, join([main, *(mark for mark in marks if _belongs(mark, main, ink))])


def single_image(page: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the one digit of a page as the network knows digits: uint8 (28, 28), or all blank."""
    ink, mark = find_single(page)
    return np.zeros((SIDE, SIDE), np.uint8) if mark is None else to_image(ink, mark)


def _weight(mark: Mark, ink: Ink) -> float:
    """Return how likely a mark is the digit: its ink, less towards the page's edges."""
    height, width = ink.contrast.shape
    down = (mark.top + mark.bottom) / (2 * height) - 0.5
    right = (mark.left + mark.right) / (2 * width) - 0.5
    edges = EDGES.get(_edges(mark, ink), 0.01)
    return edges * float(_strength(mark, ink) * len(mark) * np.exp(-2 * (down**2 + right**2)))


def _belongs(mark: Mark, main: Mark, ink: Ink) -> bool:
    """Return whether a mark is a part of the digit whose main part is another."""
    if mark is main or (_edges(mark, ink) and not _edges(main, ink)):
        return False
    large = mark.longest >= PART * main.longest and len(mark) >= 0.02 * len(main)
    return (
        large
        and _gap(mark, main) < NEAR * main.longest
        and _strength(mark, ink) > PALE * _strength(main, ink)
    )


def _strength(mark: Mark, ink: Ink) -> float:
    return float(np.percentile(ink.smooth[mark.rows, mark.columns], 75))


def _edges(mark: Mark, ink: Ink) -> int:
    """Return how many of the page's edges a mark touches."""
    height, width = ink.contrast.shape
    return sum((mark.top <= 0, mark.left <= 0, mark.bottom >= height, mark.right >= width))


def _gap(first: Mark, second: Mark) -> int:
    """Return how far two marks' boxes are apart, in pixels along rows or columns."""
    down = max(first.top - second.bottom, second.top - first.bottom, 0)
    right = max(first.left - second.right, second.left - first.right, 0)
    return max(down, right)
