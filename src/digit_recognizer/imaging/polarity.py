"""Which side of a picture is the paper, and how much ink lies on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import INK

__all__ = ["is_dark_on_light", "to_ink"]

MIDDLE = 127.5  # between black and white
FAINT = 16  # grey levels; a contrast below it is no writing but the paper's own texture
NOISE = 0.15  # of the full ink; what is fainter is JPEG's ringing or the shade of a crease


def is_dark_on_light(page: NDArray[np.uint8]) -> bool:
    """Return whether a page, uint8 (height, width), has a bright border: dark ink on light paper."""
    return bool(_paper(page) > MIDDLE)


def to_ink(page: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return how much ink lies on each point of a grey page.

    The paper is what the border mostly shows; ink is what differs from it, darker on light paper,
    lighter on dark. The strongest point counts as full ink, the paper's noise as none.

    Parameters
    ----------
    page
        uint8, shape (height, width): 0 black to 255 white.

    Returns
    -------
    NDArray[np.uint8]
        The same shape: 0 paper to 255 full ink; all 0 where nothing is written.
    """
    paper = _paper(page)
    contrast = paper - page if paper > MIDDLE else page - paper
    strongest = contrast.max()
    if strongest < FAINT:
        return np.zeros_like(page)
    ink = np.clip((contrast / strongest - NOISE) / (1 - NOISE), 0, 1)
    levels: NDArray[np.uint8] = np.rint(ink * INK).astype(np.uint8)
    return levels


def _paper(page: NDArray[np.uint8]) -> float:
    border = np.concatenate([page[0], page[-1], page[:, 0], page[:, -1]])
    return float(np.median(border))
