"""Images of digits ► pages as people draw, scan and photograph them: one digit somewhere, or a string."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer import Digits
from digit_recognizer.digits import INK, SIDE

__all__ = ["StringPage", "digit_pages", "on_paper", "photo", "string_page", "string_pages"]

Page = NDArray[np.uint8]

ENLARGED = 1.0, 12.0  # times, a single digit
ROOM = 1.2, 3.0  # times its enlarged image: each side of its page
LENGTHS = 2, 10  # digits of a string
ZOOM = 1.6, 4.0  # times, a string's digits: 32 to 80 pixels high
UNEVEN = 0.1  # share by which digits of a string differ in size
HEIGHT = 20  # pixels; MNIST's digits before they are enlarged
GAP = 0.1, 0.6  # of a digit's height, between the ink of neighbours
OVERLAP = 0.02, 0.12  # likewise, where they touch
UNSTEADY = 0.08  # likewise, above or below the line
STEEPEST = 0.1  # rows for each column by which a line slopes
MARGIN = 0.4, 1.5  # of a digit's height, around a string
STROKE = INK // 2  # ink from which a pixel belongs to a stroke
NOWHERE = -(10**6)  # column left of everything
PAPERS = {"white": (240, 255), "grey": (140, 210), "dark": (15, 70)}  # grey levels
CONTRAST = 0.6, 1.0  # of the way from the paper's grey to black, or white on dark paper
SHADE = 0.35  # of the light: what a page's darkest corner lacks at most
NOISE = 5.0  # grey levels, standard deviation at most
BLUR = 0.3, 1.0  # pixels, standard deviation
PHOTO = 3000, 4000  # rows and columns: 12 megapixels
PHOTO_ZOOM = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class StringPage:
    """A page, uint8 (height, width), 0 black to 255 white, and the digits on it."""

    page: Page
    text: str


def digit_pages(images: NDArray[np.uint8], seed: int) -> Iterator[Page]:
    """Give a page for each image: enlarged, on white or black paper, in a corner or anywhere."""
    for number, image in enumerate(images):
        yield _digit_page(image, np.random.default_rng([seed, number]))


def string_pages(digits: Digits, count: int, touching: float, seed: int) -> Iterator[StringPage]:
    """Give strings of digits; `touching` is the share of neighbours whose ink is in contact."""
    for number in range(count):
        yield string_page(digits, touching, np.random.default_rng([seed, number]))


def string_page(digits: Digits, touching: float, rng: np.random.Generator) -> StringPage:
    """Write 2 to 10 digits in a line, more or less level, on some paper."""
    assert digits.labels is not None
    rows = rng.integers(len(digits), size=rng.integers(LENGTHS[0], LENGTHS[1] + 1))
    zoom = rng.uniform(*ZOOM)
    touches = rng.random(len(rows) - 1) < touching
    ink = _written(digits.images[rows], touches, zoom, rng)
    margins = [(round(rng.uniform(*MARGIN) * HEIGHT * zoom),) * 2 for _ in ink.shape]
    text = "".join(map(str, digits.labels[rows]))
    return StringPage(on_paper(np.pad(ink, margins), rng), text)


def photo(images: NDArray[np.uint8], rng: np.random.Generator) -> Page:
    """Return a photo of 12 megapixels: the images, uint8 (N, 28, 28), in a line on shaded paper."""
    ink = _written(images, np.zeros(len(images) - 1, bool), PHOTO_ZOOM, rng)
    sheet = np.zeros(PHOTO, np.uint8)
    top, left = ((PHOTO[axis] - ink.shape[axis]) // 2 for axis in (0, 1))
    sheet[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return on_paper(sheet, rng, SHADE)


def on_paper(ink: Page, rng: np.random.Generator, least_shade: float = 0.0) -> Page:
    """Put ink on white, grey or dark paper, in uneven light, a little blurred and noisy.

    Parameters
    ----------
    ink
        uint8, shape (height, width): 0 none to 255 full.
    least_shade
        Share of the light that the darkest corner lacks at least, up to 0.35.

    Returns
    -------
    Page
        uint8, of the same shape: 0 black to 255 white.
    """
    kind = str(rng.choice(list(PAPERS)))
    paper, end = rng.uniform(*PAPERS[kind]), INK if kind == "dark" else 0
    share = cv2.GaussianBlur(ink.astype(np.float32) / INK, (0, 0), rng.uniform(*BLUR))
    grey = paper + share * np.float32((end - paper) * rng.uniform(*CONTRAST))
    grey *= _light(ink.shape, rng.uniform(least_shade, SHADE), rng)
    grey += rng.uniform(0, NOISE) * rng.standard_normal(ink.shape, np.float32)
    return np.asarray(grey.clip(0, INK), np.uint8)


def _digit_page(image: Page, rng: np.random.Generator) -> Page:
    how = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_NEAREST
    side = round(SIDE * rng.uniform(*ENLARGED))
    in_corner, on_dark = rng.random(2) < 0.5
    ink = np.zeros([round(side * rng.uniform(*ROOM)) for _ in range(2)], np.uint8)
    rooms = [length - side for length in ink.shape]
    top, left = (int(rng.choice([0, room]) if in_corner else rng.integers(room + 1)) for room in rooms)
    ink[top : top + side, left : left + side] = cv2.resize(image, (side, side), interpolation=how)
    return ink if on_dark else np.asarray(INK - ink, np.uint8)


def _written(
    images: NDArray[np.uint8], touches: NDArray[np.bool_], zoom: float, rng: np.random.Generator
) -> Page:
    """Return the ink of a line of digits, each as near to those before it as it should be."""
    inks = [_enlarged(image, zoom * rng.uniform(1 - UNEVEN, 1 + UNEVEN)) for image in images]
    height, tallest = HEIGHT * zoom, max(len(ink) for ink in inks)
    apart, overlap = (rng.uniform(*ends, len(touches)) for ends in (GAP, OVERLAP))
    gaps = np.rint(height * np.where(touches, -overlap, apart)).astype(int)
    lifts = height * rng.uniform(-UNSTEADY, UNSTEADY, len(inks))
    slope = rng.uniform(-STEEPEST, STEEPEST)
    width = sum(ink.shape[1] for ink in inks) + int(gaps.clip(0).sum())
    line = np.zeros((round(tallest + abs(slope) * width + 2 * height), width), np.uint8)
    edge = np.full(len(line), NOWHERE)  # of each row: the column behind its last stroke
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
    """Return where a digit begins whose strokes are to be `gap` pixels off; less than 0 overlap."""
    reach = max(gap, 0)
    around = np.pad(edge, reach, constant_values=NOWHERE)
    near = np.lib.stride_tricks.sliding_window_view(around, 2 * reach + 1).max(axis=1)
    strokes = ink >= STROKE
    first = np.where(strokes.any(axis=1), strokes.argmax(axis=1), -NOWHERE)
    return max(0, int((near[rows] - first).max()) + gap)


def _last_columns(ink: Page) -> NDArray[np.int_]:
    """Return for each row the column behind its last stroke."""
    strokes = ink >= STROKE
    behind = ink.shape[1] - strokes[:, ::-1].argmax(axis=1)
    return np.where(strokes.any(axis=1), behind, NOWHERE)


def _enlarged(image: Page, zoom: float) -> Page:
    large = cv2.resize(_cropped(image), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.uint8)


def _cropped(ink: Page) -> Page:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _light(shape: tuple[int, ...], shade: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the light on a page, 1 in its brightest corner, falling evenly by `shade` in some direction."""
    angle = rng.uniform(0, 2 * np.pi)
    down = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    across = np.linspace(-1, 1, shape[1], dtype=np.float32)[None] * np.float32(np.cos(angle))
    far = (down + across) / np.float32(abs(np.sin(angle)) + abs(np.cos(angle)))
    return np.asarray(1 - shade / 2 * (1 + far), np.float32)
