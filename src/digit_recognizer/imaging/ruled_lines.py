"""Ruled and squared paper: straight lines from edge to edge, taken away without the digits on them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, radians, tan
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

STEEPEST = 7.0  # degrees by which a rule may slope
STEP = 0.5  # degrees
LEAST_INK = 0.72  # share of its length on which a rule shows
NEARLY = 0.7  # of the ink on its fullest row: the rows that belong to a rule
THICKEST = 0.03  # of the longer side
ENDS = 0.03  # of its length: a rule comes as near to both edges
COLUMNS = 200  # of a page that are looked at, about
LEAST_INSIDE = 0.6  # of the page's width; shorter lines, cut off by its corners, do not count
CROSSING = 1.5  # times a rule's thickness; where the ink is higher a stroke crosses it


@dataclass(frozen=True, slots=True)
class _Rule:
    """A nearly level line: row = `middle` + `slope` · (column - width / 2)."""

    slope: float
    middle: float
    thickness: int

    def row_at(self, column: Any, width: int) -> Any:
        """Return where the rule is at a column, or at several."""
        return self.middle + self.slope * (column - width / 2)


def without_rules(mask: Mask) -> Mask:
    """Take away the lines that a page is ruled with, level ones and upright ones.

    Strokes stay where they cross a line, and lines that do not reach both edges stay.

    Parameters
    ----------
    mask
        bool, shape (H, W): where there is ink.
    """
    level, upright = _find_rules(mask), _find_rules(mask.T)
    left = _erased(mask, level) & _erased(mask.T, upright).T
    if not (level and upright):
        return left
    return _without_crossings(left, _on_rules(mask.shape, level) & _on_rules(mask.T.shape, upright).T)


def _find_rules(mask: Mask) -> list[_Rule]:
    """Find level lines: at each slope the share of ink in every row, and of all rows the fullest first."""
    height, width = mask.shape
    if not _may_have_rules(mask):
        return []
    slopes = np.array([tan(radians(angle)) for angle in np.arange(-STEEPEST, STEEPEST + STEP / 2, STEP)])
    shares = _shares_of_rows(mask, slopes)
    left = shares.copy()
    found = []
    while (best := int(left.argmax())) >= 0 and left.flat[best] >= LEAST_INK:
        number, row = divmod(best, height)
        first, last = _extent(shares[number], row)
        rule = _Rule(float(slopes[number]), (first + last) / 2, last - first + 1)
        if rule.thickness <= max(4, THICKEST * max(mask.shape)) and _reaches_both_edges(mask, rule):
            found.append(rule)
        for other, slope in enumerate(slopes):
            apart = abs(slope - rule.slope) * width / 2
            left[other, max(0, int(first - 2 - apart)) : int(last + 3 + apart)] = 0
    return found


def _may_have_rules(mask: Mask) -> bool:
    """Return whether there is ink in enough columns, and at both edges."""
    inked = np.asarray(mask.any(axis=0))
    end = _end(mask)
    return bool(inked.mean() >= LEAST_INK and inked[:end].any() and inked[-end:].any())


def _end(mask: Mask) -> int:
    """Return how many columns count as an edge."""
    return max(3, int(ENDS * mask.shape[1]))


def _shares_of_rows(mask: Mask, slopes: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the share of ink along lines of each slope, (slopes, H), by their row in the middle of the page.

    Of a broad page not all columns are looked at.
    """
    height, width = mask.shape
    step = -(-width // COLUMNS)
    rows, columns = np.nonzero(mask[:, ::step])
    away = np.arange(0, width, step) - width / 2
    shares = np.zeros((len(slopes), height), np.float32)
    for number, slope in enumerate(slopes):
        moved = np.rint(rows - slope * away[columns]).astype(np.intp)
        counts = np.bincount(moved[(moved >= 0) & (moved < height)], minlength=height)
        inside = _inside(height, slope * away)
        shares[number] = np.where(inside > LEAST_INSIDE * len(away), counts / np.maximum(inside, 1), 0)
    return shares


def _inside(height: int, rise: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return how many columns of each line, by its row in the middle, lie on the page."""
    first = np.clip(np.ceil(-0.5 - rise), 0, height).astype(np.intp)  # the lines that a column is on
    behind = np.clip(np.ceil(height - 0.5 - rise), 0, height).astype(np.intp)
    changes = np.bincount(first, minlength=height + 1) - np.bincount(behind, minlength=height + 1)
    counts = np.asarray(np.cumsum(changes), np.intp)
    return counts[:height]


def _extent(shares: NDArray[np.float32], row: int) -> tuple[int, int]:
    """Return the first and last of the rows around `row` that are nearly as full."""
    low = np.flatnonzero(shares <= NEARLY * shares[row])
    before, behind = low[low < row], low[low > row]
    return int(before[-1]) + 1 if before.size else 0, int(behind[0]) - 1 if behind.size else len(shares) - 1


def _reaches_both_edges(mask: Mask, rule: _Rule) -> bool:
    width = mask.shape[1]
    length = _end(mask)
    half = rule.thickness / 2
    for columns in (range(length), range(width - length, width)):
        rows = [rule.row_at(column, width) for column in columns]
        shown = [
            mask[max(0, int(row - half - 1)) : max(0, int(row + half + 2)), column].any()
            for row, column in zip(rows, columns, strict=True)
        ]
        if np.mean(shown) <= 0.5:
            return False
    return True


def _erased(mask: Mask, rules: list[_Rule]) -> Mask:
    """Take rules away, in each column where the ink on them is no higher than they are thick."""
    left = mask.copy()
    for rule in rules:
        _erase(mask, left, rule)
    return left


def _erase(mask: Mask, left: Mask, rule: _Rule) -> None:
    """Take one rule away from `left`.

    Of each column, the rows around the rule are looked at: those as near as its ink may lie, and beyond them
    as many as it takes to see whether that ink goes on.
    """
    height, width = mask.shape
    longest = int(CROSSING * rule.thickness + 3)
    near = ceil(rule.thickness / 2 + 2)
    columns = np.arange(width)
    middles = np.rint(rule.row_at(columns, width)).astype(np.intp)
    away = np.arange(-near - longest, near + longest + 1)[:, None]
    rows = middles + away  # (rows around the rule, W)
    inked = mask[rows.clip(0, height - 1), columns] & (rows >= 0) & (rows < height)
    runs = _runs_through(inked, slice(longest, -longest))
    runs &= runs.sum(axis=0) <= longest
    found, where = np.nonzero(runs)
    left[rows[found, where], columns[where]] = False


def _runs_through(inked: Mask, near: slice) -> Mask:
    """Return each column's ink from the first to the last in the rows `near`, and what goes on from it."""
    places = np.arange(len(inked))[:, None]
    band = np.zeros_like(inked)
    band[near] = inked[near]
    first, last = band.argmax(axis=0), len(inked) - 1 - band[::-1].argmax(axis=0)
    above = np.where(~inked & (places < first), places, -1).max(axis=0)
    below = np.where(~inked & (places > last), places, len(inked)).min(axis=0)
    return np.asarray(inked & (places > above) & (places < below) & band.any(axis=0))


def _on_rules(shape: tuple[int, int], rules: list[_Rule]) -> Mask:
    """Return the rows of each column, (H, W), that lie on a rule or next to it."""
    height, width = shape
    on = np.zeros(shape, bool)
    columns = np.arange(width)
    for rule in rules:
        reach = ceil(CROSSING * rule.thickness / 2 + 2)
        middles = np.rint(rule.row_at(columns, width)).astype(np.intp)
        rows = middles + np.arange(-reach, reach + 1)[:, None]
        inside = (rows >= 0) & (rows < height)
        on[rows[inside], np.broadcast_to(columns, rows.shape)[inside]] = True
    return on


def _without_crossings(mask: Mask, crossings: Mask) -> Mask:
    """Take away what lies where rules cross and nowhere else."""
    count, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    beyond = np.zeros(count, bool)
    beyond[numbers[mask & ~crossings]] = True
    return np.asarray(mask & beyond[numbers])
