"""Draw boxes over a page, and labels beside them that do not cover each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from digit_recognizer.reading.characters import Box

Colour = tuple[int, int, int]
Corners = tuple[float, float, float, float]  # left, top, right, bottom

CONFIDENT: Colour = (0, 102, 179)  # blue
UNCERTAIN: Colour = (213, 94, 0)  # orange
REJECTED: Colour = (130, 130, 130)  # grey
LINES_PER_SIDE = 500  # the longer side of the page in widths of a line
LABELS_PER_SIDE = 100  # the longer side of the page in heights of the smallest label
LABEL_HEIGHT_FRACTION = 0.5  # of the usual height of the boxes that have labels
MIN_LABEL_HEIGHT_PX = 10
MIN_CROWDED_HEIGHT_PX = 6  # likewise, if labels would overlap otherwise
SHRINKING = 0.8  # of the height of all labels, until there is room for each
STROKE_FRACTION = 1 / 12  # of a label's height: its white outline
NEAR = 4  # how many widths and heights of a label it may be beside its box, before the whole page is searched


@dataclass(frozen=True, slots=True)
class Label:
    """A text, and the box beside which it is written."""

    text: str
    box: Box
    colour: Colour


def draw_overlay(
    page: NDArray[np.uint8], frames: Sequence[tuple[Box, Colour]], labels: Sequence[Label]
) -> Image.Image:
    """Return a page, (H, W), in colour, with frames around boxes, and labels.

    A label is above its box, or below, on the right or on the left of it, where it covers least of the
    frames. If these places have other labels, it is at the nearest free place that covers least, and a line
    leads to it. Labels overlap neither each other nor the edge of the page: if there is no room, all are
    smaller, and if even the smallest do not fit, the last ones are left out.
    """
    image = Image.fromarray(page).convert("RGB")
    draw = ImageDraw.Draw(image)
    line_width = max(1, round(max(page.shape) / LINES_PER_SIDE))
    for box, colour in frames:
        corners = (box.x, box.y, box.right - 1, box.bottom - 1)
        draw.rectangle(corners, outline=colour, width=line_width)
    if not labels:
        return image
    covered = [_corners(box) for box, _ in frames]
    for height in _heights(page, labels):
        font, stroke = ImageFont.load_default(height), max(1, round(STROKE_FRACTION * height))
        drawn = [draw.textbbox((0, 0), each.text, font=font, stroke_width=stroke) for each in labels]
        sizes = [(right - left, bottom - top) for left, top, right, bottom in drawn]
        places = place_labels([each.box for each in labels], sizes, covered, image.size, line_width)
        if None not in places:
            break
    placed = [
        (label, (place[0] - left, place[1] - top), place)
        for label, (left, top, _, _), place in zip(labels, drawn, places, strict=True)
        if place is not None
    ]
    for label, _, place in placed:
        _draw_leader(draw, label, place, line_width)
    for label, beginning, _ in placed:
        draw.text(
            beginning,
            label.text,
            fill=label.colour,
            font=font,
            stroke_width=stroke,
            stroke_fill="white",
        )
    return image


def place_labels(
    boxes: Sequence[Box],
    sizes: Sequence[tuple[float, float]],
    covered: Sequence[Corners],
    page: tuple[int, int],
    gap: int,
) -> list[Corners | None]:
    """Return where the labels of boxes are; None for those for which there is no room.

    `sizes` are those of the labels, `covered` is what they should not cover, and `page` is the size of the
    page: its width and its height.
    """
    frames = np.array(covered, float).reshape(-1, 4)  # (N, 4)
    taken = np.empty((0, 4))
    places: list[Corners | None] = []
    for box, size in zip(boxes, sizes, strict=True):
        place = None
        if size[0] <= page[0] and size[1] <= page[1]:
            options = (_beside(box, size, page, gap), _near(box, size, page), _anywhere(box, size, page))
            place = next(filter(None, (_freest(each, taken, frames) for each in options)), None)
        if place is not None:
            taken = np.vstack([taken, place])
        places.append(place)
    return places


def _heights(page: NDArray[np.uint8], labels: Sequence[Label]) -> Iterator[int]:
    """Yield the heights that labels may have, from the one that they should have to the smallest."""
    usual = median(label.box.height for label in labels)
    longer_side: int = max(page.shape)
    height = max(MIN_LABEL_HEIGHT_PX, round(LABEL_HEIGHT_FRACTION * usual), longer_side // LABELS_PER_SIDE)
    while height > MIN_CROWDED_HEIGHT_PX:
        yield height
        height = int(SHRINKING * height)
    yield MIN_CROWDED_HEIGHT_PX


def _corners(box: Box) -> Corners:
    return box.x, box.y, box.right, box.bottom


def _beside(box: Box, size: tuple[float, float], page: tuple[int, int], gap: int) -> NDArray[np.float64]:
    """Return the places, (4, 4), of a label on the four sides of a box, moved into the page."""
    (left, top, right, bottom), (width, height) = _corners(box), size
    centred, level = left + (box.width - width) / 2, top + (box.height - height) / 2
    beginnings = np.array(
        [
            (centred, top - gap - height),
            (centred, bottom + gap),
            (right + gap, level),
            (left - gap - width, level),
        ]
    )
    return _with_size(beginnings.clip(0, np.subtract(page, size)), size)


def _near(box: Box, size: tuple[float, float], page: tuple[int, int]) -> NDArray[np.float64]:
    """Return places of a label around a box, the nearest first."""
    steps = np.arange(-2 * NEAR, 2 * NEAR + 1) / 2
    return _grid(box, size, page, steps * size[0], steps * size[1])


def _anywhere(box: Box, size: tuple[float, float], page: tuple[int, int]) -> NDArray[np.float64]:
    """Return places of a label on the whole page, the nearest to a box first."""
    middle = np.add(_corners(box)[:2], _corners(box)[2:]) / 2
    across, down = (
        np.arange(0, room - length + 1, max(length / 2, 1)) + length / 2 - centre
        for room, length, centre in zip(page, size, middle, strict=True)
    )
    return _grid(box, size, page, across, down)


def _grid(
    box: Box,
    size: tuple[float, float],
    page: tuple[int, int],
    across: NDArray[np.float64],
    down: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the places, (N, 4), whose middles are so far from a box's middle, and which are on the page."""
    offsets = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)  # (N, 2)
    offsets = offsets[np.argsort(np.hypot(*offsets.T), kind="stable")]
    middle = np.add(_corners(box)[:2], _corners(box)[2:]) / 2
    places = _with_size(middle + offsets - np.divide(size, 2), size)
    return places[(places[:, :2] >= 0).all(axis=1) & (places[:, 2:] <= page).all(axis=1)]


