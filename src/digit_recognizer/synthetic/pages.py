"""Compose pages with handwritten numbers, rules and everything else that a camera or scanner sees.

A page is written on a sheet (`sheet.py`) in a layout (`layouts.py`), or holds only non-digits
(`scribbles.py`). It gets rules (`rules.py`), is seen in perspective, and becomes grey (`papers.py`,
`camera.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.synthetic.camera import take_picture
from digit_recognizer.synthetic.draft import Draft, scatter
from digit_recognizer.synthetic.glyphs import CHARACTERS, Glyphs, make_glyphs, sample_hand
from digit_recognizer.synthetic.layouts import draw_layout
from digit_recognizer.synthetic.papers import (
    P_CLEAN,
    P_PATTERN,
    cut_out_clippings,
    ink_page,
    lay_desk,
    lay_out_light,
    texture,
)
from digit_recognizer.synthetic.rules import draw_box, draw_ruling, sample_rule_pen
from digit_recognizer.synthetic.scribbles import draw_scribble
from digit_recognizer.synthetic.sheet import Box, Run, Sheet, put_run, visible_marks
from digit_recognizer.synthetic.writing import sample_digits, sample_number, write_run

__all__ = ["CHARACTERS", "ComposedPage", "Glyphs", "compose_page", "make_glyphs"]

Rng = np.random.Generator

EM_RANGES_PX = ((0.75, 18.0, 60.0), (0.13, 60.0, 200.0), (0.12, 5.0, 18.0))  # weight, and range of heights
P_RULED = 0.36  # pages with rules besides those of tables and fields
P_SCRIBBLES = 0.3  # pages of numbers with non-digits among them
P_ONE_SCRIBBLE = 0.3  # pages of non-digits with a single one
P_NEIGHBOURS = 0.2  # pages with parts of other characters at their edges
P_TILTED = 0.4  # pages that are rotated, and seen in perspective
P_DESK = 0.1
MAX_CLIPPINGS = 50  # of a page, about
MARGIN = 0.3  # of a tilted page's longer side, around it
TILT_SIGMA, MAX_TILT = 5.0, 15.0  # degrees
PERSPECTIVE = 0.03  # standard deviation of the corners, as a fraction of the sides


@dataclass(frozen=True, slots=True, eq=False)
class ComposedPage:
    """A picture and the characters on it.

    Attributes
    ----------
    image
        uint8, shape (H, W): grey values, as a camera or scanner sees the page.
    boxes
        float32, shape (N, 4): left, top, right and bottom of the ink of each character, in pixels.
    classes
        int64, shape (N,): index into `CHARACTERS`; -1 for a character that is to be ignored, because the edge
        cuts off more than a third, or it is too small.
    em
        float32, shape (N,): height in pixels of a typical digit of the number that a character belongs to.
    starts
        bool, shape (N,): whether a character is the first of its number.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    em: NDArray[np.float32]
    starts: NDArray[np.bool_]


def compose_page(
    glyphs: Glyphs, rng: np.random.Generator, *, height: int, width: int, kind: str | None = None
) -> ComposedPage:
    """Compose a page; `kind` is a key of `PAGES`, by default any by their weights."""
    kind = kind or PAGE_KINDS[rng.choice(len(PAGE_KINDS), p=PAGE_WEIGHTS)]
    is_flat = kind == "clippings" or rng.random() >= P_TILTED
    draft, view = _begin(glyphs, rng, height, width, is_flat=is_flat)
    PAGES[kind][1](draft)
    sheet = draft.sheet
    if kind not in ("clippings", "empty") and rng.random() < P_RULED:
        draw_ruling(sheet, draft.em, rng)
    is_clean = rng.random() < P_CLEAN
    grey, contrast = _render(sheet, view, (height, width), is_clean, rng)
    image = take_picture(grey, draft.em, contrast, rng, is_clean=is_clean and not sheet.is_photo)
    return ComposedPage(image, *visible_marks(sheet, view, height, width))


