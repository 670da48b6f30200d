"""Handwritten digits as strokes, and functions that draw them on the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

Point = tuple[float, float]

# Points of each stroke's curve, in a box of height 1: x to the right, y downwards.
DIGITS: dict[str, tuple[tuple[Point, ...], ...]] = {
    "0": (
        (
            *((0.42, 0.02), (0.2, 0.1), (0.06, 0.35), (0.06, 0.65), (0.2, 0.92), (0.38, 0.99)),
            *((0.56, 0.9), (0.66, 0.62), (0.64, 0.32), (0.54, 0.09), (0.42, 0.02)),
        ),
    ),
    "1": (((0.1, 0.26), (0.24, 0.14), (0.36, 0.0), (0.36, 0.35), (0.35, 0.7), (0.35, 1.0)),),
    "2": (
        (
            *((0.06, 0.24), (0.16, 0.07), (0.36, 0.0), (0.56, 0.08), (0.62, 0.27), (0.52, 0.5)),
            *((0.3, 0.75), (0.05, 0.97), (0.08, 0.98), (0.36, 0.96), (0.68, 0.97)),
        ),
    ),
    "3": (
        (
            *((0.08, 0.12), (0.26, 0.01), (0.48, 0.06), (0.54, 0.24), (0.42, 0.41), (0.24, 0.47)),
            *((0.44, 0.5), (0.6, 0.65), (0.58, 0.86), (0.38, 0.99), (0.16, 0.98), (0.02, 0.87)),
        ),
    ),
    "4": (
        ((0.38, 0.0), (0.26, 0.28), (0.06, 0.6), (0.08, 0.62), (0.4, 0.61), (0.72, 0.6)),
        ((0.52, 0.34), (0.51, 0.66), (0.5, 1.0)),
    ),
    "5": (
        (
            *((0.16, 0.03), (0.13, 0.24), (0.1, 0.45), (0.12, 0.45), (0.32, 0.38), (0.52, 0.46)),
            *((0.6, 0.66), (0.5, 0.88), (0.28, 0.99), (0.04, 0.92)),
        ),
        ((0.16, 0.03), (0.36, 0.03), (0.6, 0.01)),
    ),
    "6": (
        (
            *((0.5, 0.0), (0.28, 0.18), (0.12, 0.45), (0.07, 0.72), (0.16, 0.93), (0.34, 0.99)),
            *((0.52, 0.9), (0.57, 0.72), (0.46, 0.56), (0.28, 0.56), (0.12, 0.7)),
        ),
    ),
    "7": (((0.04, 0.05), (0.3, 0.04), (0.62, 0.03), (0.63, 0.05), (0.5, 0.32), (0.36, 0.64), (0.24, 1.0)),),
    "8": (
        (
            *((0.56, 0.13), (0.4, 0.01), (0.18, 0.06), (0.12, 0.24), (0.26, 0.42), (0.48, 0.57)),
            *((0.6, 0.78), (0.48, 0.96), (0.26, 0.99), (0.08, 0.86), (0.14, 0.66), (0.36, 0.46)),
            *((0.53, 0.31), (0.56, 0.13)),
        ),
    ),
    "9": (
        (
            *((0.56, 0.22), (0.44, 0.04), (0.22, 0.03), (0.08, 0.2), (0.12, 0.4), (0.3, 0.48)),
            *((0.5, 0.38), (0.57, 0.18), (0.56, 0.45), (0.52, 0.75), (0.48, 1.0)),
        ),
    ),
}
ADVANCE = 0.95  # from one digit of a number to the next, relative to the height
SCRIBBLE = np.array(
    [(0.5 + np.cos(turn) / 2, 0.5 + np.sin(turn) / 2) for turn in np.arange(12) * 2 * np.pi * 5 / 11]
)  # back and forth in all directions


def curve(points: Sequence[Point], steps: int = 2) -> NDArray[np.float64]:
    """Return a Catmull-Rom spline through points: float64, shape (M, 2)."""
    given = np.array([points[0], *points, points[-1]], float)
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = [
        (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3) / 2
        for a, b, c, d in zip(given, given[1:], given[2:], given[3:], strict=False)
    ]
    return np.concatenate([*pieces, given[-1:]])


def strokes_of(
    text: str, left: float, top: float, height: float, steps: int = 2
) -> Iterator[NDArray[np.float64]]:
    """Yield the strokes of a number, in pixels; a space is as wide as a digit."""
    for place, digit in enumerate(text):
        for points in DIGITS.get(digit, ()):
            yield curve(points, steps) * height + (left + place * ADVANCE * height, top)


def draw(page: Page, text: str, left: float, top: float, height: float) -> None:
    """Draw a number with the mouse: its upper left corner and its height in pixels of the paper."""
    draw_strokes(page, strokes_of(text, left, top, height))


DRAW = """async ([strokes, pace]) => {
    const paper = document.querySelector("#paper");
    const {left, top} = paper.getBoundingClientRect();
    const send = (kind, [x, y]) => paper.dispatchEvent(new PointerEvent(kind, {
        pointerId: 1, pointerType: "mouse", isPrimary: true, bubbles: true,
        clientX: left + x, clientY: top + y,
    }));
    for (const points of strokes) {
        send("pointerdown", points[0]);
        for (const point of points.slice(1)) {
            send("pointermove", point);
            if (pace) await new Promise(resolve => setTimeout(resolve, pace));
        }
        send("pointerup", points.at(-1));
    }
}"""


def draw_at_once(
    page: Page, text: str, left: float, top: float, height: float, *, steps: int = 2, pace: float = 0
) -> None:
    """Draw a number by dispatching mouse events, faster than `draw`; `pace` is milliseconds between them."""
    strokes = [stroke.tolist() for stroke in strokes_of(text, left, top, height, steps)]
    page.evaluate(DRAW, [strokes, pace])


def draw_strokes(page: Page, strokes: Iterator[NDArray[np.float64]] | Sequence[NDArray[np.float64]]) -> None:
    """Draw strokes, in pixels of the paper, with the mouse."""
    page.locator("#paper").scroll_into_view_if_needed()
    paper = page.locator("#paper").bounding_box()
    assert paper is not None
    for stroke in strokes:
        points = stroke + np.array([paper["x"], paper["y"]])
        page.mouse.move(*points[0])
        page.mouse.down()
        for before, here in pairwise(points):
            if np.abs(before - here).max() > 0:
                page.mouse.move(*here)
        page.mouse.up()
