"""A line of writing ► a strip of fixed height, level, as the network that reads lines knows it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import INK
from digit_recognizer.imaging.ink import Ink
from digit_recognizer.imaging.line_segmentation import TextLine

HEIGHT = 40  # pixels of a strip
DIGIT = 22  # pixels of a digit of the line's height
MARGIN = 8  # pixels before and behind the ink
DARK = 70  # percentile of the line's contrast that counts as full ink
EDGE = 1.0  # pixels of the ink around its strokes that belong to their soft edges
STEEPEST = 0.3  # rows for each column by which a line may slope
LONG = 2.0  # of the line's height; shorter lines have no slope that could be measured
TALL = 0.5  # of the line's height; lower marks say nothing about its slope
AROUND = 4  # standard deviations of both blurs that a line is cut out with around it
ALIAS = 0.35  # pixels of the strip, standard deviation of the blur before it is made smaller


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """A line, level and of the size that the network knows.

    Attributes
    ----------
    image
        uint8, shape (40, W): 0 background to 255 ink.
    left
        The column of the ink that is the strip's first.
    zoom
        Pixels of the strip for one of the ink.
    """

    image: NDArray[np.uint8]
    left: float
    zoom: float

    def column(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the columns of the ink that lie at columns of the strip."""
        return self.left + place / self.zoom


def make_strip(ink: Ink, line: TextLine) -> Strip:
    """Cut a line out of its page's ink, without what is not its own, level it and bring it to size."""
    slope, middle = _course(line)
    zoom = DIGIT / line.height
    first, last = min(mark.left for mark in line.marks), max(mark.right for mark in line.marks)
    left = first - MARGIN / zoom
    width = round((last - first) * zoom) + 2 * MARGIN
    above, before, levels = _levels(ink, line, ALIAS / zoom if zoom < 1 else 0.0)
    top = middle + slope * left - HEIGHT / 2 / zoom
    to_page = np.array([[1 / zoom, 0, left - before], [slope / zoom, 1 / zoom, top - above]], np.float32)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    strip = cv2.warpAffine(levels, to_page, (width, HEIGHT), flags=how)
    return Strip(np.rint(INK * strip.clip(0, 1)).astype(np.uint8), left, zoom)


def _course(line: TextLine) -> tuple[float, float]:
    """Return the slope of a line, rows for each column, and the row in which it begins at column 0."""
    tall = [mark for mark in line.marks if mark.height > TALL * line.height] or list(line.marks)
    columns = np.array([(mark.left + mark.right) / 2 for mark in tall])
    rows = np.array([(mark.top + mark.bottom) / 2 for mark in tall])
    sizes = np.array([len(mark) for mark in tall], float)
    slope = 0.0
    if len(tall) > 2 and np.ptp(columns) > LONG * line.height:
        away = columns - np.average(columns, weights=sizes)
        slope = float((sizes * away * rows).sum() / (sizes * away**2).sum())
    slope = float(np.clip(slope, -STEEPEST, STEEPEST))
    return slope, float(np.average(rows - slope * columns, weights=sizes))


def _levels(ink: Ink, line: TextLine, blur: float) -> tuple[int, int, NDArray[np.float32]]:
    """Return the ink of a line, 0 to 1, without what is around its marks; and its first row and column."""
    margin = ceil(AROUND * (EDGE + blur))
    above = max(0, min(mark.top for mark in line.marks) - margin)
    before = max(0, min(mark.left for mark in line.marks) - margin)
    below = max(mark.bottom for mark in line.marks) + margin
    behind = max(mark.right for mark in line.marks) + margin
    contrast = ink.contrast[above:below, before:behind]
    mask = np.zeros(contrast.shape, np.uint8)
    for mark in line.marks:
        mask[mark.rows - above, mark.columns - before] = 1
    full = max(float(np.percentile(contrast[mask > 0], DARK)), 1e-6)
    near = cv2.GaussianBlur(cv2.dilate(mask, np.ones((3, 3), np.uint8)).astype(np.float32), (0, 0), EDGE)
    levels = near * np.clip(contrast / full, 0, 1)
    if blur:
        levels = cv2.GaussianBlur(levels, (0, 0), blur)
    return above, before, np.asarray(levels, np.float32)
