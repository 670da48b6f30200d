"""What scikit-learn calls X and y, as images and digits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, INK, PIXELS, SIDE
from digit_recognizer.sources.common import DIM, IMAGE_SHAPES, class_of, size_in_words

logger = logging.getLogger(__name__)

AUTO = "auto"
ROWS_AT_ONCE = 64  # images: 400 kB in float64
MAX_INK, MIN_INK = 2.0, DIM / INK  # brightest pixel, in units of full ink: beyond, probably another scale

Pixels = NDArray[Any]
PixelRange = tuple[float, float]  # the values of the background and of full ink

_EXPECTED = f"X: expected images of {SIDE}×{SIDE} pixels, shape (N, {PIXELS}) or (N, {SIDE}, {SIDE})"


def flattened(X: Any) -> Any:  # noqa: N803
    """Return images (N, 28, 28), also with an axis of one channel, as rows; anything else unchanged."""
    array = np.asarray(X) if isinstance(X, list | tuple) else X
    shape = tuple(getattr(array, "shape", ()))
    if len(shape) <= 2:
        return array
    if shape[1:] not in IMAGE_SHAPES:
        raise ValueError(f"{_EXPECTED}, found shape {shape}")
    return np.asarray(array).reshape(-1, PIXELS)


def checked_rows(pixels: Pixels) -> Pixels:
    """Return rows of 784 pixels; raise `ValueError` if there is another number of features."""
    features = pixels.shape[1]
    if features != PIXELS:
        label = "; leave out the column of labels" if features == PIXELS + 1 else ""
        raise ValueError(f"{_EXPECTED}, found n_features={features}{size_in_words(features)}{label}")
    return pixels


def classes_of(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the classes, sorted, and the position of each label among them; check their number."""
    classes, positions = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y: expected at least two classes, found one class: {classes.tolist()[0]!r}")
    if len(classes) > CLASSES:
        raise ValueError(
            f"y: expected at most {CLASSES} classes, one for each digit, found {len(classes):,}: "
            f"{', '.join(map(repr, classes.tolist()[:3]))}, …"
        )
    return classes, positions


def digits_of(classes: NDArray[Any]) -> NDArray[np.int64]:
    """Return the digit that each class says, or their positions if one of them says none: int64 (K,)."""
    said = [class_of(str(each)) for each in classes.tolist()]
    is_clear = None not in said and len(set(said)) == len(said)
    return np.array(said if is_clear else range(len(classes)), np.int64)


def find_pixel_range(wanted: PixelRange | str, pixels: Pixels) -> PixelRange:
    """Return the values of background and ink: those that are wanted, or what the pixels look like."""
    if not isinstance(wanted, str):
        return _checked_range(wanted)
    if wanted != AUTO:
        raise ValueError(f"pixel_range: expected 'auto' or two numbers such as (0, 255), got {wanted!r}")
    low, high = _lowest_and_highest(pixels)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    if low >= 0 and DIM < high <= INK:
        return 0.0, float(INK)
    background = min(low, 0.0)
    if background == high:
        raise ValueError(f"X: expected images, found only pixels of {high:g}")
    logger.warning(
        "X: the pixels are %.4g to %.4g, not 0 to %d or 0 to 1: %.4g is taken for the background, %.4g for "
        "full ink; pixel_range=(…, …) sets others",
        *(low, high, INK, background, high),
    )
    return background, high


def _checked_range(wanted: PixelRange) -> PixelRange:
    try:
        background, ink = map(float, wanted)
    except (TypeError, ValueError) as error:
        raise TypeError(f"pixel_range: expected two numbers such as (0, {INK}), got {wanted!r}") from error
    if not abs(ink - background) > 0 or not np.isfinite([background, ink]).all():
        raise ValueError(f"pixel_range: expected two different numbers such as (0, {INK}), got {wanted!r}")
    return background, ink


def warn_of_other_scale(pixels: Pixels, pixel_range: PixelRange) -> None:
    """Log it if the pixels probably have another scale than those of the training images."""
    background, ink = pixel_range
    low, high = _lowest_and_highest(pixels)
    most = max((each - background) / (ink - background) for each in (low, high))
    if most > MAX_INK or (low != high and most <= MIN_INK):
        logger.warning(
            "X: the pixels are %.4g to %.4g, but in the training images %.4g was the background and %.4g "
            "full ink: bring them to the same scale",
            *(low, high, background, ink),
        )


def _lowest_and_highest(pixels: Pixels) -> tuple[float, float]:
    ranges = [(pixels[rows].min(), pixels[rows].max()) for rows in _batches(len(pixels))]
    return float(min(low for low, _ in ranges)), float(max(high for _, high in ranges))


def to_images(pixels: Pixels, pixel_range: PixelRange) -> NDArray[np.uint8]:
    """Return rows of pixels as uint8 images (N, 28, 28); what lies outside of the range becomes its end."""
    background, ink = pixel_range
    if pixels.dtype == np.uint8 and pixel_range == (0, INK):
        return pixels.reshape(-1, SIDE, SIDE)
    scaled = np.empty(pixels.shape, np.uint8)
    is_exact = pixels.dtype.kind in "iu" and pixel_range == (0, INK)
    factor = np.float32(INK / (ink - background))
    for rows in _batches(len(pixels)):
        values = pixels[rows]
        if not is_exact:
            values = np.subtract(values, np.float32(background), dtype=np.float32, casting="unsafe")
            np.rint(np.multiply(values, factor, out=values), out=values)
        scaled[rows] = values.clip(0, INK)
    return scaled.reshape(-1, SIDE, SIDE)


def _batches(count: int) -> Iterator[slice]:
    """Yield slices of a number of images that fit into the processor's cache together."""
    return (slice(start, start + ROWS_AT_ONCE) for start in range(0, count, ROWS_AT_ONCE))
