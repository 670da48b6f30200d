"""A sheet to write numbers, rules and printed words on, which knows where each number stands.

Independent of the composed pages that models learn from (`digit_recognizer.synthetic`): other code, other
proportions, and digits that were held out of training.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from _non_digits import font
from _synthetic_pages import DIGIT_HEIGHT_PX, enlarged
from digit_recognizer import Digits
from digit_recognizer.digits import CLASSES, INK

Page = NDArray[np.uint8]
Corners = NDArray[np.float64]  # (4, 2): columns and rows of the corners, clockwise from the upper left

SIZE_SPREAD = 0.1  # by which the digits of a number differ in size
# fractions of a digit's height
GAP_RANGE = (0.06, 0.3)  # between neighbours
SEPARATOR_GAP_RANGE = (0.05, 0.18)  # before and after a separator
MAX_LIFT = 0.06  # of a digit above or below its line
PEN_RANGE = (0.08, 0.13)  # width of the pen that draws separators, like MNIST's strokes
SEPARATORS = ".,-/:+"


@dataclass(frozen=True, slots=True, eq=False)
class WrittenNumber:
    """A number on a sheet, the row of writing that it belongs to, and its corners."""

    text: str
    row: int
    corners: Corners


class Hand:
    """Writes numbers with images of digits; each number takes other images."""

    def __init__(self, digits: Digits) -> None:
        assert digits.labels is not None
        self._images = [digits.images[digits.labels == digit] for digit in range(CLASSES)]

    def ink_of(self, text: str, height_px: float, rng: np.random.Generator) -> tuple[Page, int]:
        """Return the ink of a number and its baseline, in rows from the top."""
        pen = height_px * rng.uniform(*PEN_RANGE)
        parts = [self._part(character, height_px, pen, rng) for character in text]
        ascent = max(baseline for _, baseline in parts)
        descent = max(ink.shape[0] - baseline for ink, baseline in parts)
        gaps = [0, *(_gap(pair, height_px, rng) for pair in pairwise(text))]
        width = sum(ink.shape[1] for ink, _ in parts) + sum(gaps)
        line = np.zeros((ascent + descent, width), np.uint8)
        left = 0
        for (ink, baseline), gap in zip(parts, gaps, strict=True):
            left += gap
            place = line[ascent - baseline :, left:][: ink.shape[0], : ink.shape[1]]
            np.maximum(place, ink, out=place)
            left += ink.shape[1]
        return line, ascent

    def _part(
        self, character: str, height_px: float, pen: float, rng: np.random.Generator
    ) -> tuple[Page, int]:
        if character in SEPARATORS:
            return _separator(character, height_px, pen, rng)
        images = self._images[int(character)]
        zoom = height_px / DIGIT_HEIGHT_PX * rng.uniform(1 - SIZE_SPREAD, 1 + SIZE_SPREAD)
        ink = enlarged(images[rng.integers(len(images))], zoom)
        return ink, ink.shape[0] + round(height_px * rng.uniform(-MAX_LIFT, MAX_LIFT))


class Sheet:
    """Ink on a sheet, 0 to 255, and the numbers on it."""

    def __init__(self, height: int, width: int, hand: Hand, rng: np.random.Generator) -> None:
        self.ink: Page = np.zeros((height, width), np.uint8)
        self.numbers: list[WrittenNumber] = []
        self._hand, self._rng = hand, rng

    def write(self, text: str, left: float, baseline: float, height_px: float, row: int) -> float:
        """Write a number and return the column after it; the sheet grows if the number does not fit."""
        ink, ascent = self._hand.ink_of(text, height_px, self._rng)
        top, first = max(0, round(baseline) - ascent), max(0, round(left))
        bottom, after = top + ink.shape[0], first + ink.shape[1]
        missing = [max(0, end - side) for end, side in zip((bottom, after), self.ink.shape, strict=True)]
        self.ink = np.pad(self.ink, [(0, missing[0]), (0, missing[1])])
        place = self.ink[top:bottom, first:after]
        np.maximum(place, ink, out=place)
        corners = np.array([[first, top], [after, top], [after, bottom], [first, bottom]], np.float64)
        self.numbers.append(WrittenNumber(text, row, corners))
        return after

    def rule(
        self, start: tuple[float, float], end: tuple[float, float], thickness: int, level: int = INK
    ) -> None:
        """Draw a straight line between two points, each column and row."""
        ends = [tuple(round(place) for place in point) for point in (start, end)]
        line = np.zeros_like(self.ink)
        cv2.line(line, ends[0], ends[1], level, thickness)
        np.maximum(self.ink, line, out=self.ink)

    def box(self, left: float, top: float, right: float, bottom: float, thickness: int, level: int) -> None:
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
            self.rule(start, end, thickness, level)

    def print(self, text: str, left: float, baseline: float, size_px: int, name: str, level: int) -> None:
        """Print a text with a font of matplotlib."""
        layer = Image.new("L", (self.ink.shape[1], self.ink.shape[0]))
        ImageDraw.Draw(layer).text((left, baseline), text, level, font=font(name, size_px), anchor="ls")
        np.maximum(self.ink, np.asarray(layer), out=self.ink)


def _gap(pair: tuple[str, str], height_px: float, rng: np.random.Generator) -> int:
    separated = any(character in SEPARATORS for character in pair)
    return max(1, round(height_px * rng.uniform(*(SEPARATOR_GAP_RANGE if separated else GAP_RANGE))))


def _separator(character: str, height_px: float, pen: float, rng: np.random.Generator) -> tuple[Page, int]:
    """Return the ink of a separator, drawn with a pen of `pen` pixels, and its baseline."""
    # points in units of the digit's height: column, and row above the baseline
    strokes: list[list[tuple[float, float]]] = {
        ".": [[(0.0, 0.03), (0.01, 0.03)]],
        ",": [[(0.08, 0.06), (0.0, -rng.uniform(0.12, 0.25))]],
        "-": [[(0.0, 0.45), (rng.uniform(0.3, 0.5), 0.45 + rng.uniform(-0.05, 0.05))]],
        "/": [[(0.0, -0.1), (rng.uniform(0.3, 0.5), 1.05)]],
        ":": [[(0.0, 0.15), (0.01, 0.15)], [(0.02, 0.6), (0.03, 0.6)]],
        "+": [[(0.0, 0.45), (0.44, 0.45)], [(0.22, 0.22), (0.22, 0.68)]],
    }[character]
    points = np.array([point for stroke in strokes for point in stroke]) * (height_px, -height_px)
    thickness = max(1, round(pen * (1.4 if character in ".:" else 1.0)))
    low, high = np.floor(points.min(axis=0) - thickness), np.ceil(points.max(axis=0) + thickness)
    width, height = (high - low).astype(int)
    ink = np.zeros((height, width), np.uint8)
    moved = np.rint(8 * (points - low)).astype(np.int32).reshape(len(strokes), -1, 2)
    cv2.polylines(ink, list(moved), False, INK, thickness, cv2.LINE_AA, 3)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    kept = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return kept, round(-float(low[1])) - int(rows[0])
