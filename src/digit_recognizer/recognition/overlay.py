"""Draw a reading over its picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from digit_recognizer.reading import Box, Reading

CONFIDENT_COLOUR = (0, 102, 179)  # blue
UNCERTAIN_COLOUR = (213, 94, 0)  # orange
REJECTED_COLOUR = (130, 130, 130)  # grey
MIN_CONFIDENCE = 0.9  # below, a digit is drawn as uncertain
LABEL_HEIGHT_FRACTION = 0.5  # of the height of a box
MIN_LABEL_HEIGHT_PX = 10


def draw_reading(page: NDArray[np.uint8], reading: Reading) -> Image.Image:
    """Return a page, (H, W), in colour, with a box around each mark and each digit written above its box."""
    image = Image.fromarray(page).convert("RGB")
    draw = ImageDraw.Draw(image)
    line_width = max(1, round(max(page.shape) / 500))
    for box in reading.rejected:
        draw.rectangle(_corners(box), outline=REJECTED_COLOUR, width=line_width)
    for digit in reading.digits:
        colour = CONFIDENT_COLOUR if digit.confidence >= MIN_CONFIDENCE else UNCERTAIN_COLOUR
        draw.rectangle(_corners(digit.box), outline=colour, width=line_width)
        size = max(MIN_LABEL_HEIGHT_PX, round(LABEL_HEIGHT_FRACTION * digit.box.height))
        draw.text(
            (digit.box.x + digit.box.width / 2, max(digit.box.y - line_width, size)),
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
