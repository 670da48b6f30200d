"""Lines of digits, cut apart as a page's are: what comes out as one digit, and what as none.

A network that reads pages sees digits that have lost or gained a bit where they touched a neighbour, and
halves and pairs of digits where the cut was wrong. It learns both from lines that are composed of digits.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, INK, SIDE, Digits
from digit_recognizer.imaging.ink import Ink
from digit_recognizer.imaging.line_segmentation import TextLine, segment_lines
from digit_recognizer.imaging.marks import Mark
from digit_recognizer.imaging.mnist_style import mark_to_image
from digit_recognizer.imaging.touching_digits import deslanted_columns
from digit_recognizer.synthetic.text_lines import EDGE, WrittenLine, write_line

Masks = NDArray[np.bool_]  # (K, H, W): where each digit of a line is

WIDTH, ZOOM = 120, 2.5  # pixels of a line's strip, and how much larger it is written
MERGED, SPLIT = 0.25, 0.25  # shares of digits that are left with their neighbour, or halved
UNSURE = 0.1  # of a digit's width, standard deviation: where its middle is taken to be
WHOLE = 0.85  # share of a digit's ink that a piece has, and share of a piece's ink that is the digit's
BROKEN = 0.6  # a piece that has less of either is no digit


def draw_pieces(
    count: int, digits: Digits, strangers: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Write lines and cut them apart.

    Parameters
    ----------
    count
        How many lines; each gives about three pieces.
    digits
        What they are composed of; with labels.
    strangers
        uint8, shape (M, 28, 28): what is no digit, and comes in between.
    rng
        Decides everything.

    Returns
    -------
    pieces, classes
        uint8 (N, 28, 28), and int64 (N,): 0 to 9, or 10 where it is no digit.
    """
    pieces: list[NDArray[np.uint8]] = []
    classes: list[int] = []
    for _ in range(count):
        line = write_line(digits, strangers, rng, width=WIDTH, zoom=ZOOM)
        for piece, label in _cut_apart(line, rng):
            pieces.append(piece)
            classes.append(label)
    return np.array(pieces, np.uint8).reshape(-1, SIDE, SIDE), np.array(classes, np.int64)


def _cut_apart(written: WrittenLine, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Give each piece and its class; no piece that is neither whole nor broken."""
    if not written.digits:
        return
    page = np.asarray(written.image / INK, np.float32)
    ink = Ink(page, np.asarray(cv2.GaussianBlur(page, (0, 0), 1.0), np.float32), noise=0.01, zoom=1.0)
    masks = _masks(written)
    lines, _ = segment_lines(ink)
    for line in lines:
        marks, _ = line.assign_marks(_centres(line, masks, rng))
        for mark in marks:
            if mark is None:
                continue
            digit, share = _owner(mark, masks)
            if not BROKEN <= share < WHOLE:
                yield mark_to_image(ink, mark), written.digits[digit].label if share >= WHOLE else CLASSES


def _masks(written: WrittenLine) -> Masks:
    masks = np.zeros((len(written.digits), *written.image.shape), bool)
    for mask, digit in zip(masks, written.digits, strict=True):
        height, width = digit.tile.shape
        mask[digit.top : digit.top + height, digit.left : digit.left + width] = digit.tile > EDGE
    return masks


def _centres(line: TextLine, masks: Masks, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return where the digits of a line are taken to be: about where they are, some left out, some halved."""
    centres = []
    for mask in masks:
        rows, columns = np.nonzero(mask)
        places = deslanted_columns(Mark(rows, columns), line.slant) if rows.size else np.zeros(1)
        width = np.ptp(places)
        kind = rng.random()
        if kind < MERGED:
            continue
        middle = places.min() + width * (0.5 + rng.normal(0, UNSURE))
        apart = width * rng.uniform(0.2, 0.4) if kind < MERGED + SPLIT else 0.0
        centres += [middle - apart, middle + apart] if apart else [middle]
    return np.sort(np.array(centres, float))


def _owner(mark: Mark, masks: Masks) -> tuple[int, float]:
    """Return the digit that most of a piece belongs to, and how much of either is the other."""
    own = masks[:, mark.rows, mark.columns]
    shared = own.sum(axis=1)
    digit = int(shared.argmax())
    inked, whole = max(own.any(axis=0).sum(), 1), max(masks[digit].sum(), 1)
    strange = 1 - inked / len(mark)
    return digit, float(min(shared[digit] / inked, shared[digit] / whole, 1.2 - strange))
