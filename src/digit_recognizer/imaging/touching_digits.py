"""A mark that is several digits ► one part for each, cut from top to bottom where that crosses little ink."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.imaging.marks import Mark

SIDEWAYS = 0.3  # what a column to the side costs a cut, in points of ink
LOOP = 0.4  # likewise, a point inside a closed loop: most are parts of one digit
AWAY = 0.2  # of the way from one centre to the next: a cut keeps that from both

Costs = NDArray[np.float32]


def across(mark: Mark, slant: float) -> NDArray[np.float64]:
    """Return how far to the right each point of a mark is, float64 (N,), as if it were written upright.

    `slant` is how many columns to the right the writing leans for each row upwards.
    """
    return mark.columns + slant * (mark.rows - (mark.top + mark.bottom) / 2)


def cut(mark: Mark, slant: float, centres: Sequence[float]) -> list[Mark | None]:
    """Cut a mark once between each two neighbours of some centres.

    Parameters
    ----------
    mark
        As many digits as there are centres, which touch.
    slant
        Columns to the right for each row upwards, under which the writing leans.
    centres
        Where the middle of each digit is, in the columns of `across`, in rising order; at least one.

    Returns
    -------
    list[Mark | None]
        A part for each; None where nothing is left for it.
    """
    if len(centres) == 1:
        return [mark]
    columns = np.rint(across(mark, slant)).astype(np.intp)
    first = int(columns.min())
    columns -= first
    rows = mark.rows - mark.top
    ink = np.zeros((mark.height, int(columns.max()) + 1), np.float32)
    ink[rows, columns] = 1
    paths = _paths(ink + LOOP * _loops(ink), [centre - first for centre in centres])
    numbers = (columns >= paths[:, rows]).sum(axis=0)
    parts = [numbers == number for number in range(len(centres))]
    return [Mark(mark.rows[part], mark.columns[part]) if part.any() else None for part in parts]


def _loops(ink: Costs) -> NDArray[np.bool_]:
    """Return what is not ink but enclosed by it."""
    around = np.pad(ink == 0, 1, constant_values=True).astype(np.uint8)
    _, numbers = cv2.connectedComponents(around, connectivity=4)
    loops: NDArray[np.bool_] = (around.astype(bool) & (numbers != numbers[0, 0]))[1:-1, 1:-1]
    return loops


def _paths(cost: Costs, centres: Sequence[float]) -> NDArray[np.intp]:
    """Return in which column each cut is on each row, shape (K, rows), from left to right."""
    middle = (len(cost) - 1) // 2
    above, moves_above = _descend(cost[: middle + 1])
    below, moves_below = _descend(cost[:middle:-1])
    places = _places(above + below, centres)
    upper = _follow(moves_above, places)[::-1]
    lower = _follow([*moves_below, np.zeros(cost.shape[1], np.intp)], places)[1:]
    return np.maximum.accumulate(np.stack([*upper, *lower], axis=1), axis=0)


def _descend(ink: Costs) -> tuple[Costs, list[NDArray[np.intp]]]:
    """Return the cost of the cheapest path to each place of the last row, and each row's best steps."""
    cost = ink[0]
    moves = []
    for row in ink[1:]:
        ways = np.stack([np.r_[np.inf, cost[:-1]] + SIDEWAYS, cost, np.r_[cost[1:], np.inf] + SIDEWAYS])
        best = np.array([1, 0, 2])[ways[[1, 0, 2]].argmin(axis=0)]  # straight on where it makes no odds
        cost = np.take_along_axis(ways, best[None], axis=0)[0] + row
        moves.append(best - 1)
    return cost.astype(np.float32), moves


def _follow(moves: list[NDArray[np.intp]], places: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Return the columns of the paths that end in some places, row by row, from the last row back."""
    rows = [places]
    for steps in reversed(moves):
        rows.append(rows[-1] + steps[rows[-1]])
    return rows


def _places(cost: Costs, centres: Sequence[float]) -> NDArray[np.intp]:
    """Return where the cheapest cut between each two centres passes the middle row, from left to right."""
    places = []
    for left, right in pairwise(centres):
        shore = AWAY * (right - left)
        first = min(max(0, round(left + shore)), len(cost) - 1)
        behind = min(max(first + 1, round(right - shore) + 1), len(cost))
        places.append(first + int(cost[first:behind].argmin()))
    return np.array(places, np.intp)
