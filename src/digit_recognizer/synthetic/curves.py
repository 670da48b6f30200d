"""Random curves, drawn on a canvas that is larger than an image of a digit."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import INK

Canvas = NDArray[np.uint8]  # (H, W), 0 background to 255 ink
Points = NDArray[np.float64]  # (N, 2), columns and rows on the canvas

CANVAS_PX = 112  # each side
EDGE_PX = 6  # distance of strokes from the edge of the canvas
SUBPIXEL_BITS = 3  # fractional bits of OpenCV's coordinates


def blank_canvas() -> Canvas:
    """Return a canvas without ink."""
    return np.zeros((CANVAS_PX, CANVAS_PX), np.uint8)


def to_bytes(canvas: object) -> Canvas:
    """Return values from 0 to 255 as uint8."""
    return np.asarray(canvas).astype(np.uint8)


def sample_pen_width(rng: np.random.Generator) -> int:
    """Return a stroke width in pixels: 0.7 to 3.2 in an image whose digit is 20 pixels high."""
    return int(rng.integers(4, 18))


def draw(curves: Sequence[Points], pen_width: int) -> Canvas:
    """Draw curves on a canvas."""
    canvas = blank_canvas()
    lines = [np.rint(curve * 2**SUBPIXEL_BITS).astype(np.int32) for curve in curves]
    cv2.polylines(canvas, lines, False, INK, pen_width, cv2.LINE_AA, SUBPIXEL_BITS)
    return canvas


def distort(canvas: Canvas, rng: np.random.Generator) -> Canvas:
    """Rotate, slant, stretch and bend what is drawn on a canvas."""
    side = canvas.shape[0]
    angle, slant, stretch = np.radians(rng.uniform(-15, 15)), rng.uniform(-0.3, 0.3), rng.uniform(0.7, 1.3)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotation @ np.array([[1, slant], [0, stretch]])
    grid = rng.normal(0, 0.035 * side, (4, 4, 2)).astype(np.float32)
    bend = np.asarray(cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC))
    rows, columns = np.mgrid[:side, :side] - side / 2
    places = np.stack([columns, rows], axis=-1) @ matrix.T + side / 2 + bend  # (side, side, 2)
    across, down = (np.ascontiguousarray(places[..., axis], np.float32) for axis in (0, 1))
    return to_bytes(cv2.remap(canvas, across, down, cv2.INTER_LINEAR))


def sample_line(rng: np.random.Generator) -> Points:
    """Return a straight line."""
    points: Points = rng.uniform(EDGE_PX, CANVAS_PX - EDGE_PX, (2, 2))
    return points


def sample_axis_line(rng: np.random.Generator) -> Points:
    """Return a nearly horizontal or vertical line."""
    start = rng.uniform(EDGE_PX, CANVAS_PX - EDGE_PX, 2)
    length = rng.uniform(25, 90) * rng.choice([-1, 1])
    step = np.array([length, 0.0]) if rng.random() < 0.5 else np.array([0.0, length])
    points: Points = np.stack([start, start + step + rng.normal(0, 4, 2)]).clip(EDGE_PX, CANVAS_PX - EDGE_PX)
    return points


def sample_bezier(rng: np.random.Generator) -> Points:
    """Return a cubic Bézier curve."""
    first, second, third, fourth = rng.uniform(EDGE_PX, CANVAS_PX - EDGE_PX, (4, 2))
    t = np.linspace(0, 1, 24)[:, None]
    u = 1 - t
    curve: Points = u**3 * first + 3 * u**2 * t * second + 3 * u * t**2 * third + t**3 * fourth
    return curve


def sample_arc(rng: np.random.Generator) -> Points:
    """Return a part of an ellipse."""
    start = rng.uniform(0, 2 * np.pi)
    angles = np.linspace(start, start + rng.uniform(1.5, 2 * np.pi), 28)
    points: Points = rng.uniform(25, CANVAS_PX - 25, 2) + rng.uniform(10, 45, 2) * unit_circle(angles)
    return points


def sample_wave(rng: np.random.Generator) -> Points:
    """Return a wave across the canvas, or down."""
    along = np.linspace(2 * EDGE_PX, CANVAS_PX - 2 * EDGE_PX, 40)
    phase = np.linspace(0, int(rng.integers(2, 6)) * np.pi, 40) + rng.uniform(0, 2 * np.pi)
    wave = np.stack([along, CANVAS_PX / 2 + rng.uniform(10, 30) * np.sin(phase)], axis=1)
    return wave if rng.random() < 0.6 else wave[:, ::-1]


def sample_chain(rng: np.random.Generator) -> list[Points]:
    """Return curves that each begin where the last one ends."""
    curves: list[Points] = []
    end = rng.uniform(2 * EDGE_PX, CANVAS_PX - 2 * EDGE_PX, 2)
    for _ in range(int(rng.integers(2, 6))):
        curve = (sample_line, sample_bezier, sample_axis_line, sample_arc)[rng.integers(4)](rng)
        curves.append(np.clip(curve - curve[0] + end, EDGE_PX, CANVAS_PX - EDGE_PX))
        end = curves[-1][-1]
    return curves


def sample_closed_curve(rng: np.random.Generator, lobe_depth: float) -> Points:
    """Return a closed curve around the middle of the canvas: a polygon, or one with lobes."""
    if rng.random() < 0.4:
        corners = int(rng.integers(4, 9))
        angles = 2 * np.pi * (np.arange(corners + 1) + rng.uniform(0, 1)) / corners
        radii = 1 - lobe_depth * rng.random(corners + 1)
        radii[-1] = radii[0]
    else:
        angles = np.linspace(0, 2 * np.pi, 90)
        lobes = np.cos(rng.integers(2, 7) * angles / 2 + rng.uniform(0, np.pi))
        lobes = np.abs(lobes) if rng.random() < 0.5 else lobes**2
        radii = 1 - rng.uniform(0, 1.3 * lobe_depth) * lobes
    curve = radii[:, None] * unit_circle(angles) * rng.uniform(0.75, 1, 2)
    points: Points = CANVAS_PX / 2 + 48 * curve
    return points


def sample_inner_curve(rng: np.random.Generator, *, small: bool = False) -> Points:
    """Return a short line or an arc near the middle of the canvas; a dot if `small`."""
    middle = CANVAS_PX / 2 + rng.uniform(-24, 24, 2)
    size = rng.uniform(1, 6) if small else rng.uniform(6, 24)
    start, extent = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 3.5)
    if rng.random() < 0.5:
        step = size * np.array([np.cos(start), np.sin(start)])
        return np.stack([middle - step, middle + step])
    points: Points = middle + size * unit_circle(np.linspace(start, start + extent, 16))
    return points


def unit_circle(angles: NDArray[np.float64]) -> Points:
    """Return the points of the unit circle at some angles, (N, 2)."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)
