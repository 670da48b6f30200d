"""Normalise a text line to a level strip of fixed height, the input of the network that reads lines."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import INK
from digit_recognizer.imaging.ink import FULL_INK_PERCENTILE, Ink
from digit_recognizer.imaging.line_segmentation import TextLine

STRIP_HEIGHT_PX = 40
DIGIT_HEIGHT_PX = 22  # of the digits in a strip
STRIP_MARGIN_PX = 8  # to the left and right of the ink
SOFT_EDGE_PX = 1.0  # of ink around its strokes that belongs to their soft edges
MAX_LINE_SLOPE = 0.3  # rows per column
MIN_SLOPED_LENGTH = 2.0  # times the line's height; the slope of shorter lines cannot be measured
SLOPE_MARK_FRACTION = 0.5  # of the line's height; lower marks say nothing about its slope
BLUR_MARGIN_SIGMAS = 4  # standard deviations of the blurs by which the cut-out exceeds the line
ANTIALIAS_SIGMA_PX = 0.35  # pixels of the strip, of the blur before a line is reduced


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """A level text line: its image, and where that lies in the ink."""

    image: NDArray[np.uint8]  # (40, W), 0 background to 255 ink
    left: float  # column of the ink that is the strip's first
    zoom: float  # pixels of the strip per pixel of ink

    def to_ink_columns(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the columns of the ink at columns of the strip."""
        return self.left + columns / self.zoom


def make_strip(ink: Ink, line: TextLine) -> Strip:
    """Cut a line out of the ink without its surroundings, level it, and scale it."""
    slope, middle = _fit_baseline(line)
    zoom = DIGIT_HEIGHT_PX / line.height
    first, last = min(mark.left for mark in line.marks), max(mark.right for mark in line.marks)
    left = first - STRIP_MARGIN_PX / zoom
    width = round((last - first) * zoom) + 2 * STRIP_MARGIN_PX
    first_row, first_column, levels = _cut_out(ink, line, ANTIALIAS_SIGMA_PX / zoom if zoom < 1 else 0.0)
    top = middle + slope * left - STRIP_HEIGHT_PX / 2 / zoom
    to_ink = np.array(
        [[1 / zoom, 0, left - first_column], [slope / zoom, 1 / zoom, top - first_row]], np.float32
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    strip = cv2.warpAffine(levels, to_ink, (width, STRIP_HEIGHT_PX), flags=flags)
    return Strip(np.rint(INK * strip.clip(0, 1)).astype(np.uint8), left, zoom)


def _fit_baseline(line: TextLine) -> tuple[float, float]:
    """Return the slope of a line's middle in rows per column, and its row at column 0."""
    tall = [mark for mark in line.marks if mark.height > SLOPE_MARK_FRACTION * line.height]
    marks = tall or list(line.marks)
    columns = np.array([mark.centre for mark in marks])
    rows = np.array([(mark.top + mark.bottom) / 2 for mark in marks])
    sizes = np.array([len(mark) for mark in marks], float)
    slope = 0.0
    if len(marks) > 2 and np.ptp(columns) > MIN_SLOPED_LENGTH * line.height:
        offsets = columns - np.average(columns, weights=sizes)
        slope = float((sizes * offsets * rows).sum() / (sizes * offsets**2).sum())
    slope = float(np.clip(slope, -MAX_LINE_SLOPE, MAX_LINE_SLOPE))
    return slope, float(np.average(rows - slope * columns, weights=sizes))


def _cut_out(ink: Ink, line: TextLine, blur: float) -> tuple[int, int, NDArray[np.float32]]:
    """Return the first row and column of a line's cut-out, and its own ink, 0 to 1."""
    margin = ceil(BLUR_MARGIN_SIGMAS * (SOFT_EDGE_PX + blur))
    top = max(0, min(mark.top for mark in line.marks) - margin)
    left = max(0, min(mark.left for mark in line.marks) - margin)
    bottom = max(mark.bottom for mark in line.marks) + margin
    right = max(mark.right for mark in line.marks) + margin
    contrast = ink.contrast[top:bottom, left:right]
    mask = np.zeros(contrast.shape, np.uint8)
    for mark in line.marks:
        mask[mark.rows - top, mark.columns - left] = 1
    full = max(float(np.percentile(contrast[mask > 0], FULL_INK_PERCENTILE)), 1e-6)
    widened = cv2.dilate(mask, np.ones((3, 3), np.uint8)).astype(np.float32)
    weights = cv2.GaussianBlur(widened, (0, 0), SOFT_EDGE_PX)
    levels = weights * np.clip(contrast / full, 0, 1)
    if blur:
        levels = cv2.GaussianBlur(levels, (0, 0), blur)
    return top, left, np.asarray(levels, np.float32)
