"""Draw boxes over a page, and labels beside them that cover nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from digit_recognizer.reading.characters import Box

Colour = tuple[int, int, int]
Corners = tuple[float, float, float, float]  # left, top, right, bottom
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

CONFIDENT: Colour = (0, 102, 179)  # blue
UNCERTAIN: Colour = (213, 94, 0)  # orange
REJECTED: Colour = (130, 130, 130)  # grey
LINES_PER_SIDE = 500  # the longer side of the page in widths of a line
LABELS_PER_SIDE = 100  # the longer side of the page in heights of the smallest label
LABEL_HEIGHT_FRACTION = 0.5  # of the usual height of the boxes that have labels
MIN_LABEL_HEIGHT_PX = 10
STROKE_FRACTION = 1 / 12  # of a label's height: its white outline


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

    A label is above its box, or below, on the right or on the left of it, where it covers no frame and no
    other label; if it covers one everywhere, it is where it covers least.
    """
    image = Image.fromarray(page).convert("RGB")
    draw = ImageDraw.Draw(image)
    line_width = max(1, round(max(page.shape) / LINES_PER_SIDE))
    for box, colour in frames:
        corners = (box.x, box.y, box.right - 1, box.bottom - 1)
        draw.rectangle(corners, outline=colour, width=line_width)
    if not labels:
        return image
    size = _label_height(page, labels)
    font, stroke = ImageFont.load_default(size), max(1, round(STROKE_FRACTION * size))
    taken = [_corners(box) for box, _ in frames]
    for label in labels:
        left, top, right, bottom = draw.textbbox((0, 0), label.text, font=font, stroke_width=stroke)
        places = _places(label.box, right - left, bottom - top, line_width, image.size)
        place = _freest(places, taken)
        taken.append(place)
        draw.text(
            (place[0] - left, place[1] - top),
            label.text,
            fill=label.colour,
            font=font,
            stroke_width=stroke,
            stroke_fill="white",
        )
    return image


def _label_height(page: NDArray[np.uint8], labels: Sequence[Label]) -> int:
    usual = median(label.box.height for label in labels)
    longer_side: int = max(page.shape)
    return max(MIN_LABEL_HEIGHT_PX, round(LABEL_HEIGHT_FRACTION * usual), longer_side // LABELS_PER_SIDE)


def _corners(box: Box) -> Corners:
    return box.x, box.y, box.right, box.bottom


def _places(box: Box, width: float, height: float, gap: int, size: tuple[int, int]) -> list[Corners]:
    """Return the places of a label beside a box, moved into a page of a size (width, height)."""
    left, top, right, bottom = _corners(box)
    centred, level = left + (box.width - width) / 2, top + (box.height - height) / 2
    beginnings = [
        (centred, top - gap - height),
        (centred, bottom + gap),
        (right + gap, level),
        (left - gap - width, level),
    ]
    places = []
    for x, y in beginnings:
        inside = max(0.0, min(x, size[0] - width)), max(0.0, min(y, size[1] - height))
        places.append((*inside, inside[0] + width, inside[1] + height))
    return places


def _freest(places: Sequence[Corners], taken: Sequence[Corners]) -> Corners:
    """Return the place that covers least of what is taken; the first of equal ones."""
    others = np.array(taken, float).reshape(-1, 4)  # (N, 4)
    covered = []
    for place in places:
        width = np.minimum(place[2], others[:, 2]) - np.maximum(place[0], others[:, 0])
        height = np.minimum(place[3], others[:, 3]) - np.maximum(place[1], others[:, 1])
        covered.append(float((width.clip(0) * height.clip(0)).sum()))
    return places[int(np.argmin(covered))]
