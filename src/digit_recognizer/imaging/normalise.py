"""One digit's ink, of any size, to 28x28 pixels: the way in which MNIST was made."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digit_recognizer.digits import INK, SIDE
from digit_recognizer.errors import DigitsError

__all__ = ["BOX", "normalise"]

BOX = 20  # pixels; the ink's longer side becomes as long as this
MARGIN = (SIDE - BOX) // 2  # pixels; left around the box for the antialiased edges
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
    """Scale to a longer side of `BOX` pixels, with `MARGIN` empty pixels, more or less, all around."""
    zoom = BOX / max(crop.shape)
    border = ceil((MARGIN + 1) / zoom)  # input pixels; without it the ink would end in a hard edge
    padded = Image.fromarray(np.pad(crop / crop.max(), border))
    height, width = (max(1, ceil(side * zoom - 1e-6)) + 2 * MARGIN for side in crop.shape)
    left = top = border - MARGIN / zoom
    region = (left, top, left + width / zoom, top + height / zoom)
    # Of Pillow's filters these gave the smoothest strokes enlarged and the truest reduced.
    smooth = Image.Resampling.BICUBIC if zoom > 1 else Image.Resampling.HAMMING
    scaled = padded.resize((width, height), smooth, box=region)
    return np.asarray(scaled).clip(0, None)  # bicubic interpolation swings below 0 beside an edge


def _centre(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Move by whole pixels; the ink's box stays inside, however uneven its weight."""
    field = np.zeros((3 * SIDE, 3 * SIDE), np.uint8)
    field[SIDE : SIDE + image.shape[0], SIDE : SIDE + image.shape[1]] = image
    top, left = (_start(image.sum(axis=axis, dtype=np.int64)) for axis in (1, 0))
    return field[top : top + SIDE, left : left + SIDE].copy()


def _start(weights: NDArray[np.int64]) -> int:
    """Return where 28 pixels begin, in a field with `SIDE` more before `weights`, to centre its mass."""
    mass = float(weights @ np.arange(len(weights)) / weights.sum())
    start = round(mass - CENTRE)
    return SIDE + min(max(start, len(weights) - MARGIN - SIDE), MARGIN)