def _sample_em(rng: Rng) -> float:
    weights = [weight for weight, _, _ in EM_RANGES_PX]
    _, low, high = EM_RANGES_PX[rng.choice(len(EM_RANGES_PX), p=weights)]
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _begin(
    glyphs: Glyphs, rng: Rng, height: int, width: int, *, is_flat: bool
) -> tuple[Draft, NDArray[np.float64]]:
    """Return an empty page, and the homography from its sheet to the picture."""
    margin = 0 if is_flat else round(MARGIN * max(height, width))
    shape = height + 2 * margin, width + 2 * margin
    writing, printing, desk = (np.zeros(shape, np.uint8) for _ in range(3))
    sheet = Sheet(writing, printing, desk)
    area = Box(margin, margin, margin + width, margin + height)
    if rng.random() < P_DESK:
        area = _lay_on_desk(sheet, area, rng)
    draft = Draft(sheet, area, _sample_em(rng), sample_hand(glyphs, rng), glyphs, rng)
    return draft, np.eye(3) if is_flat else _sample_view(height, width, margin, rng)


def _lay_on_desk(sheet: Sheet, area: Box, rng: Rng) -> Box:
    """Show the desk, or a scanner's border, on one to four sides of the paper; return the rest."""
    shares = rng.uniform(0.02, 0.3, 4) * (rng.random(4) < rng.choice([0.25, 0.25, 1.0]))
    rest = Box(
        area.left + shares[0] * area.width, area.top + shares[1] * area.height,
        area.right - shares[2] * area.width, area.bottom - shares[3] * area.height,
    )  # fmt: skip
    edges = [rest.left, rest.top, rest.right, rest.bottom]
    far = (0, 0, sheet.box.right, sheet.box.bottom)
    left, top, right, bottom = (round(e) if s else int(f) for e, s, f in zip(edges, shares, far, strict=True))
    sheet.desk[:] = 255
    sheet.desk[top:bottom, left:right] = 0
    return rest


def _sample_view(height: int, width: int, margin: int, rng: Rng) -> NDArray[np.float64]:
    """Return a homography: a rotation around the middle, and a mild perspective."""
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    angle = np.radians(np.clip(rng.normal(0, TILT_SIGMA), -MAX_TILT, MAX_TILT))
    middle = np.array([width, height], np.float32) / 2
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    strength = PERSPECTIVE if rng.random() < 0.5 else 0.0
    target = (corners - middle) @ rotation.T + middle + rng.normal(0, 1, (4, 2)) * strength * (width, height)
    return np.asarray(
        cv2.getPerspectiveTransform(corners + np.float32(margin), target.astype(np.float32)), np.float64
    )


def _render(
    sheet: Sheet, view: NDArray[np.float64], shape: tuple[int, int], is_clean: bool, rng: Rng
) -> tuple[NDArray[np.float32], float]:
    """Return the grey values of a sheet as it is seen, and the contrast of its writing."""
    height, width = shape
    writing, printing, desk = sheet.writing, sheet.printing, sheet.desk
    if writing.shape != shape:
        shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        pixels = np.linalg.inv(shift) @ view @ shift  # pixels have their centres at whole numbers
        layers = cv2.warpPerspective(np.stack([writing, printing, desk], axis=2), pixels, (width, height))
        writing, printing, desk = (np.ascontiguousarray(layers[..., each], np.uint8) for each in range(3))
    if sheet.is_photo:
        return ink_page(texture(height, width, rng), 128.0, writing, printing, rng)
    is_patterned = sheet.is_patterned or (not is_clean and rng.random() < P_PATTERN)
    paper, tone = lay_out_light(height, width, rng, is_clean=is_clean, is_patterned=is_patterned)
    grey, contrast = ink_page(paper, tone, writing, printing, rng, is_dark=is_patterned)
    grey = lay_desk(grey, desk, rng)
    if sheet.clippings:
        grey = cut_out_clippings(grey, sheet.clippings, rng)
    return grey, contrast


def _numbers(draft: Draft) -> None:
    """Write numbers in a layout, possibly with non-digits among them and characters cut by the edges."""
    draw_layout(draft)
    rng = draft.rng
    if rng.random() < P_NEIGHBOURS:
        _write_over_edges(draft)
    if rng.random() < P_SCRIBBLES:
        scatter(draft, int(rng.integers(1, 4)))


