"""A mark ► 28x28 pixels as the network knows digits: MNIST's size, place and breadth of strokes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.imaging.normalise import BOX, normalise
from digit_recognizer.imaging.ink import Ink
from digit_recognizer.imaging.marks import Mark, stroke_width

FINE = 8  # pixels for one of the 28x28 image, while strokes are made broader or narrower
MARGIN = 2 * FINE  # pixels around the strokes, for what they grow
NARROW, BROAD = 2.0, 4.2  # pixels of the image; 86 % of MNIST's strokes are between
NARROWED, BROADENED = 3.7, 2.5  # to what others are brought
MOST = 0.35  # of a stroke's breadth that is taken away at once
DARK = 70  # percentile of a mark's contrast that counts as full ink
HALF = 0.4  # of full ink; the edge of a stroke
SOFT = 0.3  # pixels of the image, standard deviation of the blur that softens edges
PALE = 0.08  # of full ink; what is paler is nothing


def to_image(ink: Ink, mark: Mark) -> NDArray[np.uint8]:
    """Bring a mark to the size, the place and the breadth of strokes that MNIST's digits have.

    Grey levels of the strokes are kept; a digit that looks like MNIST's already comes back nearly the same.

    Returns
    -------
    NDArray[np.uint8]
        Shape (28, 28), 0 background to 255 ink.
    """
    fine = np.pad(_enlarged(_levels(ink, mark), mark), MARGIN)
    soft = cv2.GaussianBlur(_with_breadth(fine), (0, 0), SOFT * FINE)
    soft[soft < PALE] = 0
    return normalise(soft)


def _levels(ink: Ink, mark: Mark) -> NDArray[np.float32]:
    """Return a mark's ink, 0 to 1, in its box; where its darkest points are in the page does not count."""
    contrast = ink.contrast[mark.rows, mark.columns]
    levels = np.zeros((mark.height, mark.width), np.float32)
    full = max(float(np.percentile(contrast, DARK)), 1e-6)
    levels[mark.rows - mark.top, mark.columns - mark.left] = np.clip(contrast / full, 0, 1)
    return levels


def _enlarged(levels: NDArray[np.float32], mark: Mark) -> NDArray[np.float32]:
    zoom = BOX * FINE / mark.longest
    size = (max(1, round(mark.width * zoom)), max(1, round(mark.height * zoom)))
    how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(levels, size, interpolation=how), np.float32)


def _with_breadth(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make strokes broader or narrower that are beyond what MNIST has."""
    breadth = stroke_width(fine > HALF) / FINE
    if 0 < breadth < NARROW:
        return _morph(fine, cv2.MORPH_DILATE, (BROADENED - breadth) / 2)
    if breadth > BROAD:
        narrower = _morph(fine, cv2.MORPH_ERODE, min(breadth - NARROWED, MOST * breadth) / 2)
        return narrower if narrower.max() > HALF else fine
    return fine


def _morph(fine: NDArray[np.float32], how: int, radius: float) -> NDArray[np.float32]:
    size = 2 * round(radius * FINE) + 1
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.morphologyEx(fine, how, element), np.float32)
