"""Compose handwritten lines from single digits, some of which touch, with non-digits among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import INK, SIDE, Digits
from digit_recognizer.imaging.normalise import BOX_PX
from digit_recognizer.imaging.strip import STRIP_HEIGHT_PX

Point = tuple[float, float]  # column and row
Tile = NDArray[np.uint8]  # (h, w): one digit, 0 background to 255 ink

STROKE_LEVEL = 90  # grey level from which a pixel belongs to a stroke
MAX_MARKS = 12  # digits and non-digits of a line
DIGIT_HEIGHT_RANGE_PX = (17.0, 28.0)  # in a strip, which is normalised to 22
SIZE_SPREADS = (0.05, 0.15, 0.3)  # fractions by which the digits of a line may differ in size
ASPECT_RANGE = (0.8, 1.25)  # relative width of all digits of a line
P_SMALL = 0.1  # digits that are smaller than the others
SMALL_SIZE_RANGE = (0.5, 0.8)  # of the others' size
P_TOUCHING = (0.0, 0.3, 0.8)  # neighbours that touch, one of these in each line
OVERLAP_RANGE = (-0.02, 0.14)  # of the digit height, between neighbours that touch
MIN_GAP = 0.08  # of the digit height, between neighbours that do not touch
MAX_GAPS = (0.25, 0.6, 1.5)  # likewise, one of these in each line
P_NON_DIGIT = (0.0, 0.05, 0.25)  # marks that are non-digits, one of these in each line
P_NON_DIGIT_WEIGHTS = (0.4, 0.4, 0.2)
VERTICAL_SIGMA = 0.06  # of the digit height: deviation from the base line
SLOPE_SIGMA = 0.03  # rows per column; a strip is only roughly level
P_JOINED = 0.1  # near neighbours with a connecting stroke
P_STYLE_JOINS_ZEROS = 0.4  # lines whose zeros at the end of a price are connected
P_ZEROS_JOINED = 0.4  # neighbouring zeros in such a line
P_EUROPEAN = 0.45  # lines in which a 1 has a serif and a 7 is crossed
P_REPEATED = 0.15  # digits that repeat the one before
P_PRICE = 0.25  # lines that end in zeros
ZERO_SIZE_RANGE = (0.45, 1.0)  # of these zeros, relative to the other digits
CANDIDATES = 60  # random digits among which one with a wanted label is sought
NEVER = 10**6  # index of a digit that no line reaches
STROKE_MARGIN_PX = 14  # around an image, for additional strokes
FAR_LEFT_PX = -(10**6)  # left of every line


@dataclass(frozen=True, slots=True, eq=False)
class PlacedDigit:
    """A digit of a composed line: its label, its ink, and its position."""

    label: int
    tile: Tile
    top: int
    left: int


@dataclass(frozen=True, slots=True, eq=False)
class ComposedLine:
    """A composed line and its digits from left to right."""

    image: NDArray[np.uint8]  # (H, W), 0 background to 255 ink
    digits: Sequence[PlacedDigit]


@dataclass(frozen=True, slots=True)
class TextLineStyle:
    """The handwriting of one line; distances are in pixels, or in fractions of `size`."""

    size: float  # height of a digit
    p_non_digit: float
    middle: float  # row of the middle of the line
    slope: float  # rows per column
    size_spread: float
    aspect: float
    p_touching: float
    max_gap: float
    marks_before_zeros: int
    zero_size: float
    joins_zeros: bool
    is_european: bool


def compose_line(
    digits: Digits, non_digits: NDArray[np.uint8], rng: np.random.Generator, *, width: int, zoom: float = 1.0
) -> ComposedLine:
    """Compose a line of up to 12 labelled digits and non-digits, (M, 28, 28), as many as it has room for.

    The line is 40 · `zoom` pixels high and `width` · `zoom` wide.
    """
    height, width = round(STRIP_HEIGHT_PX * zoom), round(width * zoom)
    writer = _Writer(digits, non_digits, rng, _sample_style(rng, zoom))
    image, placed = np.zeros((height, width), np.uint8), []
    edge = np.full(height, FAR_LEFT_PX)  # last column of ink in each row
    left, previous = round(rng.uniform(2, 20) * zoom), None
    for _ in range(rng.integers(1, MAX_MARKS + 1)):
        tile, label = writer.next_mark()
        tile = tile[: height - 1]
        top = int(np.clip(writer.top(left - width / 2, len(tile)), 0, height - len(tile)))
        if previous is not None:
            left = max(1, writer.left(edge, tile, top))
        if left + tile.shape[1] >= width:
            break
        _paste(image, tile, top, left)
        if previous is not None and writer.joins(left - previous[0]):
            _draw_join(image, previous, (left + tile.shape[1] // 3, top + len(tile) // 2), rng)
        edge[top : top + len(tile)] = np.maximum(edge[top : top + len(tile)], left + _last_columns(tile))
        previous = left + tile.shape[1], top + len(tile) // 2
        if label is not None:
            placed.append(PlacedDigit(label, tile, top, left))
    return ComposedLine(image, placed)


def _sample_style(rng: np.random.Generator, zoom: float) -> TextLineStyle:
    return TextLineStyle(
        size=zoom * rng.uniform(*DIGIT_HEIGHT_RANGE_PX),
        p_non_digit=rng.choice(P_NON_DIGIT, p=P_NON_DIGIT_WEIGHTS),
        middle=zoom * (STRIP_HEIGHT_PX / 2 + rng.normal(0, 1.5)),
        slope=rng.normal(0, SLOPE_SIGMA),
        size_spread=rng.choice(SIZE_SPREADS),
        aspect=rng.uniform(*ASPECT_RANGE),
        p_touching=rng.choice(P_TOUCHING),
        max_gap=rng.choice(MAX_GAPS),
        marks_before_zeros=int(rng.integers(1, 6)) if rng.random() < P_PRICE else NEVER,
        zero_size=rng.uniform(*ZERO_SIZE_RANGE),
        joins_zeros=rng.random() < P_STYLE_JOINS_ZEROS,
        is_european=rng.random() < P_EUROPEAN,
    )


class _Writer:
    """Chooses the marks of one line, and where they are placed."""

    def __init__(
        self, digits: Digits, non_digits: NDArray[np.uint8], rng: np.random.Generator, style: TextLineStyle
    ) -> None:
        assert digits.labels is not None
        self._images, self._labels, self._non_digits = digits.images, digits.labels, non_digits
        self._rng, self._style = rng, style
        self._previous_label: int | None = None
        self._chosen = 0

    @property
    def _in_zeros(self) -> bool:
        return self._chosen > self._style.marks_before_zeros

    def next_mark(self) -> tuple[Tile, int | None]:
        """Return the next digit and its label, or a non-digit and None."""
        row = self._choose_digit()
        if self._in_zeros or self._rng.random() >= self._style.p_non_digit:
            label = int(self._labels[row])
            return self._write_digit(self._images[row], label), label
        return self._write_non_digit(), None

    def _choose_digit(self) -> int:
        """Return the row of the next digit: any, one with the previous label, or a zero of a price."""
        self._chosen += 1
        rows = self._rng.integers(len(self._labels), size=CANDIDATES)
        wanted = 0 if self._in_zeros else self._previous_label
        if wanted is not None and (self._in_zeros or self._rng.random() < P_REPEATED):
            rows = rows[np.argsort(self._labels[rows] != wanted, kind="stable")]
        self._previous_label = int(self._labels[rows[0]])
        return int(rows[0])

    def _write_digit(self, image: NDArray[np.uint8], label: int) -> Tile:
        """Return a digit in the size of this line, possibly in its European form."""
        rng, style = self._rng, self._style
        if style.is_european and label in (1, 7):
            image = _add_serif_to_1(image, rng) if label == 1 else _cross_7(image, rng)
        zoom = style.size / BOX_PX * (1 + rng.uniform(-style.size_spread, style.size_spread))
        if self._in_zeros:
            zoom *= style.zero_size
        elif rng.random() < P_SMALL:
            zoom *= rng.uniform(*SMALL_SIZE_RANGE)
        return _resize(_crop(image), zoom, style.aspect * rng.uniform(0.85, 1.15))

    def _write_non_digit(self) -> Tile:
        """Return a point, a dash or one of the non-digits, at most as large as a digit."""
        rng, size = self._rng, self._style.size
        if rng.random() < 0.65:
            zoom = size / BOX_PX * rng.uniform(0.6, 1.2)
            return _resize(_crop(self._non_digits[rng.integers(len(self._non_digits))]), zoom, 1)
        width_fraction = rng.uniform(0.1, 0.25) if rng.random() < 0.5 else rng.uniform(0.3, 1)
        height, width = (max(2, round(size * each)) for each in (rng.uniform(0.1, 0.25), width_fraction))
        tile = np.zeros((height, width), np.uint8)
        cv2.ellipse(tile, (width // 2, height // 2), (width // 2, height // 2), 0, 0, 360, INK, -1)
        return tile

    def top(self, offset: float, height: int) -> int:
        """Return the first row of a mark that is `offset` columns from the middle of the line."""
        style = self._style
        lowered = self._rng.uniform(-0.1, 0.5) if height < style.size / 3 else 0.0
        deviation = style.size * (lowered + self._rng.normal(0, VERTICAL_SIGMA))
        return round(style.middle + style.slope * offset + deviation - height / 2)

    def left(self, edge: NDArray[np.int_], tile: Tile, top: int) -> int:
        """Return the column at which a tile touches the marks before it, or keeps a distance.

        `edge` is the last column of ink in each row.
        """
        rng, style = self._rng, self._style
        before = edge[top : top + len(tile)]
        if rng.random() < style.p_touching:
            return int((before - _first_columns(tile)).max() - rng.uniform(*OVERLAP_RANGE) * style.size)
        reach = max(1, round(0.15 * style.size))
        padded = np.pad(edge, reach, constant_values=FAR_LEFT_PX)
        near = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
        apart = int((near[top : top + len(tile)] - _first_columns(tile)).max())
        return int(max(apart, 0) + rng.uniform(MIN_GAP, style.max_gap) * style.size)

    def joins(self, gap: int) -> bool:
        """Return whether a stroke connects a mark with the one before, `gap` columns away."""
        p_joined = P_ZEROS_JOINED if self._in_zeros and self._style.joins_zeros else P_JOINED
        return bool(gap < self._style.size and self._rng.random() < p_joined)


def _add_serif_to_1(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the stroke that leads up to the top of a European 1."""
    rows, columns = np.nonzero(image > STROKE_LEVEL)
    if not rows.size:
        return image
    top, height = int(rows.min()), int(np.ptp(rows)) + 1
    start = STROKE_MARGIN_PX + float(columns[rows <= top + 1].mean()), STROKE_MARGIN_PX + top + 0.5
    length, angle = rng.uniform(0.3, 1.05) * height, rng.uniform(0.2, 1.1)
    end = start[0] - length * np.sin(angle), start[1] + length * np.cos(angle)
    return _add_stroke(image, start, end, rng)


