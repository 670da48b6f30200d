"""Ink ► marks: strokes that hang together, each a digit, a part of one, several that touch, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.imaging.ink import Ink
from digit_recognizer.imaging.ruled_lines import without_rules

Mask = NDArray[np.bool_]

CLEAR, LIKELY = 4.0, 2.2  # times the noise: ink without doubt, and what is ink if it hangs together with that
CLEAR_SHARE, LIKELY_SHARE = 0.55, 0.3  # likewise, of the strokes' own contrast
CLEAR_LEAST, LIKELY_LEAST = 0.03, 0.02  # likewise, of the paper's light
DARKER_HALF = 75  # percentile of the contrast of all ink that stands for the strokes' own
DARK = 98.5  # percentile of the contrast of a page that stands for its strokes
DARKER = 2.0  # times the noise; so dark is nothing but a stroke
PATTERN = 6.5  # as much darker are strokes, at least, than the noise counts
FEW = 10  # points; fewer are no writing


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """Points of ink that belong together.

    Attributes
    ----------
    rows, columns
        intp, shape (N,) each: the points.
    top, bottom, left, right
        Where they lie; `bottom` and `right` are the first row and column behind them.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    top: int = field(init=False)
    bottom: int = field(init=False)
    left: int = field(init=False)
    right: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "top", int(self.rows.min()))
        object.__setattr__(self, "bottom", int(self.rows.max()) + 1)
        object.__setattr__(self, "left", int(self.columns.min()))
        object.__setattr__(self, "right", int(self.columns.max()) + 1)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def height(self) -> int:
        """Rows from top to bottom."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns from left to right."""
        return self.right - self.left

    @property
    def longest(self) -> int:
        """The longer side."""
        return max(self.height, self.width)

    def mask(self, margin: int = 0) -> Mask:
        """Return where the points are within their box: bool, shape (height + 2 · margin, width + …)."""
        mask = np.zeros((self.height + 2 * margin, self.width + 2 * margin), bool)
        mask[self.rows - self.top + margin, self.columns - self.left + margin] = True
        return mask


def find_marks(ink: Ink) -> list[Mark]:
    """Find what is written on a page, without the lines that it is ruled with, in no particular order."""
    return connected(without_rules(_strokes(ink)))


def join(marks: Sequence[Mark]) -> Mark:
    """Return several marks as one."""
    if len(marks) == 1:
        return marks[0]
    return Mark(
        np.concatenate([mark.rows for mark in marks]), np.concatenate([mark.columns for mark in marks])
    )


def connected(mask: Mask) -> list[Mark]:
    """Return the connected parts of a mask, (H, W); points hang together at corners, too."""
    count, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    points = np.flatnonzero(mask)
    owners = numbers.ravel()[points]
    order = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[order], np.arange(1, count + 1))
    parts = [points[order[first:behind]] for first, behind in pairwise(bounds)]
    return [Mark(*np.divmod(part, mask.shape[1])) for part in parts]


def stroke_width(mask: Mask) -> float:
    """Return how broad the strokes of a mask, (H, W), are in pixels: the median along their middle."""
    inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)
    ridge = (inside >= cv2.dilate(inside, np.ones((3, 3), np.uint8))) & (inside > 0.5)
    return 2 * float(np.median(inside[ridge])) - 0.5 if ridge.any() else 0.0


def _strokes(ink: Ink) -> Mask:
    """Return where there is ink: what is clearly darker than the paper, and what hangs together with it."""
    noise = _noise(ink)
    certain = ink.smooth[ink.smooth > max(CLEAR * noise, CLEAR_LEAST)]
    if certain.size < FEW:
        return np.zeros(ink.smooth.shape, bool)
    own = float(np.percentile(certain, DARKER_HALF))
    clear = max(CLEAR * noise, CLEAR_SHARE * own, CLEAR_LEAST)
    likely = ink.smooth > max(LIKELY * noise, LIKELY_SHARE * own, LIKELY_LEAST)
    count, numbers = cv2.connectedComponents(likely.astype(np.uint8), connectivity=8)
    sure = np.zeros(count, bool)
    sure[numbers[likely & (ink.smooth > clear)]] = True
    strokes: Mask = sure[numbers] & likely
    return strokes


def _noise(ink: Ink) -> float:
    """Return the noise of the paper, or less where it is a pattern and the strokes are darker still."""
    dark = float(np.percentile(ink.smooth, DARK))
    return min(ink.noise, dark / PATTERN) if dark > DARKER * ink.noise else ink.noise
