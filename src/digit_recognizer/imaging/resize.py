"""Pages in other sizes."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixel = TypeVar("Pixel", np.uint8, np.float32)


def resize(page: NDArray[Pixel], scale: float) -> NDArray[Pixel]:
    """Return a page, (H, W), in another size, with antialiasing; at least one pixel high and wide."""
    height, width = (max(1, round(side * scale)) for side in page.shape)
    if (height, width) == page.shape:
        return page
    resampling = Image.Resampling.HAMMING if scale < 1 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(page).resize((width, height), resampling))
