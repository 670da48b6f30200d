"""Patches of ink: curves drawn with a pen, bitmaps brought to a size and a stroke width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import INK

Curve = NDArray[np.float64]  # (N, 2), columns and rows in pixels
Coverage = NDArray[np.uint8]  # (H, W), 0 no ink to 255 full ink

INK_LEVEL = 70  # coverage from which a pixel counts as ink
SUBPIXEL_BITS = 4  # fractional bits of OpenCV's coordinates
SMALL_PX, MEDIUM_PX = 40, 110  # heights up to which curves are drawn four and two times as large
MIN_WORK_PX, MAX_WORK_PX = 40, 200  # height at which the stroke width of a bitmap is changed
OUTLINE_LEVEL = 110  # grey level of the outline of a bitmap's strokes
MAX_THINNING = 0.55  # of half a stroke, so that no stroke breaks
MAX_THICKENING = 0.07  # of the height
SOURCE_MARGIN_PX = 3  # around a bitmap


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Ink, and where it lies: its first column and row from the start of the base line."""

    ink: Coverage
    left: int
    top: int

    @property
    def right(self) -> int:
        """The column after the last one."""
        return self.left + int(self.ink.shape[1])

    @property
    def bottom(self) -> int:
        """The row after the last one."""
        return self.top + int(self.ink.shape[0])

    def moved(self, columns: float, rows: float) -> Patch:
        """Return the same ink elsewhere."""
        return Patch(self.ink, self.left + round(columns), self.top + round(rows))


@dataclass(frozen=True, slots=True)
class Shape:
    """How a character is deformed: relative width, slant to the right, rotation in radians."""

    aspect: float = 1.0
    slant: float = 0.0
    rotation: float = 0.0

    def matrix(self) -> NDArray[np.float64]:
        """Return the linear map of columns and rows, (2, 2)."""
        cos, sin = np.cos(self.rotation), np.sin(self.rotation)
        slanted = np.array([[self.aspect, -self.slant], [0.0, 1.0]])
        return np.asarray(np.array([[cos, -sin], [sin, cos]]) @ slanted, np.float64)


def draw_curves(curves: Sequence[Curve], pen_px: float) -> Patch:
    """Draw curves with a round pen."""
    points = np.concatenate(curves)
    margin = pen_px / 2 + 1
    left, top = np.floor(points.min(axis=0) - margin).astype(int).tolist()
    right, bottom = np.ceil(points.max(axis=0) + margin).astype(int).tolist()
    size = max(right - left, bottom - top)
    factor = 4 if size <= SMALL_PX else 2 if size <= MEDIUM_PX else 1
    canvas = np.zeros((factor * (bottom - top), factor * (right - left)), np.uint8)
    scale = factor * 2**SUBPIXEL_BITS
    lines = [np.rint((curve - (left, top)) * scale).astype(np.int32) for curve in curves]
    width = max(1, round(pen_px * factor))
    cv2.polylines(canvas, lines, False, INK, width, cv2.LINE_AA, SUBPIXEL_BITS)
    if factor > 1:
        canvas = _shrink(canvas, (right - left, bottom - top))
    if pen_px * factor < 1:  # thinner than a line of the larger drawing
        canvas = cv2.convertScaleAbs(canvas, alpha=max(0.45, pen_px * factor))
    return tight(Patch(canvas, left, top))


