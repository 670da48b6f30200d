"""The colour of the paper at the edges of a page."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def edge_tone(page: NDArray[np.uint8]) -> float:
    """Return the median of the edges of a page, (H, W), 0 black to 255 white."""
    return float(np.median(np.concatenate([page[0], page[-1], page[:, 0], page[:, -1]])))
