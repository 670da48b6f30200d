"""One digit's ink, of any size, to 28x28 pixels: the way in which MNIST was made."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digit_recognizer.digits import INK, SIDE
from digit_recognizer.errors import DigitsError

BOX = 20  # pixels; the ink's longer side becomes as long as this
CENTRE = SIDE / 2  # pixel index; the centres of mass of MNIST's images lie within 0.5 of it


def normalise(ink: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring one digit's ink to the size and place that MNIST's digits have.

    The ink is cropped, scaled with antialiasing so that it fits a box of 20x20 pixels and keeps its
    aspect, stretched so that its strongest point is full ink (as in MNIST, where every image reaches
    250), and moved by whole pixels so that its centre of mass is in the middle of 28x28.

    Parameters
    ----------
    ink
        Shape (height, width), any integer or floating dtype: 0 is the background, larger is more ink.

    Returns
    -------
    NDArray[np.uint8]
        Shape (28, 28), 0 background to 255 ink; blank where there was no ink.

    Raises
    ------
    DigitsError
        If `ink` is not two-dimensional, or holds a negative number, NaN or infinity.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE 86 (1998), 2278-2324; section III.A, "Database: the
    modified NIST set".
    """
    crop = _crop(_checked(ink))
    if not crop.size:
        return np.zeros((SIDE, SIDE), np.uint8)
    fitted = _fit(crop)
    levels = np.rint(fitted * (INK / fitted.max())).astype(np.uint8)
    return _centre(levels)


def _checked(ink: NDArray[Any]) -> NDArray[np.float32]:
    if ink.ndim != 2:
        raise DigitsError(f"expected one digit's ink of shape (height, width), got {ink.shape}")
    with np.errstate(over="ignore"):  # beyond float32's range is infinity, refused below
        values = ink.astype(np.float32)
    if not np.isfinite(values).all() or (values < 0).any():
        raise DigitsError("expected ink from 0, the background, upwards; got a negative number or NaN")
    return values


def _crop(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not rows.size:
        return ink[:0, :0]
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _fit(crop: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale to a longer side of `BOX` pixels; like MNIST's, the ink ends where the box does."""
    zoom = BOX / max(crop.shape)
    height, width = (max(1, round(side * zoom)) for side in crop.shape)
    # Of Pillow's filters these gave the smoothest strokes enlarged and the truest reduced.
    smooth = Image.Resampling.BICUBIC if zoom > 1 else Image.Resampling.HAMMING
    scaled = Image.fromarray(crop / crop.max()).resize((width, height), smooth)
    return np.asarray(scaled).clip(0, None)  # bicubic interpolation swings below 0 beside an edge


def _centre(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paste where the centre of mass is in the middle, or as near as leaves all ink inside."""
    field = np.zeros((SIDE, SIDE), np.uint8)
    height, width = image.shape
    top, left = (_start(image.sum(axis=axis, dtype=np.int64)) for axis in (1, 0))
    field[top : top + height, left : left + width] = image
    return field


def _start(weights: NDArray[np.int64]) -> int:
    """Return the row, or column, that the first of `weights` comes to."""
    mass = float(weights @ np.arange(len(weights)) / weights.sum())
    return min(max(round(CENTRE - mass), 0), SIDE - len(weights))