def _with_size(beginnings: NDArray[np.float64], size: tuple[float, float]) -> NDArray[np.float64]:
    return np.hstack([beginnings, beginnings + size])


def _freest(
    places: NDArray[np.float64], taken: NDArray[np.float64], frames: NDArray[np.float64]
) -> Corners | None:
    """Return the first of the places that cover no label and least of the frames; None if there is none."""
    free = places[_covered(places, taken) == 0]
    if not len(free):
        return None
    left, top, right, bottom = free[int(np.argmin(_covered(free, frames)))].tolist()
    return left, top, right, bottom


def _covered(places: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many pixels of others, (M, 4), each of places, (N, 4), covers."""
    first, last = (
        np.maximum(places[:, None, :2], others[:, :2]),
        np.minimum(places[:, None, 2:], others[:, 2:]),
    )
    common: NDArray[np.float64] = (last - first).clip(0).prod(axis=2).sum(axis=1)  # (N, M, 2) → (N,)
    return common


def _draw_leader(draw: ImageDraw.ImageDraw, label: Label, place: Corners, line_width: int) -> None:
    """Draw a line from a box to its label, unless they are side by side."""
    box = _corners(label.box)
    distance = max(box[0] - place[2], place[0] - box[2], box[1] - place[3], place[1] - box[3])
    if distance > place[3] - place[1]:
        ends = [((each[0] + each[2]) / 2, (each[1] + each[3]) / 2) for each in (box, place)]
        draw.line(ends, fill=label.colour, width=line_width)
