"""Segments of composed text lines: whole digits, and non-digits where the segmentation was wrong.

Digits on pages have lost or gained some ink where they touched a neighbour, and a wrong segmentation leaves
halves and pairs of digits. Networks learn both from lines whose digits are known.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import INK, NON_DIGIT, SIDE, Digits, Samples
from digit_recognizer.imaging.ink import Ink
from digit_recognizer.imaging.line_segmentation import TextLine, segment_lines
from digit_recognizer.imaging.marks import Mark
from digit_recognizer.imaging.mnist_style import mark_to_image
from digit_recognizer.imaging.touching_digits import deslanted_columns
from digit_recognizer.synthetic.text_lines import STROKE_LEVEL, ComposedLine, compose_line

Masks = NDArray[np.bool_]  # (K, H, W): where each digit of a line is

LINE_WIDTH_PX = 120  # of the strip
LINE_ZOOM = 2.5  # times the size of the strip, to be segmented like a page
P_MERGED = 0.25  # digits that are left with their neighbour
P_SPLIT = 0.25  # digits that are cut in half
CENTRE_SIGMA_FRACTION = 0.1  # of a digit's width: error of the centre at which it is segmented
MIN_WHOLE_FRACTION = 0.85  # of a digit's ink in a segment, and of a segment's ink that is the digit's
MAX_BROKEN_FRACTION = 0.6  # likewise; a segment with less is a non-digit, one in between is left out


def sample_segments(
    lines: int, digits: Digits, non_digits: NDArray[np.uint8], rng: np.random.Generator
) -> Samples:
    """Compose lines of labelled digits and of non-digits, (M, 28, 28), and segment them.

    Each line gives about three segments.
    """
    images: list[NDArray[np.uint8]] = []
    classes: list[int] = []
    for _ in range(lines):
        line = compose_line(digits, non_digits, rng, width=LINE_WIDTH_PX, zoom=LINE_ZOOM)
        for image, label in _segment(line, rng):
            images.append(image)
            classes.append(label)
    return Samples(np.array(images, np.uint8).reshape(-1, SIDE, SIDE), np.array(classes, np.int64))


def _segment(composed: ComposedLine, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Yield the image and the class of each segment that is either whole or broken."""
    if not composed.digits:
        return
    page = np.asarray(composed.image / INK, np.float32)
    ink = Ink(page, np.asarray(cv2.GaussianBlur(page, (0, 0), 1.0), np.float32), noise=0.01, zoom=1.0)
    masks = _digit_masks(composed)
    lines, _ = segment_lines(ink)
    for line in lines:
        marks, _ = line.assign_marks(_sample_centres(line, masks, rng))
        for mark in marks:
            if mark is None:
                continue
            number, fraction = _find_digit(mark, masks)
            if fraction >= MIN_WHOLE_FRACTION:
                yield mark_to_image(ink, mark), composed.digits[number].label
            elif fraction < MAX_BROKEN_FRACTION:
                yield mark_to_image(ink, mark), NON_DIGIT


def _digit_masks(composed: ComposedLine) -> Masks:
    masks = np.zeros((len(composed.digits), *composed.image.shape), bool)
    for mask, digit in zip(masks, composed.digits, strict=True):
        height, width = digit.tile.shape
        mask[digit.top : digit.top + height, digit.left : digit.left + width] = digit.tile > STROKE_LEVEL
    return masks


def _sample_centres(line: TextLine, masks: Masks, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return roughly the centres of a line's digits; some are left out, some become two."""
    centres = []
    for mask in masks:
        rows, columns = np.nonzero(mask)
        places = deslanted_columns(Mark(rows, columns), line.slant) if rows.size else np.zeros(1)
        width = np.ptp(places)
        kind = rng.random()
        if kind < P_MERGED:
            continue
        centre = places.min() + width * (0.5 + rng.normal(0, CENTRE_SIGMA_FRACTION))
        offset = width * rng.uniform(0.2, 0.4) if kind < P_MERGED + P_SPLIT else 0.0
        centres += [centre - offset, centre + offset] if offset else [centre]
    return np.sort(np.array(centres, float))


def _find_digit(mark: Mark, masks: Masks) -> tuple[int, float]:
    """Return the digit that most of a segment belongs to, and the smaller of their common fractions."""
    own = masks[:, mark.rows, mark.columns]  # (K, points of the segment)
    shared = own.sum(axis=1)
    digit = int(shared.argmax())
    inked, whole = max(own.any(axis=0).sum(), 1), max(masks[digit].sum(), 1)
    foreign_fraction = 1 - inked / len(mark)
    return digit, float(min(shared[digit] / inked, shared[digit] / whole, 1.2 - foreign_fraction))
