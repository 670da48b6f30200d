"""Which parts of a page are neither blank nor read yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

BLOCKS = 128  # along the longer side of a page, at most
MIN_BLOCK_PX = 4  # the side of a block, at least: in a single pixel nothing differs
BLANK_RANGE = 8  # of 255; where grey values differ less in a block and those around it, it is blank
NOISE_RANGES = 8  # of normal noise, in thousands of pixels, over the median difference of neighbours
NOISE_ROWS = 4  # every fourth row shows how much neighbouring pixels differ
MARGIN_FRACTION = 0.25  # of the height of a character that is read: its strokes may leave its box


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle of pixels."""

    left: int
    top: int
    right: int
    bottom: int

    def contains(self, columns: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which places lie within it."""
        is_inside = (
            (self.left <= columns) & (columns < self.right) & (self.top <= rows) & (rows < self.bottom)
        )
        return np.asarray(is_inside)

    def scaled(self, across: float, down: float) -> Area:
        """Return the area in a page of another size."""
        return Area(
            floor(self.left * across),
            floor(self.top * down),
            ceil(self.right * across),
            ceil(self.bottom * down),
        )

    def grown(self, margin: int, height: int, width: int) -> Area:
        """Return the area with a margin, inside a page."""
        return Area(
            max(self.left - margin, 0),
            max(self.top - margin, 0),
            min(self.right + margin, width),
            min(self.bottom + margin, height),
        )


class UnreadParts:
    """The blocks of a page, (H, W), that are neither blank nor read; noise may count as blank."""

    def __init__(self, page: NDArray[np.uint8], *, skips_noise: bool = False) -> None:
        self._shape = page.shape
        self._side = max(MIN_BLOCK_PX, ceil(max(page.shape) / BLOCKS))
        starts = [np.arange(0, side, self._side) for side in page.shape]
        brightest, darkest = (
            extreme.reduceat(extreme.reduceat(page, starts[0], axis=0), starts[1], axis=1)
            for extreme in (np.maximum, np.minimum)
        )
        most, least = (
            np.asarray(Image.fromarray(blocks).filter(around))  # an edge may lie between two blocks
            for blocks, around in ((brightest, ImageFilter.MaxFilter(3)), (darkest, ImageFilter.MinFilter(3)))
        )
        self._unread = most - least >= BLANK_RANGE + (NOISE_RANGES * _noise(page) if skips_noise else 0)

    def area(self) -> Area | None:
        """Return the smallest area of the page that holds all of them, None if there are none."""
        rows, columns = (np.flatnonzero(self._unread.any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            return None
        side = self._side
        return Area(
            int(columns[0]) * side,
            int(rows[0]) * side,
            min((int(columns[-1]) + 1) * side, self._shape[1]),
            min((int(rows[-1]) + 1) * side, self._shape[0]),
        )

    def remove(self, boxes: Iterable[NDArray[np.float32]]) -> None:
        """Take the boxes, (left, top, right, bottom), of characters that are read."""
        for left, top, right, bottom in boxes:
            margin = MARGIN_FRACTION * (bottom - top)
            rows, columns = (
                slice(max(0, floor((start - margin) / self._side)), ceil((stop + margin) / self._side))
                for start, stop in ((top, bottom), (left, right))
            )
            self._unread[rows, columns] = False


def _noise(page: NDArray[np.uint8]) -> int:
    """Return the median difference of neighbouring pixels, which strokes hardly change."""
    rows = page[::NOISE_ROWS].astype(np.int16)
    counts = np.bincount(np.abs(np.diff(rows, axis=1)).ravel(), minlength=1)
    return int(np.searchsorted(counts.cumsum(), counts.sum() / 2))


def is_blank(page: NDArray[np.uint8]) -> bool:
    """Return whether a page, (H, W), shows nothing."""
    return UnreadParts(page).area() is None
