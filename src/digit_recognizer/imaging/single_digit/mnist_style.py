"""MNIST-style normalisation of a mark: 28x28 pixels with the size, position and stroke width of MNIST."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.imaging.normalise import BOX_PX, normalise
from digit_recognizer.imaging.single_digit.ink import FULL_INK_PERCENTILE, Ink
from digit_recognizer.imaging.single_digit.marks import Mark, stroke_width

UPSAMPLING = 8  # pixels per pixel of the 28x28 image, while strokes are thickened or thinned
STROKE_MARGIN = 2 * UPSAMPLING  # pixels around the strokes that leave them room to grow
MIN_STROKE_PX, MAX_STROKE_PX = 2.0, 4.2  # stroke widths of 86 % of MNIST's images lie between these
THICKENED_TO_PX, THINNED_TO_PX = 2.5, 3.7  # the stroke width of marks that are beyond these limits
MAX_THINNING_FRACTION = 0.35  # of the stroke width; more could erase thin parts of a stroke
STROKE_EDGE_LEVEL = 0.4  # of full ink: where a stroke begins
EDGE_BLUR_PX = 0.3  # standard deviation of the blur that softens edges
MIN_INK_LEVEL = 0.08  # of full ink; less is background


def mark_to_image(ink: Ink, mark: Mark) -> NDArray[np.uint8]:
    """Return a mark as MNIST-style image, (28, 28), 0 background to 255 ink.

    Grey levels of the strokes are kept. A digit that already looks like MNIST's is hardly changed.
    """
    fine = np.pad(_upsample(_ink_levels(ink, mark), mark), STROKE_MARGIN)
    soft = cv2.GaussianBlur(_adjust_stroke_width(fine), (0, 0), EDGE_BLUR_PX * UPSAMPLING)
    soft[soft < MIN_INK_LEVEL] = 0
    return normalise(soft)


def _ink_levels(ink: Ink, mark: Mark) -> NDArray[np.float32]:
    """Return the ink of a mark in its bounding box, 0 to 1, relative to the mark's own contrast."""
    contrast = ink.contrast[mark.rows, mark.columns]
    levels = np.zeros((mark.height, mark.width), np.float32)
    full = max(float(np.percentile(contrast, FULL_INK_PERCENTILE)), 1e-6)
    levels[mark.rows - mark.top, mark.columns - mark.left] = np.clip(contrast / full, 0, 1)
    return levels


def _upsample(levels: NDArray[np.float32], mark: Mark) -> NDArray[np.float32]:
    zoom = BOX_PX * UPSAMPLING / mark.longer_side
    size = (max(1, round(mark.width * zoom)), max(1, round(mark.height * zoom)))
    interpolation = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(levels, size, interpolation=interpolation), np.float32)


def _adjust_stroke_width(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Thicken or thin strokes whose width is unusual in MNIST."""
    width = stroke_width(fine > STROKE_EDGE_LEVEL) / UPSAMPLING
    if 0 < width < MIN_STROKE_PX:
        return _morph(fine, cv2.MORPH_DILATE, (THICKENED_TO_PX - width) / 2)
    if width > MAX_STROKE_PX:
        thinning = min(width - THINNED_TO_PX, MAX_THINNING_FRACTION * width)
        thinned = _morph(fine, cv2.MORPH_ERODE, thinning / 2)
        return thinned if thinned.max() > STROKE_EDGE_LEVEL else fine
    return fine


def _morph(fine: NDArray[np.float32], operation: int, radius: float) -> NDArray[np.float32]:
    size = 2 * round(radius * UPSAMPLING) + 1
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.morphologyEx(fine, operation, element), np.float32)
