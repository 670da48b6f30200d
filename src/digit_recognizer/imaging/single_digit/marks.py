"""Segment ink into marks: connected strokes, each a digit, a part of one, several that touch, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.imaging.single_digit.ink import Ink
from digit_recognizer.imaging.single_digit.ruled_lines import remove_ruled_lines

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class InkThresholds:
    """Limits of the contrast of ink; the largest of the three counts."""

    noise_sigmas: float  # times the noise of the paper
    stroke_fraction: float  # of the typical contrast of the page's strokes
    paper_fraction: float  # of the paper's brightness

    def contrast(self, noise: float, strokes: float = 0.0) -> float:
        """Return the contrast from which a point is ink."""
        return max(self.noise_sigmas * noise, self.stroke_fraction * strokes, self.paper_fraction)


# Hysteresis thresholding, as in Canny's edge detector: a mark needs one point above the high threshold and
# consists of all connected points above the low one.
HIGH_THRESHOLDS = InkThresholds(noise_sigmas=4.0, stroke_fraction=0.55, paper_fraction=0.03)
LOW_THRESHOLDS = InkThresholds(noise_sigmas=2.2, stroke_fraction=0.3, paper_fraction=0.02)
STROKE_CONTRAST_PERCENTILE = 75  # percentile of the contrast of certain ink that is typical of strokes
MIN_INK_PX = 10  # a page with fewer points of certain ink is blank
DARKEST_PERCENTILE = 98.5  # percentile of the contrast of a whole page that belongs to its strokes
MIN_STROKE_SIGMAS = 2.0  # times the noise; if the darkest points exceed this, they are strokes
STROKE_TO_PATTERN_RATIO = 6.5  # then the noise counts for at most this part of their contrast


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A connected component of ink, and its bounding box; `bottom` and `right` are exclusive."""

    rows: NDArray[np.intp]  # (N,)
    columns: NDArray[np.intp]  # (N,)
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
    def longer_side(self) -> int:
        """The longer side of the bounding box."""
        return max(self.height, self.width)


def find_marks(ink: Ink) -> list[Mark]:
    """Find the marks of a page, without the lines of ruled paper, in no particular order."""
    return connected_components(remove_ruled_lines(_find_strokes(ink)))


def join_marks(marks: Sequence[Mark]) -> Mark:
    """Return several marks as one."""
    if len(marks) == 1:
        return marks[0]
    return Mark(
        np.concatenate([mark.rows for mark in marks]), np.concatenate([mark.columns for mark in marks])
    )


def connected_components(mask: Mask) -> list[Mark]:
    """Return the connected components of a mask, (H, W); pixels that share a corner are connected."""
    count, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    points = np.flatnonzero(mask)
    owners = numbers.ravel()[points]
    order = np.argsort(owners, kind="stable")
    bounds = np.searchsorted(owners[order], np.arange(1, count + 1))
    parts = [points[order[start:stop]] for start, stop in pairwise(bounds)]
    return [Mark(*np.divmod(part, mask.shape[1])) for part in parts]


def stroke_width(mask: Mask) -> float:
    """Return the stroke width of a mask, (H, W), in pixels: the median along the centre lines."""
    distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)
    ridge = (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8))) & (distance > 0.5)
    return 2 * float(np.median(distance[ridge])) - 0.5 if ridge.any() else 0.0


def _find_strokes(ink: Ink) -> Mask:
    """Return where there is ink, by hysteresis thresholding."""
    noise = _noise(ink)
    certain = ink.smooth[ink.smooth > HIGH_THRESHOLDS.contrast(noise)]
    if certain.size < MIN_INK_PX:
        return np.zeros(ink.smooth.shape, bool)
    typical = float(np.percentile(certain, STROKE_CONTRAST_PERCENTILE))
    above_low = ink.smooth > LOW_THRESHOLDS.contrast(noise, typical)
    above_high = ink.smooth > HIGH_THRESHOLDS.contrast(noise, typical)
    count, numbers = cv2.connectedComponents(above_low.astype(np.uint8), connectivity=8)
    kept = np.zeros(count, bool)
    kept[numbers[above_low & above_high]] = True
    strokes: Mask = kept[numbers] & above_low
    return strokes


def _noise(ink: Ink) -> float:
    """Return the noise of the paper, limited where the strokes are darker than it.

    The pattern of a cheque counts as noise, and strokes below four times that noise would be lost.
    """
    darkest = float(np.percentile(ink.smooth, DARKEST_PERCENTILE))
    if darkest > MIN_STROKE_SIGMAS * ink.noise:
        return min(ink.noise, darkest / STROKE_TO_PATTERN_RATIO)
    return ink.noise
