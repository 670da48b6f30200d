"""A picture with what was read in it drawn over it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from digit_recognizer.reading import Box, Reading

READ, UNSURE, REJECTED = (0, 102, 179), (213, 94, 0), (130, 130, 130)  # blue, vermilion, grey
SURE = 0.9  # confidence from which a digit is drawn as read without doubt
LETTERS = 0.5  # of a box's height


def draw_reading(page: NDArray[np.uint8], reading: Reading) -> Image.Image:
    """Draw each digit in its box, blue, or orange where it is unsure, and rejected marks in grey.

    Parameters
    ----------
    page
        uint8, shape (height, width), as it was read.
    reading
        With boxes in the page's pixels.

    Returns
    -------
    Image.Image
        In colour, as large as the page; the digits stand over their boxes.
    """
    image = Image.fromarray(page).convert("RGB")
    draw = ImageDraw.Draw(image)
    breadth = max(1, round(max(page.shape) / 500))
    for box in reading.rejected:
        draw.rectangle(_corners(box), outline=REJECTED, width=breadth)
    for digit in reading.digits:
        colour = READ if digit.confidence >= SURE else UNSURE
        draw.rectangle(_corners(digit.box), outline=colour, width=breadth)
        size = max(10, round(LETTERS * digit.box.height))
        place = (digit.box.x + digit.box.width / 2, max(digit.box.y - breadth, size))
        draw.text(
            place,
            str(digit.digit),
            fill=colour,
            font=ImageFont.load_default(size),
            anchor="ms",
            stroke_width=max(1, size // 12),
            stroke_fill="white",
        )
    return image


def _corners(box: Box) -> tuple[int, int, int, int]:
    return box.x, box.y, box.x + box.width - 1, box.y + box.height - 1
