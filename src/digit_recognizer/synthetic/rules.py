"""Rules: lines of paper, tables, fields and underlines, none of which is a character."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.synthetic.ink import SUBPIXEL_BITS
from digit_recognizer.synthetic.sheet import Box, Sheet

Rng = np.random.Generator
Point = tuple[float, float]  # column and row

WIDTH_RANGE = (0.6, 5.0)  # pixels, at an em of 24
TYPICAL_EM_PX = 24.0
LEVEL_RANGE = (70, 256)  # ink of a rule
DASH_RANGE = (0.1, 0.6)  # em
P_STRAY_TANGENT = 0.6  # stray rules that run beside a character, or through it
STRAY_RANGE, UPRIGHT_STRAY_RANGE = (0.7, 12.0), (1.6, 12.0)  # lengths of stray rules, em


@dataclass(frozen=True, slots=True)
class RulePen:
    """How a rule is drawn: its width in pixels, its ink, and the pattern of its dashes in pixels."""

    width: float
    level: int
    gaps: tuple[float, float] | None = None  # lengths of a dash and of the gap after it
    distance: float | None = None  # between the lines of a double rule


def _solid(width: float, level: int, _em: float, _rng: Rng) -> RulePen:
    return RulePen(width, level)


def _double(width: float, level: int, em: float, rng: Rng) -> RulePen:
    return RulePen(min(width, 1.5), level, distance=max(2.5, em * rng.uniform(0.08, 0.25)))


def _dashed(width: float, level: int, em: float, rng: Rng) -> RulePen:
    return RulePen(
        width, level, gaps=(max(2.0, em * rng.uniform(*DASH_RANGE)), max(2.0, em * rng.uniform(*DASH_RANGE)))
    )


def _dotted(width: float, level: int, em: float, rng: Rng) -> RulePen:
    width = max(width, 1.0)
    return RulePen(width, level, gaps=(0.1, max(2.0, 1.8 * width, em * rng.uniform(0.08, 0.35))))


RULE_STYLES: dict[str, tuple[float, Callable[[float, int, float, Rng], RulePen]]] = {
    "solid": (0.68, _solid),
    "double": (0.12, _double),
    "dashed": (0.1, _dashed),
    "dotted": (0.1, _dotted),
}  # weight, and the pen
STYLE_WEIGHTS = np.array([weight for weight, _ in RULE_STYLES.values()])


def sample_rule_pen(em: float, rng: Rng) -> RulePen:
    """Return a pen for the rules of a page whose digits are `em` pixels high."""
    low, high = np.log(WIDTH_RANGE)
    width = float(np.exp(rng.uniform(low, high))) * (em / TYPICAL_EM_PX) ** 0.7
    styles = list(RULE_STYLES.values())
    style = styles[rng.choice(len(styles), p=STYLE_WEIGHTS)][1]
    return style(max(0.5, width), int(rng.integers(*LEVEL_RANGE)), em, rng)


def draw_rule(sheet: Sheet, start: Point, end: Point, pen: RulePen) -> None:
    """Draw a rule on the printed layer of a sheet."""
    first, last = np.array(start, float), np.array(end, float)
    if pen.distance is not None:
        step = (last - first)[::-1] * (-1, 1)
        step *= pen.distance / max(1e-6, float(np.hypot(*step)))
        _draw(sheet, _pieces(first + step, last + step, pen), pen)
    _draw(sheet, _pieces(first, last, pen), pen)


def _pieces(first: NDArray[np.float64], last: NDArray[np.float64], pen: RulePen) -> NDArray[np.float64]:
    """Return the dashes of a rule, (K, 2, 2)."""
    length = float(np.hypot(*(last - first)))
    if pen.gaps is None or length < 1:
        return np.stack([first, last])[None]
    starts = np.arange(0, length, sum(pen.gaps))
    ends = np.minimum(starts + pen.gaps[0], length)
    along = np.stack([starts, ends], axis=1)[..., None] / length
    return np.asarray(first + along * (last - first), np.float64)


def _draw(sheet: Sheet, pieces: NDArray[np.float64], pen: RulePen) -> None:
    layer = sheet.printing
    margin = pen.width / 2 + 2
    low = np.floor(pieces.min(axis=(0, 1)) - margin).astype(int).clip(0)
    high = np.ceil(pieces.max(axis=(0, 1)) + margin).astype(int)
    place = layer[low[1] : max(0, high[1]), low[0] : max(0, high[0])]
    if not place.size:
        return
    rule = np.zeros_like(place)
    lines = np.rint((pieces - low) * 2**SUBPIXEL_BITS).astype(np.int32)
    level = pen.level * min(1.0, max(0.35, pen.width))
    cv2.polylines(rule, list(lines), False, level, max(1, round(pen.width)), cv2.LINE_AA, SUBPIXEL_BITS)
    np.maximum(place, rule, out=place)


def draw_grid(sheet: Sheet, columns: Sequence[float], rows: Sequence[float], em: float, rng: Rng) -> None:
    """Draw the rules of a table at columns and rows, some of which may be missing or of another kind."""
    pen, other = sample_rule_pen(em, rng), sample_rule_pen(em, rng)
    across = other if rng.random() < 0.3 else pen
    p_missing = float(rng.choice([0.0, 0.0, 0.15]))
    overhang = em * rng.uniform(0, 0.3, 2) if rng.random() < 0.2 else (0.0, 0.0)
    left, right = columns[0] - overhang[0], columns[-1] + overhang[0]
    top, bottom = rows[0] - overhang[1], rows[-1] + overhang[1]
    kind = rng.random()
    for row in rows if kind < 0.85 else ():
        if rng.random() >= p_missing:
            draw_rule(sheet, (left, row), (right, row), across)
    for number, column in enumerate(columns if kind > 0.15 or kind < 0.02 else ()):
        if rng.random() >= p_missing:
            draw_rule(sheet, (column, top), (column, bottom), other if number == 1 else pen)


def draw_box(sheet: Sheet, box: Box, pen: RulePen) -> None:
    """Draw a frame."""
    corners = ((box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom))
    for number, corner in enumerate(corners):
        draw_rule(sheet, corner, corners[(number + 1) % 4], pen)


def _ruled(sheet: Sheet, em: float, rng: Rng) -> None:
    """Rule the paper, and possibly draw a margin line."""
    pen, box = sample_rule_pen(em, rng), sheet.box
    pen = RulePen(min(pen.width, 2.5), pen.level, pen.gaps)
    distance = max(6.0, em * rng.uniform(0.7, 2.6))
    for row in np.arange(rng.uniform(0, distance), box.bottom, distance):
        draw_rule(sheet, (0, row), (box.right, row), pen)
    if rng.random() < 0.5:
        _margin(sheet, em, rng)


def _squared(sheet: Sheet, em: float, rng: Rng) -> None:
    """Draw squared or millimetre paper."""
    pen, box = sample_rule_pen(em, rng), sheet.box
    pen = RulePen(min(pen.width, 1.8), pen.level)
    distance = max(5.0, em * rng.uniform(0.3, 1.3))
    row, column = rng.uniform(0, distance, 2)
    for place in np.arange(row, box.bottom, distance):
        draw_rule(sheet, (0, place), (box.right, place), pen)
    for place in np.arange(column, box.right, distance):
        draw_rule(sheet, (place, 0), (place, box.bottom), pen)


def _dots(sheet: Sheet, em: float, rng: Rng) -> None:
    """Draw dotted paper."""
    distance, box = max(6.0, em * rng.uniform(0.4, 1.2)), sheet.box
    pen = RulePen(rng.uniform(1, 2.5), int(rng.integers(*LEVEL_RANGE)), (0.1, distance))
    column = rng.uniform(0, distance)
    for row in np.arange(rng.uniform(0, distance), box.bottom, distance):
        draw_rule(sheet, (column, row), (box.right, row), pen)


def _margin(sheet: Sheet, em: float, rng: Rng) -> None:
    """Draw one vertical line down the page."""
    column, lean = rng.uniform(0, sheet.box.right), rng.normal(0, 2)
    draw_rule(sheet, (column, 0), (column + lean, sheet.box.bottom), sample_rule_pen(em, rng))


def _frame(sheet: Sheet, em: float, rng: Rng) -> None:
    """Draw a frame around much of the page, some of whose sides lie outside."""
    box = sheet.box
    left, right = np.sort(rng.uniform(-0.2, 1.2, 2)) * box.width
    top, bottom = np.sort(rng.uniform(-0.2, 1.2, 2)) * box.height
    draw_box(sheet, Box(left, top, right, bottom), sample_rule_pen(em, rng))


def _stray(sheet: Sheet, em: float, rng: Rng) -> None:
    """Draw lines anywhere, most of them close to a character, or across it.

    A vertical line as long as a digit is a 1, unless it crosses or touches a character; so those are longer.
    """
    boxes = sheet.mark_boxes()
    for _ in range(rng.integers(1, 5)):
        pen = sample_rule_pen(em, rng)
        is_vertical = rng.random() < 0.65
        near = boxes[rng.integers(len(boxes))] if boxes and rng.random() < P_STRAY_TANGENT else None
        is_apart = is_vertical and near is None
        length = em * np.exp(rng.uniform(*np.log(UPRIGHT_STRAY_RANGE if is_apart else STRAY_RANGE)))
        if is_apart and not boxes:  # nothing tells how high a digit is
            length = 2.0 * sheet.box.height
        column, row = rng.uniform(0, sheet.box.right), rng.uniform(0, sheet.box.bottom)
        if near is not None:
            side = (
                rng.choice([-0.5, 0.5]) * (1 + rng.exponential(0.25))
                if rng.random() < 0.75
                else rng.uniform(-0.5, 0.5)
            )
            column = (near.left + near.right) / 2 + (side * (near.width + pen.width) if is_vertical else 0)
            row = (near.top + near.bottom) / 2 + (0 if is_vertical else side * (near.height + pen.width))
        start = length * rng.uniform(0.2, 0.8)
        lean = rng.normal(0, 0.02) * length
        if is_vertical:
            draw_rule(sheet, (column, row - start), (column + lean, row - start + length), pen)
        else:
            draw_rule(sheet, (column - start, row), (column - start + length, row + lean), pen)


RULINGS: dict[str, tuple[float, Callable[[Sheet, float, Rng], None]]] = {
    "stray": (0.36, _stray),
    "ruled": (0.22, _ruled),
    "squared": (0.16, _squared),
    "margin": (0.12, _margin),
    "frame": (0.08, _frame),
    "dots": (0.06, _dots),
}  # weight, and how the rules of a page are drawn
RULING_WEIGHTS = np.array([weight for weight, _ in RULINGS.values()])


def draw_ruling(sheet: Sheet, em: float, rng: Rng) -> None:
    """Draw the rules of a page of one kind."""
    kinds = list(RULINGS.values())
    kinds[rng.choice(len(kinds), p=RULING_WEIGHTS)][1](sheet, em, rng)