def draw_bitmap(
    bitmap: Coverage, height: float, shape: Shape, pen_px: float | None, rng: np.random.Generator
) -> Coverage:
    """Return a bitmap's ink at a height in pixels, bent, with strokes of a width, or as they are if None."""
    rows, columns = cv2.reduce(bitmap, 1, cv2.REDUCE_MAX)[:, 0], cv2.reduce(bitmap, 0, cv2.REDUCE_MAX)[0]
    inked_rows, inked_columns = np.flatnonzero(rows > INK_LEVEL), np.flatnonzero(columns > INK_LEVEL)
    if not inked_rows.size:
        return np.full((2, 2), INK, np.uint8)
    work = float(np.clip(2 * height, MIN_WORK_PX, MAX_WORK_PX))
    if pen_px is None:
        work = max(height, 12.0)
    top, bottom = inked_rows[0], inked_rows[-1] + 1
    left, right = inked_columns[0], inked_columns[-1] + 1
    linear = shape.matrix() * work / (bottom - top)
    pad = 2 + work * MAX_THICKENING if pen_px else 2.0
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) @ linear.T
    low, high = corners.min(axis=0) - pad, corners.max(axis=0) + pad
    matrix = np.column_stack([linear, linear @ (0.5, 0.5) - low - 0.5])
    size = int(np.ceil(high[0] - low[0])), int(np.ceil(high[1] - low[1]))
    grid = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), axis=-1).reshape(-1, 2)
    source = (bend(grid.astype(np.float64), work, rng) - matrix[:, 2]) @ np.linalg.inv(linear).T
    across, down = source.T.astype(np.float32).reshape(2, size[1], size[0])
    large = np.asarray(cv2.remap(bitmap, across, down, cv2.INTER_CUBIC), np.uint8)
    if pen_px is not None:
        large = change_stroke_width(large, pen_px * work / height)
    factor = height / work
    wanted = max(2, round(size[0] * factor)), max(2, round(size[1] * factor))
    if wanted[1] < size[1]:
        large = _shrink(large, wanted)
    elif wanted[1] > size[1]:
        large = np.asarray(cv2.resize(large, wanted, interpolation=cv2.INTER_CUBIC), np.uint8)
    return tight(Patch(np.asarray(large, np.uint8), 0, 0)).ink


def change_stroke_width(grey: Coverage, width: float) -> Coverage:
    """Return the strokes of an image with another mean width in pixels, by their distance to the outline."""
    stroke = (grey > OUTLINE_LEVEL).astype(np.uint8)
    inside = cv2.distanceTransform(stroke, cv2.DIST_L2, 3)
    outside = cv2.distanceTransform(1 - stroke, cv2.DIST_L2, 3)
    half = 2 * float(inside.sum()) / max(1, int(np.count_nonzero(stroke)))  # mean distance is half of it
    change = float(np.clip(width / 2 - half, -MAX_THINNING * half, MAX_THICKENING * len(grey)))
    return np.asarray(cv2.convertScaleAbs(np.clip(inside - outside + change, 0, 1), alpha=INK), np.uint8)


def tight(patch: Patch) -> Patch:
    """Return a patch without its empty borders."""
    left, top, width, height = cv2.boundingRect((patch.ink > INK_LEVEL // 2).view(np.uint8))
    if not width:
        return Patch(patch.ink[:1, :1], patch.left, patch.top)
    ink = patch.ink[top : top + height, left : left + width]
    return Patch(ink, patch.left + left, patch.top + top)


def bend(curve: Curve, size: float, rng: np.random.Generator) -> Curve:
    """Return a curve that is bent by smooth random waves, up to some 4 % of `size`."""
    phases, shifts = rng.uniform(0, 6.28, 2), rng.normal(0, 0.02 * size, 2)
    waves = np.sin(curve[:, ::-1] * (3.5 / size) + phases) * shifts
    return np.asarray(curve + waves, np.float64)


def smooth(points: Curve, steps: int = 6) -> Curve:
    """Return a Catmull-Rom spline through points."""
    if len(points) < 3:
        return points
    before = np.concatenate([points[:1], points[:-2]])
    after = np.concatenate([points[2:], points[-1:]])
    start, end = points[:-1], points[1:]
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (each[:, None] for each in (before, start, end, after))
    curve = p1 + t * (p2 - p0) / 2 + t**2 * (p0 - 2.5 * p1 + 2 * p2 - p3 / 2)
    curve = curve + t**3 * (1.5 * (p1 - p2) + (p3 - p0) / 2)
    return np.concatenate([curve.reshape(-1, 2), points[-1:]])


def _shrink(canvas: Coverage, size: tuple[int, int]) -> Coverage:
    return np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), np.uint8)
