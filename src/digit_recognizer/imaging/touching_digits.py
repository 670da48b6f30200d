"""Split a mark that consists of several touching digits, from top to bottom, where it has the least ink."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.imaging.marks import Mark

SIDESTEP_COST = 0.3  # of a step to the next column, in points of ink
LOOP_COST = 0.4  # of a point inside a closed loop, which is usually a part of one digit
CENTRE_MARGIN_FRACTION = 0.2  # of the distance between two centres: no cut comes nearer to either

Costs = NDArray[np.float32]


def deslanted_columns(mark: Mark, slant: float) -> NDArray[np.float64]:
    """Return the column that each point of a mark, (N,), would have in upright writing.

    `slant` is by how many columns the writing leans to the right per row upwards.
    """
    return mark.columns + slant * (mark.rows - (mark.top + mark.bottom) / 2)


def split_mark(mark: Mark, slant: float, centres: Sequence[float]) -> list[Mark | None]:
    """Split a mark between each two of at least one ascending digit centres, in deslanted columns.

    Each centre gets a part, or None where no ink is left for it.
    """
    if len(centres) == 1:
        return [mark]
    columns = np.rint(deslanted_columns(mark, slant)).astype(np.intp)
    first = int(columns.min())
    columns -= first
    rows = mark.rows - mark.top
    ink = np.zeros((mark.height, int(columns.max()) + 1), np.float32)
    ink[rows, columns] = 1
    cuts = _find_cuts(ink + LOOP_COST * _find_loops(ink), [centre - first for centre in centres])
    numbers = (columns >= cuts[:, rows]).sum(axis=0)
    parts = [numbers == number for number in range(len(centres))]
    return [Mark(mark.rows[part], mark.columns[part]) if part.any() else None for part in parts]


def _find_loops(ink: Costs) -> NDArray[np.bool_]:
    """Return the points that are enclosed by ink."""
    background = np.pad(ink == 0, 1, constant_values=True).astype(np.uint8)
    _, numbers = cv2.connectedComponents(background, connectivity=4)
    loops: NDArray[np.bool_] = (background.astype(bool) & (numbers != numbers[0, 0]))[1:-1, 1:-1]
    return loops


def _find_cuts(costs: Costs, centres: Sequence[float]) -> NDArray[np.intp]:
    """Return the column of each cut in each row, (cuts, rows), from left to right.

    The cheapest paths from the top and from the bottom meet in the middle row, so that the place of a cut is
    chosen by the whole path.
    """
    middle = (len(costs) - 1) // 2
    above, steps_above = _cheapest_paths(costs[: middle + 1])
    below, steps_below = _cheapest_paths(costs[:middle:-1])
    starts = _choose_columns(above + below, centres)
    upper = _follow(steps_above, starts)[::-1]
    lower = _follow([*steps_below, np.zeros(costs.shape[1], np.intp)], starts)[1:]
    return np.maximum.accumulate(np.stack([*upper, *lower], axis=1), axis=0)


def _cheapest_paths(costs: Costs) -> tuple[Costs, list[NDArray[np.intp]]]:
    """Return the cost of the cheapest path to each column of the last row, and the best step in each row."""
    total = costs[0]
    steps = []
    for row in costs[1:]:
        ways = np.stack(
            [np.r_[np.inf, total[:-1]] + SIDESTEP_COST, total, np.r_[total[1:], np.inf] + SIDESTEP_COST]
        )
        best = np.array([1, 0, 2])[ways[[1, 0, 2]].argmin(axis=0)]  # prefer straight down on ties
        total = np.take_along_axis(ways, best[None], axis=0)[0] + row
        steps.append(best - 1)
    return total.astype(np.float32), steps


def _follow(steps: list[NDArray[np.intp]], ends: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Return the columns of the paths that end in some columns, row by row, from the last row back."""
    rows = [ends]
    for row in reversed(steps):
        rows.append(rows[-1] + row[rows[-1]])
    return rows


def _choose_columns(costs: Costs, centres: Sequence[float]) -> NDArray[np.intp]:
    """Return where the cheapest cut between each two centres passes the middle row."""
    columns = []
    for left, right in pairwise(centres):
        margin = CENTRE_MARGIN_FRACTION * (right - left)
        start = min(max(0, round(left + margin)), len(costs) - 1)
        stop = min(max(start + 1, round(right - margin) + 1), len(costs))
        columns.append(start + int(costs[start:stop].argmin()))
    return np.array(columns, np.intp)
