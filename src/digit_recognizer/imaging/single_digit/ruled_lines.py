"""Remove the lines of ruled and squared paper, which run from edge to edge, but not the digits on them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, radians, tan
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

MAX_SLOPE_DEGREES = 7.0
SLOPE_STEP_DEGREES = 0.5
MIN_INKED_FRACTION = 0.72  # of the length of a ruled line: it may be interrupted
RULED_ROW_FRACTION = 0.7  # of the ink of its fullest row: rows with more belong to the line
MAX_THICKNESS_FRACTION = 0.03  # of the longer side of the page
EDGE_FRACTION = 0.03  # of the width of the page: a ruled line comes as near to both edges
SAMPLED_COLUMNS = 200  # about as many columns of a page are examined
MIN_LENGTH_FRACTION = 0.6  # of the width of the page; lines that its corners cut shorter are ignored
MAX_RUN_THICKNESS = 1.5  # times the line's thickness; a higher run of ink is a stroke that crosses it


@dataclass(frozen=True, slots=True)
class _RuledLine:
    """A nearly horizontal line: row = `middle` + `slope` · (column - width / 2)."""

    slope: float
    middle: float
    thickness: int

    def row_at(self, column: Any, width: int) -> Any:
        """Return the row of the line at a column, or at an array of columns."""
        return self.middle + self.slope * (column - width / 2)


def remove_ruled_lines(mask: Mask) -> Mask:
    """Remove horizontal and vertical ruled lines from a mask, (H, W).

    Strokes stay where they cross a line, and so do lines that do not reach both edges.
    """
    horizontal, vertical = _find_ruled_lines(mask), _find_ruled_lines(mask.T)
    remaining = _erase_all(mask, horizontal) & _erase_all(mask.T, vertical).T
    if not (horizontal and vertical):
        return remaining
    crossings = _near_lines(mask.shape, horizontal) & _near_lines(mask.T.shape, vertical).T
    return _without_crossings(remaining, crossings)


def _find_ruled_lines(mask: Mask) -> list[_RuledLine]:
    """Find nearly horizontal lines, the fullest first, by the fraction of ink along each slope and row."""
    height, width = mask.shape
    if not _may_be_ruled(mask):
        return []
    angles = np.arange(-MAX_SLOPE_DEGREES, MAX_SLOPE_DEGREES + SLOPE_STEP_DEGREES / 2, SLOPE_STEP_DEGREES)
    slopes = np.array([tan(radians(angle)) for angle in angles])
    fractions = _inked_fractions(mask, slopes)  # (slopes, H)
    candidates = fractions.copy()
    found = []
    while (best := int(candidates.argmax())) >= 0 and candidates.flat[best] >= MIN_INKED_FRACTION:
        number, row = divmod(best, height)
        first, last = _extent(fractions[number], row)
        line = _RuledLine(float(slopes[number]), (first + last) / 2, last - first + 1)
        max_thickness = max(4, MAX_THICKNESS_FRACTION * max(mask.shape))
        if line.thickness <= max_thickness and _reaches_both_edges(mask, line):
            found.append(line)
        for other, slope in enumerate(slopes):  # the same line at all other slopes
            apart = abs(slope - line.slope) * width / 2
            candidates[other, max(0, int(first - 2 - apart)) : int(last + 3 + apart)] = 0
    return found


def _may_be_ruled(mask: Mask) -> bool:
    """Return whether there is ink in enough columns, and at both edges."""
    inked = np.asarray(mask.any(axis=0))
    edge = _edge_width(mask)
    return bool(inked.mean() >= MIN_INKED_FRACTION and inked[:edge].any() and inked[-edge:].any())


def _edge_width(mask: Mask) -> int:
    """Return how many columns count as an edge."""
    return max(3, int(EDGE_FRACTION * mask.shape[1]))


def _inked_fractions(mask: Mask, slopes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the inked fraction of the lines of each slope, (slopes, H), by their row in mid-page.

    A wide page is sampled: only every n-th column is examined.
    """
    height, width = mask.shape
    step = -(-width // SAMPLED_COLUMNS)
    rows, columns = np.nonzero(mask[:, ::step])
    offsets = np.arange(0, width, step) - width / 2
    fractions = np.zeros((len(slopes), height), np.float32)
    for number, slope in enumerate(slopes):
        moved = np.rint(rows - slope * offsets[columns]).astype(np.intp)
        counts = np.bincount(moved[(moved >= 0) & (moved < height)], minlength=height)
        inside = _columns_inside(height, slope * offsets)
        is_long = inside > MIN_LENGTH_FRACTION * len(offsets)
        fractions[number] = np.where(is_long, counts / np.maximum(inside, 1), 0)
    return fractions


def _columns_inside(height: int, rise: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return how many columns of each line, by its row in mid-page, lie on the page."""
    start = np.clip(np.ceil(-0.5 - rise), 0, height).astype(np.intp)  # the lines that include a column
    stop = np.clip(np.ceil(height - 0.5 - rise), 0, height).astype(np.intp)
    changes = np.bincount(start, minlength=height + 1) - np.bincount(stop, minlength=height + 1)
    counts = np.asarray(np.cumsum(changes), np.intp)
    return counts[:height]


def _extent(fractions: NDArray[np.float32], row: int) -> tuple[int, int]:
    """Return the first and the last of the rows around `row` that are nearly as full."""
    empty = np.flatnonzero(fractions <= RULED_ROW_FRACTION * fractions[row])
    above, below = empty[empty < row], empty[empty > row]
    return int(above[-1]) + 1 if above.size else 0, int(below[0]) - 1 if below.size else len(fractions) - 1


def _reaches_both_edges(mask: Mask, line: _RuledLine) -> bool:
    width = mask.shape[1]
    edge = _edge_width(mask)
    half = line.thickness / 2
    for columns in (range(edge), range(width - edge, width)):
        rows = [line.row_at(column, width) for column in columns]
        inked = [
            mask[max(0, int(row - half - 1)) : max(0, int(row + half + 2)), column].any()
            for row, column in zip(rows, columns, strict=True)
        ]
        if np.mean(inked) <= 0.5:
            return False
    return True


def _erase_all(mask: Mask, lines: list[_RuledLine]) -> Mask:
    """Remove lines, in each column where the run of ink on them is no higher than they are thick."""
    remaining = mask.copy()
    for line in lines:
        _erase(mask, remaining, line)
    return remaining


def _erase(mask: Mask, remaining: Mask, line: _RuledLine) -> None:
    """Remove one line from `remaining`.

    In each column, the rows that the line may cover are examined, and beyond them as many as are needed to
    see whether the ink continues.
    """
    height, width = mask.shape
    max_run = int(MAX_RUN_THICKNESS * line.thickness + 3)
    reach = ceil(line.thickness / 2 + 2)
    columns = np.arange(width)
    middles = np.rint(line.row_at(columns, width)).astype(np.intp)
    offsets = np.arange(-reach - max_run, reach + max_run + 1)[:, None]
    rows = middles + offsets  # (rows around the line, W)
    inked = mask[rows.clip(0, height - 1), columns] & (rows >= 0) & (rows < height)
    runs = _runs_through(inked, slice(max_run, -max_run))
    runs &= runs.sum(axis=0) <= max_run
    found, where = np.nonzero(runs)
    remaining[rows[found, where], columns[where]] = False


def _runs_through(inked: Mask, near: slice) -> Mask:
    """Return the ink of each column from the first to the last inked row in `near`, and what continues it."""
    rows = np.arange(len(inked))[:, None]
    band = np.zeros_like(inked)
    band[near] = inked[near]
    first, last = band.argmax(axis=0), len(inked) - 1 - band[::-1].argmax(axis=0)
    above = np.where(~inked & (rows < first), rows, -1).max(axis=0)
    below = np.where(~inked & (rows > last), rows, len(inked)).min(axis=0)
    return np.asarray(inked & (rows > above) & (rows < below) & band.any(axis=0))


def _near_lines(shape: tuple[int, int], lines: list[_RuledLine]) -> Mask:
    """Return the points, (H, W), that lie on a line or next to it."""
    height, width = shape
    near = np.zeros(shape, bool)
    columns = np.arange(width)
    for line in lines:
        reach = ceil(MAX_RUN_THICKNESS * line.thickness / 2 + 2)
        middles = np.rint(line.row_at(columns, width)).astype(np.intp)
        rows = middles + np.arange(-reach, reach + 1)[:, None]
        inside = (rows >= 0) & (rows < height)
        near[rows[inside], np.broadcast_to(columns, rows.shape)[inside]] = True
    return near


def _without_crossings(mask: Mask, crossings: Mask) -> Mask:
    """Remove the dots that erased lines leave where they crossed; each would be taken for a line of text."""
    count, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    kept = np.zeros(count, bool)
    kept[numbers[mask & ~crossings]] = True
    return np.asarray(mask & kept[numbers])