def _cross_7(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the bar through the middle of a European 7."""
    rows, columns = np.nonzero(image > STROKE_LEVEL)
    if not rows.size:
        return image
    row = int(rows.min() + rng.uniform(0.4, 0.65) * np.ptp(rows))
    crossed = columns[np.abs(rows - row) <= 1]
    middle = float(crossed.mean()) if crossed.size else SIDE / 2
    half, slope = rng.uniform(3, 6), rng.uniform(-0.3, 0.3)
    start, end = (
        (STROKE_MARGIN_PX + middle + side * half, STROKE_MARGIN_PX + row - side * half * slope)
        for side in (-1, 1)
    )
    return _add_stroke(image, start, end, rng)


def _add_stroke(
    image: NDArray[np.uint8], start: Point, end: Point, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw a stroke, in the stroke width of the image, over the image with a margin around it."""
    padded = np.pad(image, STROKE_MARGIN_PX)
    inked = image > STROKE_LEVEL
    stroke_width = round(0.8 * inked.sum() / max(1, np.ptp(np.nonzero(inked)[0])))
    points = [(round(4 * column), round(4 * row)) for column, row in (start, end)]
    level, stroke_width = int(rng.uniform(200, INK)), min(4, max(1, stroke_width))
    stroke = cv2.line(np.zeros_like(padded), points[0], points[1], level, stroke_width, cv2.LINE_AA, shift=2)
    return np.asarray(np.maximum(padded, stroke), np.uint8)


def _draw_join(
    image: NDArray[np.uint8], start: tuple[int, int], end: tuple[int, int], rng: np.random.Generator
) -> None:
    """Draw a thin stroke between two points."""
    stroke_width = max(1, round(image.shape[0] / STRIP_HEIGHT_PX * rng.uniform(0.6, 2)))
    level = int(rng.uniform(150, INK))
    stroke = cv2.line(np.zeros_like(image), start, end, level, stroke_width, cv2.LINE_AA)
    np.maximum(image, stroke, out=image)


def _resize(tile: Tile, zoom: float, aspect: float) -> Tile:
    size = max(2, round(tile.shape[1] * zoom * aspect)), max(2, round(tile.shape[0] * zoom))
    interpolation = cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(tile, size, interpolation=interpolation), np.uint8)


def _crop(image: NDArray[np.uint8]) -> Tile:
    rows, columns = (np.flatnonzero((image > STROKE_LEVEL / 2).any(axis=axis)) for axis in (1, 0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if rows.size else image[:4, :4]


def _paste(image: NDArray[np.uint8], tile: Tile, top: int, left: int) -> None:
    place = image[top : top + tile.shape[0], left : left + tile.shape[1]]
    np.maximum(place, tile, out=place)


def _first_columns(tile: Tile) -> NDArray[np.int_]:
    """Return the first column of ink in each row, far to the right if it has none."""
    ink = tile > STROKE_LEVEL
    return np.where(ink.any(axis=1), ink.argmax(axis=1), -FAR_LEFT_PX)


def _last_columns(tile: Tile) -> NDArray[np.int_]:
    """Return the last column of ink in each row, far to the left if it has none."""
    ink = tile > STROKE_LEVEL
    return np.where(ink.any(axis=1), tile.shape[1] - 1 - ink[:, ::-1].argmax(axis=1), FAR_LEFT_PX)
