"""The image of one character whose box on a page is known, in the style of MNIST."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.imaging.edges import edge_tone
from digit_recognizer.imaging.normalise import normalise
from digit_recognizer.imaging.resize import resize

WORK_SIDE_PX = 40  # longer side of the character while its ink is found
SURROUNDINGS_FRACTION = 0.1  # of the longer side, around the box: there the paper is seen
FULL_INK_PERCENTILE = 95  # of the ink in the box
MIN_INK_FRACTION = 0.2  # of full ink; less is paper


def character_image(
    page: NDArray[np.uint8], left: int, top: int, right: int, bottom: int
) -> NDArray[np.uint8]:
    """Return what is in a box of a page, (H, W), as an image (28, 28), 0 background to 255 ink.

    The paper is as bright as the edge of what is around the box; the ink is darker or lighter than that,
    whichever there is more of.
    """
    margin = round(SURROUNDINGS_FRACTION * max(right - left, bottom - top)) + 1
    first = max(0, top - margin), max(0, left - margin)
    around = page[first[0] : bottom + margin, first[1] : right + margin]
    darker = edge_tone(around) - page[top:bottom, left:right].astype(np.float32)
    ink = darker if darker.clip(0).sum() >= (-darker).clip(0).sum() else -darker
    ink = resize(ink, min(1.0, WORK_SIDE_PX / max(ink.shape)))
    full = float(np.percentile(ink, FULL_INK_PERCENTILE))
    return normalise((ink - MIN_INK_FRACTION * full).clip(0, max(full, 1e-6)))
