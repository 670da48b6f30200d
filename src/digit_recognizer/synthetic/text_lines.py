"""Lines of handwriting composed of single digits, some of which touch, with what is no digit among them."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import INK, SIDE, Digits
from digit_recognizer.imaging.normalise import BOX_PX
from digit_recognizer.imaging.strip import STRIP_HEIGHT_PX

Place = tuple[float, float]
Tile = NDArray[np.uint8]  # (h, w): one digit, 0 background to 255 ink

EDGE = 90  # grey level at the edge of a stroke
SIZES = 17.0, 28.0  # pixels of a strip's digit; a strip is made for 22
UNEVEN = (0.05, 0.15, 0.3)  # shares by which the digits of a line differ in size
ASPECT = 0.8, 1.25  # times as broad, all digits of a line
SMALL = 0.1, 0.5, 0.8  # share of digits that are small, and how small, of the others' size
TOUCHING = (0.0, 0.3, 0.8)  # shares of neighbours that touch
OVERLAP = -0.02, 0.14  # of the size, where they do
GAP, WIDEST = 0.08, (0.25, 0.6, 1.5)  # likewise, where they do not
STRANGERS = (0.0, 0.05, 0.25), (0.4, 0.4, 0.2)  # shares of marks that are no digits, and how often
UNSTEADY = 0.06  # of the size, standard deviation above and below the line
SLOPE = 0.03  # rows for each column, standard deviation; a strip is level, more or less
JOINED = 0.1  # share of near neighbours with a stroke between them
CHAINED = 0.4, 0.4  # share of hands that join the noughts of a price, and of these that are joined
EUROPEAN = 0.45  # share of lines in which a 1 has an upstroke and a 7 a bar
ROOM = 14  # pixels around an image, for strokes that are drawn on
REPEATED = 0.15  # share of digits that are the same as the one before
PRICES = 0.25  # share of lines that end in noughts
NOUGHTS = 0.45, 1.0  # size of these, of the other digits'
NEVER = 10**6  # digits
TRIES = 60  # digits of the data that are looked at for one of a label
NOWHERE = -(10**6)  # column left of everything


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A digit of a line: its label, its ink, and where that is."""

    label: int
    tile: Tile
    top: int
    left: int


@dataclass(slots=True, eq=False)
class WrittenLine:
    """A line as it is written, from left to right.

    Attributes
    ----------
    image
        uint8, shape (H, W): 0 background to 255 ink.
    digits
        Those that are there.
    """

    image: NDArray[np.uint8]
    digits: list[Placed] = field(default_factory=list)


