"""Synthetic drawings, scans and photos: pages with one digit or with a string of digits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer import Digits
from digit_recognizer.digits import INK, SIDE

Page = NDArray[np.uint8]

SINGLE_ZOOM_RANGE = (1.0, 12.0)  # of the image of a single digit
PAGE_SIDE_RANGE = (1.2, 3.0)  # times the enlarged image: each side of its page
STRING_LENGTHS = (2, 10)  # shortest and longest string
STRING_ZOOM_RANGE = (1.6, 4.0)  # of the digits of a string: 32 to 80 pixels high
SIZE_SPREAD = 0.1  # fraction by which the digits of a string differ in size
DIGIT_HEIGHT_PX = 20  # of MNIST's digits, before they are enlarged
GAP_RANGE = (0.1, 0.6)  # of a digit's height, between the ink of neighbours
OVERLAP_RANGE = (0.02, 0.12)  # likewise, of neighbours that touch
MAX_LIFT = 0.08  # of a digit's height, above or below the line
MAX_SLOPE = 0.1  # rows per column
MARGIN_RANGE = (0.4, 1.5)  # of a digit's height, around a string
STROKE_LEVEL = INK // 2  # ink from which a pixel belongs to a stroke
FAR_LEFT_PX = -(10**6)  # left of every line
PAPER_LEVELS = {"white": (240, 255), "grey": (140, 210), "dark": (15, 70)}  # ranges of grey levels
CONTRAST_RANGE = (0.6, 1.0)  # of the way from the paper to black, or to white on dark paper
MAX_SHADE = 0.35  # fraction of the light that the darkest corner of a page lacks
MAX_NOISE_SIGMA = 5.0  # grey levels
BLUR_SIGMA_RANGE_PX = (0.3, 1.0)
PHOTO_SHAPE = (3000, 4000)  # rows and columns: 12 megapixels
PHOTO_ZOOM = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class StringPage:
    """A page, uint8 (height, width), 0 black to 255 white, and the digits on it."""

    page: Page
    text: str


def digit_pages(images: NDArray[np.uint8], seed: int) -> Iterator[Page]:
    """Yield a page for each image: enlarged, on white or black paper, in a corner or anywhere."""
    for number, image in enumerate(images):
        yield _digit_page(image, np.random.default_rng([seed, number]))


def string_pages(digits: Digits, count: int, touching: float, seed: int) -> Iterator[StringPage]:
    """Yield strings of digits; `touching` is the fraction of neighbours that touch."""
    for number in range(count):
        yield string_page(digits, touching, np.random.default_rng([seed, number]))


def string_page(digits: Digits, touching: float, rng: np.random.Generator) -> StringPage:
    """Return a page with 2 to 10 digits in a roughly level line."""
    assert digits.labels is not None
    rows = rng.integers(len(digits), size=rng.integers(STRING_LENGTHS[0], STRING_LENGTHS[1] + 1))
    zoom = rng.uniform(*STRING_ZOOM_RANGE)
    touches = rng.random(len(rows) - 1) < touching
    ink = _written(digits.images[rows], touches, zoom, rng)
    margins = [(round(rng.uniform(*MARGIN_RANGE) * DIGIT_HEIGHT_PX * zoom),) * 2 for _ in ink.shape]
    text = "".join(map(str, digits.labels[rows]))
    return StringPage(on_paper(np.pad(ink, margins), rng), text)


def photo(images: NDArray[np.uint8], rng: np.random.Generator) -> Page:
    """Return a photo of 12 megapixels with images, (N, 28, 28), in a line on shaded paper."""
    ink = _written(images, np.zeros(len(images) - 1, bool), PHOTO_ZOOM, rng)
    sheet = np.zeros(PHOTO_SHAPE, np.uint8)
    top, left = ((PHOTO_SHAPE[axis] - ink.shape[axis]) // 2 for axis in (0, 1))
    sheet[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return on_paper(sheet, rng, MAX_SHADE)


def on_paper(
    ink: Page, rng: np.random.Generator, min_shade: float = 0.0, kinds: Sequence[str] = tuple(PAPER_LEVELS)
) -> Page:
    """Put ink, (H, W), 0 to 255, on one kind of paper in uneven light, slightly blurred and noisy.

    `min_shade`, up to 0.35, is the fraction of the light that the darkest corner lacks at least.
    """
    kind = str(rng.choice(list(kinds)))
    paper, end = rng.uniform(*PAPER_LEVELS[kind]), INK if kind == "dark" else 0
    coverage = cv2.GaussianBlur(ink.astype(np.float32) / INK, (0, 0), rng.uniform(*BLUR_SIGMA_RANGE_PX))
    grey = paper + coverage * np.float32((end - paper) * rng.uniform(*CONTRAST_RANGE))
    grey *= _light(ink.shape, rng.uniform(min_shade, MAX_SHADE), rng)
    grey += rng.uniform(0, MAX_NOISE_SIGMA) * rng.standard_normal(ink.shape, np.float32)
    return np.asarray(grey.clip(0, INK), np.uint8)


def _digit_page(image: Page, rng: np.random.Generator) -> Page:
    interpolation = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_NEAREST
    side = round(SIDE * rng.uniform(*SINGLE_ZOOM_RANGE))
    in_corner, on_dark = rng.random(2) < 0.5
    ink = np.zeros([round(side * rng.uniform(*PAGE_SIDE_RANGE)) for _ in range(2)], np.uint8)
    rooms = [length - side for length in ink.shape]
    top, left = (int(rng.choice([0, room]) if in_corner else rng.integers(room + 1)) for room in rooms)
    ink[top : top + side, left : left + side] = cv2.resize(image, (side, side), interpolation=interpolation)
    return ink if on_dark else np.asarray(INK - ink, np.uint8)


def _written(
    images: NDArray[np.uint8], touches: NDArray[np.bool_], zoom: float, rng: np.random.Generator
) -> Page:
    """Return the ink of a line of digits, each at its distance from those before it."""
    inks = [enlarged(image, zoom * rng.uniform(1 - SIZE_SPREAD, 1 + SIZE_SPREAD)) for image in images]
    height, tallest = DIGIT_HEIGHT_PX * zoom, max(len(ink) for ink in inks)
    apart, overlap = (rng.uniform(*ends, len(touches)) for ends in (GAP_RANGE, OVERLAP_RANGE))
    gaps = np.rint(height * np.where(touches, -overlap, apart)).astype(int)
    lifts = height * rng.uniform(-MAX_LIFT, MAX_LIFT, len(inks))
    slope = rng.uniform(-MAX_SLOPE, MAX_SLOPE)
    width = sum(ink.shape[1] for ink in inks) + int(gaps.clip(0).sum())
    line = np.zeros((round(tallest + abs(slope) * width + 2 * height), width), np.uint8)
    edge = np.full(len(line), FAR_LEFT_PX)  # of each row: the column after its last stroke
    left = 0
    for ink, gap, lift in zip(inks, (0, *gaps), lifts, strict=True):
        bottom = round((len(line) + tallest) / 2 + slope * (left - width / 2) - lift)
        rows = slice(bottom - len(ink), bottom)
        left = _next_left(edge, rows, ink, gap)
        place = line[rows, left : left + ink.shape[1]]
        np.maximum(place, ink, out=place)
        edge[rows] = np.maximum(edge[rows], left + _last_columns(ink))
    return _cropped(line)


def _next_left(edge: NDArray[np.int_], rows: slice, ink: Page, gap: int) -> int:
    """Return the first column of a digit whose strokes are `gap` pixels, negative if they overlap, away."""
    reach = max(gap, 0)
    around = np.pad(edge, reach, constant_values=FAR_LEFT_PX)
    near = np.lib.stride_tricks.sliding_window_view(around, 2 * reach + 1).max(axis=1)
    strokes = ink >= STROKE_LEVEL
    first = np.where(strokes.any(axis=1), strokes.argmax(axis=1), -FAR_LEFT_PX)
    return max(0, int((near[rows] - first).max()) + gap)


def _last_columns(ink: Page) -> NDArray[np.int_]:
    """Return for each row the column after its last stroke."""
    strokes = ink >= STROKE_LEVEL
    after = ink.shape[1] - strokes[:, ::-1].argmax(axis=1)
    return np.where(strokes.any(axis=1), after, FAR_LEFT_PX)


def enlarged(image: Page, zoom: float) -> Page:
    large = cv2.resize(_cropped(image), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.uint8)


def _cropped(ink: Page) -> Page:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _light(shape: tuple[int, ...], shade: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the light on a page, 1 in its brightest corner, less by `shade` in the opposite one."""
    angle = rng.uniform(0, 2 * np.pi)
    down = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    across = np.linspace(-1, 1, shape[1], dtype=np.float32)[None] * np.float32(np.cos(angle))
    far = (down + across) / np.float32(abs(np.sin(angle)) + abs(np.cos(angle)))
    return np.asarray(1 - shade / 2 * (1 + far), np.float32)
