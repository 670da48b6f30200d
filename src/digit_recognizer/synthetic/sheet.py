"""A sheet that is written on: layers of ink, and where its characters are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.synthetic.glyphs import CHARACTERS, DIGIT_CHARACTERS
from digit_recognizer.synthetic.ink import INK_LEVEL, Coverage, Patch

IGNORED = -1  # class of a character that cannot be read
MIN_VISIBLE = 0.66  # fraction of a character's box inside the picture, below which it is ignored
MIN_TRACE = 0.06  # below which nothing is left of it
MIN_READABLE_PX = 4.5  # height of a digit


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of a sheet, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Rows."""
        return self.bottom - self.top

    def inset(self, columns: float, rows: float) -> Box:
        """Return the box without a border."""
        return Box(self.left + columns, self.top + rows, self.right - columns, self.bottom - rows)


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A character on a sheet: its class, the hull of its ink (K, 2), the height of its number's digits."""

    class_: int
    hull: NDArray[np.float32]
    em: float
    is_first: bool
    limits: Box | None = None  # of the clipping that it lies on


@dataclass(slots=True, eq=False)
class Sheet:
    """Layers of ink, 0 to 255, and the characters on them."""

    writing: Coverage
    printing: Coverage
    desk: Coverage  # what is not paper
    marks: list[Mark] = field(default_factory=list)
    clippings: list[Box] = field(default_factory=list)  # papers of their own, laid on the page
    is_photo: bool = False  # things instead of paper
    is_patterned: bool = False  # printed with fine lines, like a cheque

    def paste(
        self, patch: Patch, column: float, row: float, *, is_printed: bool = False, limits: Box | None = None
    ) -> bool:
        """Put ink on the sheet, or only within limits; return whether any of it lies there."""
        layer = self.printing if is_printed else self.writing
        left, top = round(column) + patch.left, round(row) + patch.top
        height, width = patch.ink.shape
        inside = limits or Box(0, 0, layer.shape[1], layer.shape[0])
        first_row, first_column = max(0, int(inside.top) - top), max(0, int(inside.left) - left)
        last_row, last_column = min(height, int(inside.bottom) - top), min(width, int(inside.right) - left)
        if first_row >= last_row or first_column >= last_column:
            return False
        place = layer[top + first_row : top + last_row, left + first_column : left + last_column]
        np.maximum(place, patch.ink[first_row:last_row, first_column:last_column], out=place)
        return True

    def is_free(self, box: Box) -> bool:
        """Return whether there is no ink in a box."""
        rows = slice(max(0, int(box.top)), max(0, int(box.bottom) + 1))
        columns = slice(max(0, int(box.left)), max(0, int(box.right) + 1))
        return not (self.writing[rows, columns].any() or self.printing[rows, columns].any())

    @property
    def box(self) -> Box:
        """The whole sheet."""
        return Box(0, 0, self.writing.shape[1], self.writing.shape[0])

    def mark_boxes(self) -> list[Box]:
        """Return the boxes of the characters."""
        return [Box(*mark.hull.min(axis=0), *mark.hull.max(axis=0)) for mark in self.marks]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A written number or several: characters with their ink, from the start of the base line."""

    patches: Sequence[Patch]
    names: str
    numbers: Sequence[int]  # which number each character belongs to
    extras: Sequence[Patch] = ()  # ink that belongs to no character
    is_printed: bool = False

    @property
    def left(self) -> int:
        """The first column of ink."""
        return min(patch.left for patch in self.patches)

    @property
    def right(self) -> int:
        """The column after the last ink."""
        return max(patch.right for patch in self.patches)

    @property
    def top(self) -> int:
        """The first row of ink."""
        return min(patch.top for patch in self.patches)

    @property
    def bottom(self) -> int:
        """The row after the last ink."""
        return max(patch.bottom for patch in self.patches)


def put_run(sheet: Sheet, run: Run, column: float, row: float, limits: Box | None = None) -> None:
    """Write a run on a sheet with its base line starting at a place."""
    for patch in run.extras:
        sheet.paste(patch, column, row, is_printed=run.is_printed, limits=limits)
    ems = _heights(run)
    previous = -1
    for patch, name, number in zip(run.patches, run.names, run.numbers, strict=True):
        if sheet.paste(patch, column, row, is_printed=run.is_printed, limits=limits):
            corner = np.array([round(column) + patch.left, round(row) + patch.top], np.float32)
            hull = _hull(patch.ink) + corner
            sheet.marks.append(Mark(CHARACTERS.index(name), hull, ems[number], number != previous, limits))
        previous = number


def _heights(run: Run) -> dict[int, float]:
    """Return the height of a typical digit of each number."""
    heights: dict[int, list[int]] = {number: [] for number in run.numbers}
    for patch, name, number in zip(run.patches, run.names, run.numbers, strict=True):
        if name in DIGIT_CHARACTERS:
            heights[number].append(len(patch.ink))
    return {number: float(np.median(values or [1])) for number, values in heights.items()}


def _hull(ink: Coverage) -> NDArray[np.float32]:
    """Return the corners of the convex hull of ink, (K, 2)."""
    points = cv2.findNonZero((ink > INK_LEVEL).view(np.uint8))
    if points is None:
        height, width = ink.shape
        return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    return np.asarray(cv2.convexHull(points), np.float32).reshape(-1, 2) + 0.5


def visible_marks(
    sheet: Sheet, view: NDArray[np.float64], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]:
    """Return boxes, classes, ems and starts of the characters in a picture of a sheet, by a homography."""
    scale = float(np.sqrt(abs(np.linalg.det(view[:2, :2]))))
    boxes, classes, ems, starts = [], [], [], []
    for mark in sheet.marks:
        hull = cv2.perspectiveTransform(mark.hull[None], view)[0]
        (left, top), (right, bottom) = hull.min(axis=0) - 0.5, hull.max(axis=0) + 0.5
        limits = mark.limits or Box(0, 0, width, height)
        clipped = (
            max(left, limits.left), max(top, limits.top), min(right, limits.right), min(bottom, limits.bottom)
        )  # fmt: skip
        area = max(0.0, clipped[2] - clipped[0]) * max(0.0, clipped[3] - clipped[1])
        fraction = area / ((right - left) * (bottom - top))
        if fraction < MIN_TRACE:
            continue
        is_readable = fraction >= MIN_VISIBLE and mark.em * scale >= MIN_READABLE_PX
        boxes.append(clipped)
        classes.append(mark.class_ if is_readable else IGNORED)
        ems.append(mark.em * scale)
        starts.append(mark.is_first)
    return (
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(classes, np.int64),
        np.array(ems, np.float32),
        np.array(starts, np.bool_),
    )
