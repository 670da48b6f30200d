"""Composed pages seen in other ways: cut out, put side by side, in other tones; all boxes follow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import INK
from digit_recognizer.imaging.edges import edge_tone
from digit_recognizer.synthetic.pages import ComposedPage
from digit_recognizer.training.numbers.detection import EM_RANGE_PX, TOLERATED_EM_RANGE_PX

P_MOSAIC = 0.35  # of pages that consist of parts of four
MOSAIC_RANGE = (1 / 3, 2 / 3)  # of the sides, at which the parts meet
P_CUT_OUT = 0.35  # of the others: of pages of which only a part is left
P_AROUND_CHARACTERS = 0.6  # of these: cut out around one character or a few
P_KEPT_EMPTY = 0.5  # of pages without a character that is to be found
EDGES_EM = (0.0, 0.0, 0.1, 0.3, 0.6)  # margins of what is cut out, at most
MIN_CUT_PX = 6
MIN_WHOLE_FRACTION, MIN_VISIBLE_FRACTION = 0.8, 0.05  # of a character: to be found; to be ignored
P_INVERTED, P_GAMMA, P_FADED, P_NOISY = 0.15, 0.5, 0.2, 0.2
GAMMA_SIGMA = 0.3  # of its logarithm
DARKEST, BRIGHTEST = (0, 60), (180, 255)  # grey levels of pages that are not faded
NOISE_RANGE = (1.0, 12.0)  # grey levels

Rng = np.random.Generator
Floats = NDArray[np.float32]
Window = tuple[int, int, int, int]  # left, top, right, bottom


def sample_view(draw: Callable[[], ComposedPage], rng: Rng) -> ComposedPage:
    """Return a page of the size of those that `draw` returns, made of one or four of them."""
    if rng.random() < P_MOSAIC:
        return _mosaic(draw, rng)
    page = _draw_useful(draw, rng)
    return _in_other_tones(_cut_out(page, rng) if rng.random() < P_CUT_OUT else page, rng)


def _draw_useful(draw: Callable[[], ComposedPage], rng: Rng) -> ComposedPage:
    """Draw a page; leave out some of those on which nothing is to be found."""
    while True:
        page = draw()
        is_useful = (page.classes >= 0) & (EM_RANGE_PX[0] <= page.em) & (page.em <= EM_RANGE_PX[1])
        if is_useful.any() or rng.random() < P_KEPT_EMPTY:
            return page


def _mosaic(draw: Callable[[], ComposedPage], rng: Rng) -> ComposedPage:
    """Put parts of four pages side by side."""
    pages = [_draw_useful(draw, rng) for _ in range(4)]
    height, width = pages[0].image.shape
    row, column = (round(side * rng.uniform(*MOSAIC_RANGE)) for side in (height, width))
    places = [(left, top, right, bottom) for top, bottom in ((0, row), (row, height))
              for left, right in ((0, column), (column, width))]  # fmt: skip
    parts = [_part(page, place, rng) for page, place in zip(pages, places, strict=True)]
    image = np.zeros((height, width), np.uint8)
    for part, (left, top, right, bottom) in zip(parts, places, strict=True):
        image[top:bottom, left:right] = part.image
    moved = [_moved(part.boxes, *place[:2]) for part, place in zip(parts, places, strict=True)]
    return ComposedPage(
        image,
        np.concatenate(moved).astype(np.float32),
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.em for part in parts]),
        np.concatenate([part.starts for part in parts]),
    )


def _part(page: ComposedPage, place: Window, rng: Rng) -> ComposedPage:
    """Return a part of a page, of the size of `place`, in other tones; around a character if it has one."""
    sides = np.array([place[2] - place[0], place[3] - place[1]])
    limits = np.array(page.image.shape[::-1]) - sides
    near = np.flatnonzero((page.em >= TOLERATED_EM_RANGE_PX[0]) & (page.em <= TOLERATED_EM_RANGE_PX[1]))
    if near.size:
        box = page.boxes[rng.choice(near)]
        start = (box[:2] + box[2:]) / 2 - rng.uniform(0.2, 0.8, 2) * sides
    else:
        start = rng.uniform(0, limits + 1)
    left, top = np.clip(start, 0, limits).astype(int).tolist()
    return _in_other_tones(_window(page, (left, top, left + int(sides[0]), top + int(sides[1]))), rng)


def _window(page: ComposedPage, window: Window) -> ComposedPage:
    """Return what is seen of a page through a window; characters that are cut off are ignored."""
    left, top, right, bottom = window
    boxes = np.clip(page.boxes, (left, top, left, top), (right, bottom, right, bottom))
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (boxes, page.boxes)]
    visible = areas[0] / np.maximum(areas[1], 1e-3)
    kept = visible > MIN_VISIBLE_FRACTION
    classes = np.where(visible < MIN_WHOLE_FRACTION, -1, page.classes)
    return ComposedPage(
        page.image[top:bottom, left:right],
        _moved(boxes, -left, -top)[kept],
        classes[kept],
        page.em[kept],
        page.starts[kept],
    )


def _moved(boxes: Floats, across: int, down: int) -> Floats:
    """Return boxes, (N, 4), elsewhere."""
    return np.asarray(boxes + np.array([across, down] * 2), np.float32)


def _cut_out(page: ComposedPage, rng: Rng) -> ComposedPage:
    """Return a page of the same size of which only a part is left, at any place."""
    height, width = page.image.shape
    if len(page.boxes) and rng.random() < P_AROUND_CHARACTERS:
        window = _around_characters(page, rng)
    else:
        across, down = int(rng.integers(width // 8, width + 1)), int(rng.integers(height // 8, height + 1))
        left, top = int(rng.integers(0, width - across + 1)), int(rng.integers(0, height - down + 1))
        window = (left, top, left + across, top + down)
    if min(window[2] - window[0], window[3] - window[1]) < MIN_CUT_PX:
        return page
    part = _window(page, window)
    rows, columns = part.image.shape
    image = np.full((height, width), edge_tone(part.image), np.uint8)
    top, left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
    image[top : top + rows, left : left + columns] = part.image
    return ComposedPage(image, _moved(part.boxes, left, top), part.classes, part.em, part.starts)


def _around_characters(page: ComposedPage, rng: Rng) -> Window:
    """Return the window around a character, or from one to another, with or without margins."""
    first = int(rng.integers(len(page.boxes)))
    last = int(rng.integers(len(page.boxes))) if rng.random() < 0.4 else first
    pair = page.boxes[[first, last]]
    margins = rng.choice(EDGES_EM) * page.em[first] * rng.random(4)
    height, width = page.image.shape
    left, top = np.maximum(np.rint(pair[:, :2].min(axis=0) - margins[:2]), 0).astype(int).tolist()
    right, bottom = np.rint(pair[:, 2:].max(axis=0) + margins[2:]).astype(int).tolist()
    return left, top, min(right, width), min(bottom, height)


def _in_other_tones(page: ComposedPage, rng: Rng) -> ComposedPage:
    """Return a page with other brightness and contrast, possibly inverted or with noise."""
    grey: NDArray[np.floating] = page.image.astype(np.float32)
    if rng.random() < P_INVERTED:
        grey = INK - grey
    if rng.random() < P_GAMMA:
        grey = (grey / INK) ** np.exp(rng.normal(0, GAMMA_SIGMA))
        is_faded = rng.random() < P_FADED
        low, high = (
            sorted(rng.uniform(0, INK, 2)) if is_faded else (rng.uniform(*DARKEST), rng.uniform(*BRIGHTEST))
        )
        grey = low + grey * (high - low)
    if rng.random() < P_NOISY:
        grey = grey + rng.normal(0, rng.uniform(*NOISE_RANGE), grey.shape)
    image = np.clip(grey, 0, INK).astype(np.uint8)
    return ComposedPage(image, page.boxes, page.classes, page.em, page.starts)
