"""Digits as other hands write them: European ones and sevens, long last strokes, each turned on its own.

The digits of NIST's forms are North American: a 1 is a single stroke there, and few a 7 has a bar.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import INK, SIDE

__all__ = ["EDGE", "crossed", "flourished", "turned", "with_upstroke"]

Image = NDArray[np.uint8]  # (H, W): one digit, 0 background to 255 ink
Place = tuple[float, float]  # column and row

EDGE = 90  # grey level at the edge of a stroke
ROOM = 14  # pixels around an image, for strokes that are drawn on
TURNED = 6.0  # degrees, standard deviation
SHEARED = 0.1  # columns for each row, likewise


def turned(image: Image, rng: np.random.Generator) -> Image:
    """Turn and shear a digit a little, uint8 (28, 28), within its image."""
    angle, shear = np.radians(rng.normal(0, TURNED)), rng.normal(0, SHEARED)
    matrix = np.array([[np.cos(angle), shear - np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (SIDE - 1) / 2)
    moved = np.column_stack([matrix, middle - matrix @ middle])
    return np.asarray(cv2.warpAffine(image, moved, (SIDE, SIDE), flags=cv2.INTER_LINEAR), np.uint8)


def with_upstroke(image: Image, rng: np.random.Generator) -> Image:
    """Draw the stroke that leads up to the top of a 1."""
    rows, columns = np.nonzero(image > EDGE)
    if not rows.size:
        return image
    top, height = int(rows.min()), int(np.ptp(rows)) + 1
    start = ROOM + float(columns[rows <= top + 1].mean()), ROOM + top + 0.5
    length, angle = rng.uniform(0.2, 1.0) * height, rng.uniform(0.25, 1.2)
    end = start[0] - length * np.sin(angle), start[1] + length * np.cos(angle)
    return _stroked(image, start, end, rng)


def crossed(image: Image, rng: np.random.Generator) -> Image:
    """Draw the bar through the middle of a 7."""
    rows, columns = np.nonzero(image > EDGE)
    if not rows.size:
        return image
    level = int(rows.min() + rng.uniform(0.35, 0.65) * np.ptp(rows))
    across = columns[np.abs(rows - level) <= 1]
    middle = float(across.mean()) if across.size else SIDE / 2
    slope = rng.uniform(-0.3, 0.3)
    left, right = -rng.uniform(3, 7), rng.uniform(3, 10)
    start, end = ((ROOM + middle + way, ROOM + level - way * slope) for way in (left, right))
    return _stroked(image, start, end, rng)


def flourished(image: Image, rng: np.random.Generator, *, high: bool) -> Image:
    """Lengthen the stroke that ends at the right of a digit's upper or lower edge, to the right."""
    rows, columns = np.nonzero(image > EDGE)
    if not rows.size:
        return image
    share = (rows - rows.min()) / max(1, np.ptp(rows))
    at_edge = np.flatnonzero(share < 0.2 if high else share > 0.8)
    last = at_edge[columns[at_edge].argmax()]
    start = ROOM + float(columns[last]) - 0.5, ROOM + float(rows[last])
    end = start[0] + rng.uniform(3, 11), start[1] - rng.uniform(-2, 4)
    return _stroked(image, start, end, rng)


def _stroked(image: Image, start: Place, end: Place, rng: np.random.Generator) -> Image:
    """Draw a bent stroke from one place to another over an image with `ROOM` pixels around it."""
    page = np.pad(image, ROOM)
    inside = cv2.distanceTransform((image > EDGE).astype(np.uint8), cv2.DIST_L2, 3)
    quarter = float(inside[inside > 0].mean())  # of the breadth of the digit's strokes
    level, breadth = int(rng.uniform(200, INK)), min(4, max(1, round(quarter * rng.uniform(3, 4))))
    first, last = np.array(start), np.array(end)
    bent = (first + last) / 2 + rng.normal(0, 0.1) * (last - first)[::-1] * (-1, 1)
    along = np.linspace(0, 1, 6)[:, None]
    curve = (1 - along) ** 2 * first + 2 * along * (1 - along) * bent + along**2 * last
    points = [np.rint(4 * curve).astype(np.int32)]
    stroke = cv2.polylines(np.zeros_like(page), points, False, level, breadth, cv2.LINE_AA, 2)
    return np.asarray(np.maximum(page, stroke), np.uint8)
