"""The image of a found character and of what is around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import INK
from digit_recognizer.imaging.resize import resize

REGION_SIDE_PX = 48  # of the image
REGION_WIDTH = 2.0  # of the square that is seen, relative to the longer side of the character's box
MIN_SIDE_EM = 0.5  # of what counts as that side: points are seen with their surroundings
MIN_SQUARE_PX = 2


def region_image(
    page: NDArray[np.uint8], left: int, top: int, right: int, bottom: int, em: float
) -> NDArray[np.uint8]:
    """Return the square around a box of a page, (H, W), and where the box is: uint8, (2, 48, 48).

    The first part is grey, as the page, which continues beyond its edges as they are; the second is 255 in
    the box and 0 around it. `em` is the height of a digit of the same number, in pixels of the page.
    """
    sides = bottom - top, right - left
    side = max(MIN_SQUARE_PX, round(REGION_WIDTH * max(*sides, MIN_SIDE_EM * em)))
    starts = round((top + bottom - side) / 2), round((left + right - side) / 2)
    rows, columns = (
        np.arange(start, start + side).clip(0, length - 1)
        for start, length in zip(starts, page.shape, strict=True)
    )
    square = resize(page[np.ix_(rows, columns)], REGION_SIDE_PX / side)
    distances = np.abs(np.arange(REGION_SIDE_PX) + 0.5 - REGION_SIDE_PX / 2)  # from the middle
    in_rows, in_columns = (distances < length / side * REGION_SIDE_PX / 2 for length in sides)
    frame = np.outer(in_rows, in_columns) * np.uint8(INK)
    return np.stack([square, frame])
