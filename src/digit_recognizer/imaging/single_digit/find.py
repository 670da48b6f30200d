"""Find the one digit of a picture among specks, shadows and the edges of the paper."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import INK, SIDE
from digit_recognizer.imaging.single_digit.ink import Ink, find_ink, is_dark_on_light
from digit_recognizer.imaging.single_digit.marks import Mark, find_marks, join_marks
from digit_recognizer.imaging.single_digit.mnist_style import mark_to_image

DIGIT_PAGE_MAX_SIDE_PX = 400  # a larger page shows no more of a single digit
DIGIT_PAGE_MIN_SIDE_PX = 160  # a smaller page is enlarged, to measure stroke widths
SPECK_PAGE_FRACTION = 0.03  # of the longer side of the page; smaller marks are specks
MIN_PART_FRACTION = 0.12  # of the digit's longer side; smaller marks beside it are specks
MAX_PART_GAP_FRACTION = 0.35  # of the digit's longer side; marks further away do not belong to it
MIN_PART_CONTRAST_FRACTION = 0.35  # of the digit's contrast; paler marks do not belong to it
EDGE_WEIGHTS = {0: 1.0, 1: 0.6, 2: 0.2}  # weight of a mark by the number of page edges that it touches
MIN_EDGE_WEIGHT = 0.01  # of a mark that touches more


def find_single_digit(page: NDArray[np.uint8]) -> tuple[Ink, Mark | None]:
    """Return the ink of a page, (H, W), and the mark of its one digit; None on a blank page."""
    ink = find_ink(page, max_side=DIGIT_PAGE_MAX_SIDE_PX, min_side=DIGIT_PAGE_MIN_SIDE_PX)
    min_side = SPECK_PAGE_FRACTION * max(ink.contrast.shape)
    marks = [mark for mark in find_marks(ink) if mark.longer_side > min_side]
    if not marks:
        return ink, None
    main = max(marks, key=lambda mark: _weight(mark, ink))
    return ink, join_marks([main, *(mark for mark in marks if _is_part(mark, main, ink))])


def digit_image(page: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the one digit of a page, (H, W), as `single_image`; of 28x28 pixels as it is, its ink light."""
    if page.shape != (SIDE, SIDE):
        return single_image(page)
    return INK - page if is_dark_on_light(page) else page


def single_image(page: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the one digit of a page as an image for the network.

    Parameters
    ----------
    page
        uint8, shape (height, width): 0 black to 255 white, as from `decode`.

    Returns
    -------
    NDArray[np.uint8]
        Shape (28, 28), 0 background to 255 ink; all 0 if the page is blank.
    """
    ink, mark = find_single_digit(page)
    return np.zeros((SIDE, SIDE), np.uint8) if mark is None else mark_to_image(ink, mark)


def _weight(mark: Mark, ink: Ink) -> float:
    """Return how likely a mark is the digit: by its ink, less if it is off-centre or touches an edge."""
    height, width = ink.contrast.shape
    down = (mark.top + mark.bottom) / (2 * height) - 0.5
    right = (mark.left + mark.right) / (2 * width) - 0.5
    edge_weight = EDGE_WEIGHTS.get(_count_edges(mark, ink), MIN_EDGE_WEIGHT)
    return edge_weight * float(_contrast(mark, ink) * len(mark) * np.exp(-2 * (down**2 + right**2)))


def _is_part(mark: Mark, main: Mark, ink: Ink) -> bool:
    """Return whether a mark is a further part of the digit whose main part is `main`."""
    if mark is main or (_count_edges(mark, ink) and not _count_edges(main, ink)):
        return False
    is_large = mark.longer_side >= MIN_PART_FRACTION * main.longer_side and len(mark) >= 0.02 * len(main)
    return (
        is_large
        and _gap(mark, main) < MAX_PART_GAP_FRACTION * main.longer_side
        and _contrast(mark, ink) > MIN_PART_CONTRAST_FRACTION * _contrast(main, ink)
    )


def _contrast(mark: Mark, ink: Ink) -> float:
    return float(np.percentile(ink.smooth[mark.rows, mark.columns], 75))


def _count_edges(mark: Mark, ink: Ink) -> int:
    """Return how many of the page's edges a mark touches."""
    height, width = ink.contrast.shape
    return sum((mark.top <= 0, mark.left <= 0, mark.bottom >= height, mark.right >= width))


def _gap(first: Mark, second: Mark) -> int:
    """Return the distance between two bounding boxes, in pixels along rows or columns."""
    down = max(first.top - second.bottom, second.top - first.bottom, 0)
    right = max(first.left - second.right, second.left - first.right, 0)
    return max(down, right)