def write_line(
    digits: Digits, strangers: NDArray[np.uint8], rng: np.random.Generator, *, width: int, zoom: float = 1.0
) -> WrittenLine:
    """Write a line with up to a dozen digits, as many as it has room for.

    Parameters
    ----------
    digits
        What it is composed of; with labels.
    strangers
        uint8, shape (M, 28, 28): what is no digit.
    rng
        Decides everything.
    width
        Pixels of a strip; its height is 40.
    zoom
        How many times larger everything is.
    """
    assert digits.labels is not None
    height, width = round(STRIP_HEIGHT_PX * zoom), round(width * zoom)
    hand = _Hand(rng, zoom)
    line = WrittenLine(np.zeros((height, width), np.uint8))
    edge = np.full(height, NOWHERE)  # of each row: the last column of ink
    left, before = round(rng.uniform(2, 20) * zoom), None
    for _ in range(rng.integers(1, 13)):
        row = hand.choose(digits.labels)
        is_digit = hand.in_noughts or rng.random() >= hand.strangers
        tile = (
            hand.digit(digits.images[row], int(digits.labels[row])) if is_digit else hand.stranger(strangers)
        )
        tile = tile[: height - 1]
        top = int(np.clip(hand.top(left - width / 2, len(tile)), 0, height - len(tile)))
        if before is not None:
            left = max(1, hand.left(edge, tile, top))
        if left + tile.shape[1] >= width:
            break
        _put(line.image, tile, top, left)
        if before is not None and left - before[0] < hand.size and rng.random() < hand.joined:
            _join(line.image, before, (left + tile.shape[1] // 3, top + len(tile) // 2), rng)
        edge[top : top + len(tile)] = np.maximum(edge[top : top + len(tile)], left + _last(tile))
        before = left + tile.shape[1], top + len(tile) // 2
        if is_digit:
            line.digits.append(Placed(int(digits.labels[row]), tile, top, left))
    return line


class _Hand:
    """How one line is written: the size, the slope, and how near its digits are to each other."""

    def __init__(self, rng: np.random.Generator, zoom: float) -> None:
        self._rng = rng
        self.size = zoom * rng.uniform(*SIZES)
        self.strangers = rng.choice(STRANGERS[0], p=STRANGERS[1])
        self._middle = zoom * (STRIP_HEIGHT_PX / 2 + rng.normal(0, 1.5))
        self._slope = rng.normal(0, SLOPE)
        self._uneven = rng.choice(UNEVEN)
        self._aspect = rng.uniform(*ASPECT)
        self._touching = rng.choice(TOUCHING)
        self._widest = rng.choice(WIDEST)
        self._label: int | None = None  # of the digit before
        self._first_nought = int(rng.integers(1, 6)) if rng.random() < PRICES else NEVER
        self._small = rng.uniform(*NOUGHTS)
        self.in_noughts = False
        self._chained = rng.random() < CHAINED[0]
        self._european = rng.random() < EUROPEAN

    @property
    def joined(self) -> float:
        """The share of near neighbours with a stroke between them."""
        return CHAINED[1] if self.in_noughts and self._chained else JOINED

    def choose(self, labels: NDArray[np.int64]) -> int:
        """Return which digit of the data is written next: any, the same one again, or a nought of a price."""
        self._first_nought -= 1
        self.in_noughts = self._first_nought < 0
        rows = self._rng.integers(len(labels), size=TRIES)
        wanted = 0 if self.in_noughts else self._label
        if wanted is not None and (self.in_noughts or self._rng.random() < REPEATED):
            rows = rows[np.argsort(labels[rows] != wanted, kind="stable")]
        self._label = int(labels[rows[0]])
        return int(rows[0])

    def digit(self, image: NDArray[np.uint8], label: int) -> Tile:
        """Return a digit in this hand's size, and perhaps as it is written in Europe."""
        rng = self._rng
        if self._european and label in (1, 7):
            image = _with_upstroke(image, rng) if label == 1 else _crossed(image, rng)
        zoom = self.size / BOX_PX * (1 + rng.uniform(-self._uneven, self._uneven))
        if self.in_noughts:
            zoom *= self._small
        elif rng.random() < SMALL[0]:
            zoom *= rng.uniform(*SMALL[1:])
        return _resized(_cropped(image), zoom, self._aspect * rng.uniform(0.85, 1.15))

    def stranger(self, images: NDArray[np.uint8]) -> Tile:
        """Return a point, a dash or one of some images, at most as large as a digit."""
        rng = self._rng
        if rng.random() < 0.65:
            zoom = self.size / BOX_PX * rng.uniform(0.6, 1.2)
            return _resized(_cropped(images[rng.integers(len(images))]), zoom, 1)
        broad = rng.uniform(0.1, 0.25) if rng.random() < 0.5 else rng.uniform(0.3, 1)
        height, width = (max(2, round(self.size * share)) for share in (rng.uniform(0.1, 0.25), broad))
        tile = np.zeros((height, width), np.uint8)
        cv2.ellipse(tile, (width // 2, height // 2), (width // 2, height // 2), 0, 0, 360, INK, -1)
        return tile

    def top(self, away: float, height: int) -> int:
        """Return the first row of what is `away` columns from the middle of the line."""
        low = self._rng.uniform(-0.1, 0.5) if height < self.size / 3 else 0.0
        course = self._middle + self._slope * away + self.size * (low + self._rng.normal(0, UNSTEADY))
        return round(course - height / 2)

    def left(self, edge: NDArray[np.int_], tile: Tile, top: int) -> int:
        """Return the column at which a tile touches what is before it, or keeps a distance.

        `edge` has the last column of ink of each row.
        """
        rng = self._rng
        before = edge[top : top + len(tile)]
        if rng.random() < self._touching:
            return int((before - _first(tile)).max() - rng.uniform(*OVERLAP) * self.size)
        reach = max(1, round(0.15 * self.size))
        padded = np.pad(edge, reach, constant_values=NOWHERE)
        near = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
        apart = int((near[top : top + len(tile)] - _first(tile)).max())
        return int(max(apart, 0) + rng.uniform(GAP, self._widest) * self.size)


def _with_upstroke(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the stroke that leads up to the top of a 1."""
    rows, columns = np.nonzero(image > EDGE)
    if not rows.size:
        return image
    top, height = int(rows.min()), int(np.ptp(rows)) + 1
    start = ROOM + float(columns[rows <= top + 1].mean()), ROOM + top + 0.5
    length, angle = rng.uniform(0.3, 1.05) * height, rng.uniform(0.2, 1.1)
    end = start[0] - length * np.sin(angle), start[1] + length * np.cos(angle)
    return _stroked(image, start, end, rng)


def _crossed(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw the bar through the middle of a 7."""
    rows, columns = np.nonzero(image > EDGE)
    if not rows.size:
        return image
    level = int(rows.min() + rng.uniform(0.4, 0.65) * np.ptp(rows))
    across = columns[np.abs(rows - level) <= 1]
    middle = float(across.mean()) if across.size else SIDE / 2
    half, slope = rng.uniform(3, 6), rng.uniform(-0.3, 0.3)
    start, end = ((ROOM + middle + way * half, ROOM + level - way * half * slope) for way in (-1, 1))
    return _stroked(image, start, end, rng)


def _stroked(
    image: NDArray[np.uint8], start: Place, end: Place, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw a stroke from one place, column and row, to another over an image with `ROOM` pixels around it."""
    page = np.pad(image, ROOM)
    inked = image > EDGE
    breadth = round(0.8 * inked.sum() / max(1, np.ptp(np.nonzero(inked)[0])))
    points = [(round(4 * column), round(4 * row)) for column, row in (start, end)]
    level, breadth = int(rng.uniform(200, INK)), min(4, max(1, breadth))
    stroke = cv2.line(np.zeros_like(page), points[0], points[1], level, breadth, cv2.LINE_AA, shift=2)
    return np.asarray(np.maximum(page, stroke), np.uint8)


def _resized(tile: Tile, zoom: float, aspect: float) -> Tile:
    size = max(2, round(tile.shape[1] * zoom * aspect)), max(2, round(tile.shape[0] * zoom))
    how = cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(tile, size, interpolation=how), np.uint8)


def _cropped(image: NDArray[np.uint8]) -> Tile:
    rows, columns = (np.flatnonzero((image > EDGE / 2).any(axis=axis)) for axis in (1, 0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if rows.size else image[:4, :4]


def _put(page: NDArray[np.uint8], tile: Tile, top: int, left: int) -> None:
    place = page[top : top + tile.shape[0], left : left + tile.shape[1]]
    np.maximum(place, tile, out=place)


def _join(
    page: NDArray[np.uint8], first: tuple[int, int], second: tuple[int, int], rng: np.random.Generator
) -> None:
    """Draw a thin stroke from one place, column and row, to another."""
    breadth = max(1, round(page.shape[0] / STRIP_HEIGHT_PX * rng.uniform(0.6, 2)))
    stroke = cv2.line(np.zeros_like(page), first, second, int(rng.uniform(150, INK)), breadth, cv2.LINE_AA)
    np.maximum(page, stroke, out=page)


def _first(tile: Tile) -> NDArray[np.int_]:
    """Return the first column of ink of each row; far to the right where there is none."""
    ink = tile > EDGE
    return np.where(ink.any(axis=1), ink.argmax(axis=1), -NOWHERE)


def _last(tile: Tile) -> NDArray[np.int_]:
    """Return the last column of ink of each row; far to the left where there is none."""
    ink = tile > EDGE
    return np.where(ink.any(axis=1), tile.shape[1] - 1 - ink[:, ::-1].argmax(axis=1), NOWHERE)