def _write_over_edges(draft: Draft) -> None:
    """Write numbers most of which the edges of the picture cut off."""
    rng, area = draft.rng, draft.area
    for _ in range(rng.integers(1, 4)):
        run = write_run(sample_digits(rng, 1, 3), draft.em, draft.hand, rng)
        height, width = run.bottom - run.top, run.right - run.left
        along, depth = rng.random(), rng.uniform(0.05, 0.6)
        if rng.random() < 0.5:
            left = area.left - depth * width if rng.random() < 0.5 else area.right - (1 - depth) * width
            top = area.top + along * area.height
        else:
            left = area.left + along * area.width
            top = area.top - depth * height if rng.random() < 0.5 else area.bottom - (1 - depth) * height
        if draft.sheet.is_free(Box(left - 2, top - 2, left + width + 2, top + height + 2)):
            put_run(draft.sheet, run, left - run.left, top - run.top)


def _scribbles(draft: Draft) -> None:
    """Draw non-digits of one kind or of several."""
    is_one = draft.em > 60 or draft.rng.random() < P_ONE_SCRIBBLE
    scatter(draft, 1 if is_one else int(draft.rng.integers(2, 16)))


def _photo(draft: Draft) -> None:
    """Show things instead of paper, possibly with non-digits."""
    draft.sheet.is_photo = True
    if draft.rng.random() < 0.3:
        scatter(draft, int(draft.rng.integers(1, 4)))


def _clippings(draft: Draft) -> None:
    """Lay tight cuttings side by side: a digit, a number in its cell, or a non-digit on each."""
    rng, area = draft.rng, draft.sheet.box
    gap, top = float(rng.choice([0, 1, 3, 8])), rng.uniform(0, 0.5) ** 2 * area.height
    while top < area.bottom - 4 and len(draft.sheet.clippings) < MAX_CLIPPINGS:
        left, tallest = rng.uniform(0, 0.5) ** 2 * area.width, 4.0
        while left < area.right - 4:
            box = _clip(draft, left, top)
            if box is None:
                break
            draft.sheet.clippings.append(box)
            left, tallest = box.right + gap, max(tallest, box.height)
        top += tallest + gap


def _clip(draft: Draft, left: float, top: float) -> Box | None:
    """Lay one cutting at a place; return its box, or None if it does not fit."""
    rng, sheet = draft.rng, draft.sheet
    em, hand = max(8.0, draft.line_em()), sample_hand(draft.glyphs, rng)
    is_digit = rng.random() < 0.82
    text = sample_digits(rng, 1, 1) if rng.random() < 0.7 else sample_number(rng)
    ink = write_run(text, em, hand, rng) if is_digit else draw_scribble(em, hand, rng)
    low, high = (ink.left, ink.top), (ink.right, ink.bottom)
    tightest = rng.uniform(-0.5, 2.5, 4) if rng.random() < 0.6 else rng.uniform(0, 0.4, 4) * em
    sides = np.round(tightest).astype(int)
    box = Box(round(left), round(top), round(left) + high[0] - low[0] + sides[0] + sides[2],
              round(top) + high[1] - low[1] + sides[1] + sides[3])  # fmt: skip
    if box.right > sheet.box.right or box.bottom > sheet.box.bottom or min(box.width, box.height) < 4:
        return None
    column, row = box.left + sides[0] - low[0], box.top + sides[1] - low[1]
    if isinstance(ink, Run):
        put_run(sheet, ink, column, row, limits=box)
    else:
        sheet.paste(ink, column, row, limits=box)
    if rng.random() < 0.25:
        frame = box.inset(*(rng.uniform(-0.1, 0.12, 2) * em))
        draw_box(sheet, frame, sample_rule_pen(em, rng))
    return box


PAGES: dict[str, tuple[float, Callable[[Draft], None]]] = {
    "numbers": (0.68, _numbers),
    "clippings": (0.1, _clippings),
    "scribbles": (0.15, _scribbles),
    "photo": (0.05, _photo),
    "empty": (0.02, lambda _draft: None),
}  # weight, and how a page is filled
PAGE_KINDS = tuple(PAGES)
PAGE_WEIGHTS = np.array([weight for weight, _ in PAGES.values()])
