"""Arrays as pictures: which axis is which, and what its values mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digit_recognizer.digits import INK
from digit_recognizer.errors import DigitsError

CHANNELS = (1, 2, 3, 4)  # grey, grey and opacity, colours, colours and opacity
MAX_16_BIT = 65_535
EXPECTED_SHAPE = "expected (height, width), or with 1 to 4 channels"
EXPECTED_VALUES = "expected 0 black to 1, 255 or 65,535 white"


def as_picture_array(picture: Any, name: str) -> NDArray[Any]:
    """Return an array, or what NumPy takes for one, as (H, W) or (H, W, 2 to 4) with real numbers."""
    try:
        array = np.asarray(picture)
        if array.dtype == object:
            array = array.astype(np.float64)
    except Exception as error:  # of other libraries' arrays, such as one on a GPU
        raise DigitsError(f"{name} is not an array of numbers: {error}") from error
    if array.dtype.kind not in "biuf":
        raise DigitsError(f"{name} has values of {array.dtype}: expected real numbers")
    if array.ndim == 3 and array.shape[2] not in CHANNELS and array.shape[0] in CHANNELS:
        array = np.moveaxis(array, 0, 2)  # channels first, as torch has them
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in CHANNELS) or 0 in array.shape:
        raise DigitsError(f"{name} has shape {array.shape}: {EXPECTED_SHAPE}")
    return array


def array_as_image(array: NDArray[Any], name: str) -> Image.Image:
    """Return an array of `as_picture_array` as a Pillow image of mode L, LA, RGB or RGBA."""
    levels = to_levels(array, (array.min(), array.max()), name)
    return Image.fromarray(np.ascontiguousarray(levels))


def to_levels(values: NDArray[Any], extrema: tuple[Any, Any], name: str) -> NDArray[np.uint8]:
    """Return numbers as levels from 0 black to 255 white.

    The largest number of the whole picture says what white is: 1, 255 or 65,535. Of 16-bit numbers, the
    upper eight bits remain.
    """
    lowest, highest = extrema
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DigitsError(f"{name} has pixels that are not numbers: {EXPECTED_VALUES}")
    lowest, highest = float(lowest), float(highest)
    if not (lowest >= 0 and highest <= MAX_16_BIT):
        raise DigitsError(f"{name} has values from {lowest:g} to {highest:g}: {EXPECTED_VALUES}")
    if highest <= 1:
        return np.rint(values.astype(np.float32) * INK).astype(np.uint8)
    if highest <= INK:
        return np.rint(values).astype(np.uint8) if values.dtype.kind == "f" else values.astype(np.uint8)
    return (values.astype(np.uint16) >> 8).astype(np.uint8)
