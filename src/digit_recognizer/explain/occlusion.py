"""Where a network looks: a map of what hiding a part of the image does to the answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import SIDE
from digit_recognizer.recognition import Recognizer

WINDOW = 6  # pixels along each side of what is hidden at a time
STRIDE = 2  # pixels between two windows
CORNERS = range(0, SIDE - WINDOW + 1, STRIDE)
WINDOWS = [
    (slice(row, row + WINDOW), slice(column, column + WINDOW)) for row in CORNERS for column in CORNERS
]
TINY = 1e-30  # a probability below all that float32 keeps apart


def occlude(recognizer: Recognizer, image: NDArray[np.uint8], digit: int) -> NDArray[np.float32]:
    """Hide each part of an image behind background in turn, and see how much less it looks like a digit.

    Parameters
    ----------
    recognizer
        The model.
    image
        uint8, shape (28, 28), 0 background to 255 ink.
    digit
        0 to 9: whose log-odds are watched.

    Returns
    -------
    numpy.ndarray
        float32, shape (28, 28): for each pixel, by how many nats the log-odds of the digit fall when it is
        hidden, as the mean over the 6×6 windows that cover it. Below 0 where hiding speaks for the digit.

    References
    ----------
    M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, section 4.2.
    """
    windows = [window for window in WINDOWS if image[window].any()]  # hiding background changes nothing
    hidden = np.repeat(image[None], len(windows) + 1, axis=0)  # (W + 1, 28, 28); the last stays as it is
    for number, window in enumerate(windows):
        hidden[number][window] = 0
    odds = _log_odds(recognizer.predict(hidden).probabilities, digit)
    return _spread(odds[-1] - odds[:-1], windows)


def _log_odds(probabilities: NDArray[np.float32], digit: int) -> NDArray[np.float64]:
    """Return log(p / (1 - p)), exact for a p near 1 as well: (N, 10) to (N,)."""
    others = np.delete(probabilities.astype(np.float64), digit, axis=1).sum(axis=1)
    odds: NDArray[np.float64] = np.maximum(probabilities[:, digit], TINY) / np.maximum(others, TINY)
    return np.log(odds)


def _spread(falls: NDArray[np.float64], windows: list[tuple[slice, slice]]) -> NDArray[np.float32]:
    """Give each pixel the mean fall over all windows that cover it, those on mere background included."""
    total, cover = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for fall, window in zip(falls, windows, strict=True):
        total[window] += fall
    for window in WINDOWS:
        cover[window] += 1
    return (total / cover).astype(np.float32)
