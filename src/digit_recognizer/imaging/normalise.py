"""Normalise the ink of one digit, of any size, to 28x28 pixels, as MNIST was made."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digit_recognizer.digits import INK, SIDE
from digit_recognizer.errors import DigitsError

BOX_PX = 20  # longer side of the normalised ink
CENTRE_PX = SIDE / 2  # pixel index; the centres of mass of MNIST's images are within 0.5 of it


def normalise(ink: NDArray[Any]) -> NDArray[np.uint8]:
    """Normalise the ink of one digit to the size and position of MNIST's digits.

    The ink is cropped, scaled with antialiasing to fit a box of 20x20 pixels while keeping its aspect ratio,
    stretched so that its strongest point is full ink (as in MNIST, where every image reaches 250), and moved
    by whole pixels so that its centre of mass is in the middle of 28x28.

    Parameters
    ----------
    ink
        Shape (height, width), any integer or floating dtype: 0 is the background, larger is more ink.

    Returns
    -------
    NDArray[np.uint8]
        Shape (28, 28), 0 background to 255 ink; blank if there is no ink.

    Raises
    ------
    DigitsError
        `ink` is not two-dimensional, or contains a negative number, NaN or infinity.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE 86 (1998), 2278-2324; section III.A, "Database: the
    modified NIST set".
    """
    crop = _crop(_check(ink))
    if not crop.size:
        return np.zeros((SIDE, SIDE), np.uint8)
    fitted = _fit(crop)
    levels = np.rint(fitted * (INK / fitted.max())).astype(np.uint8)
    return _centre(levels)


def _check(ink: NDArray[Any]) -> NDArray[np.float32]:
    if ink.ndim != 2:
        raise DigitsError(f"expected one digit's ink of shape (height, width), got {ink.shape}")
    with np.errstate(over="ignore"):  # values beyond float32's range become infinity, refused below
        values = ink.astype(np.float32)
    if not np.isfinite(values).all() or (values < 0).any():
        raise DigitsError("expected ink from 0 (background) upwards, got a negative number, NaN or infinity")
    return values


def _crop(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not rows.size:
        return ink[:0, :0]
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _fit(crop: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale to a longer side of `BOX_PX`; as in MNIST, the ink ends at the edges of the box."""
    zoom = BOX_PX / max(crop.shape)
    height, width = (max(1, round(side * zoom)) for side in crop.shape)
    # Of Pillow's filters, these gave the smoothest enlarged and the most accurate reduced strokes.
    resampling = Image.Resampling.BICUBIC if zoom > 1 else Image.Resampling.HAMMING
    scaled = Image.fromarray(crop / crop.max()).resize((width, height), resampling)
    return np.asarray(scaled).clip(0, None)  # bicubic interpolation falls below 0 beside an edge


def _centre(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paste an image so that its centre of mass is in the middle, or as near as keeps all ink inside."""
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    height, width = image.shape
    top, left = (_start(image.sum(axis=axis, dtype=np.int64)) for axis in (1, 0))
    canvas[top : top + height, left : left + width] = image
    return canvas


def _start(weights: NDArray[np.int64]) -> int:
    """Return the row, or column, at which ink with these sums per row, or column, has to begin."""
    mass = float(weights @ np.arange(len(weights)) / weights.sum())
    return min(max(round(CENTRE_PX - mass), 0), SIDE - len(weights))
