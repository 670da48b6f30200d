"""Occlusion maps: how hiding each part of an image changes a prediction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import SIDE
from digit_recognizer.recognition import Recognizer

WINDOW_PX = 6  # side of the square that is hidden
STRIDE_PX = 2  # from one window to the next
CORNERS = range(0, SIDE - WINDOW_PX + 1, STRIDE_PX)
WINDOWS = [
    (slice(row, row + WINDOW_PX), slice(column, column + WINDOW_PX)) for row in CORNERS for column in CORNERS
]
MIN_PROBABILITY = 1e-30  # avoids log(0); below every difference that float32 can represent


def occlude(recognizer: Recognizer, image: NDArray[np.uint8], digit: int) -> NDArray[np.float32]:
    """Measure how much the log-odds of a digit depend on each part of an image.

    Parameters
    ----------
    recognizer
        The model.
    image
        uint8, shape (28, 28), 0 background to 255 ink.
    digit
        0 to 9: the digit whose log-odds are measured.

    Returns
    -------
    numpy.ndarray
        float32, shape (28, 28): for each pixel, by how many nats the log-odds of the digit fall when it is
        hidden, as the mean over the 6×6 windows that cover it. Negative values mean that they rise.

    References
    ----------
    M. D. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, section 4.2.
    """
    windows = [window for window in WINDOWS if image[window].any()]  # hiding background changes nothing
    images = np.repeat(image[None], len(windows) + 1, axis=0)  # (W + 1, 28, 28); the last one is unchanged
    for number, window in enumerate(windows):
        images[number][window] = 0
    odds = _log_odds(recognizer.predict(images).probabilities, digit)
    return _mean_per_pixel(odds[-1] - odds[:-1], windows)


def _log_odds(probabilities: NDArray[np.float32], digit: int) -> NDArray[np.float64]:
    """Return log(p / (1 - p)) for probabilities (N, 10): (N,).

    1 - p is the sum of the other probabilities, because a p near 1 in float32 leaves too few digits of it.
    """
    others = np.delete(probabilities.astype(np.float64), digit, axis=1).sum(axis=1)
    odds: NDArray[np.float64] = np.maximum(probabilities[:, digit], MIN_PROBABILITY) / np.maximum(
        others, MIN_PROBABILITY
    )
    return np.log(odds)


def _mean_per_pixel(falls: NDArray[np.float64], windows: list[tuple[slice, slice]]) -> NDArray[np.float32]:
    """Return for each pixel the mean fall over all windows that cover it, including those without ink."""
    total, cover = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for fall, window in zip(falls, windows, strict=True):
        total[window] += fall
    for window in WINDOWS:
        cover[window] += 1
    return (total / cover).astype(np.float32)
