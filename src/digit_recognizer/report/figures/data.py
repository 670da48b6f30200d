"""Figures of the data: images per digit, examples, augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, SIDE
from digit_recognizer.report.figures.style import (
    BLUE,
    ORANGE,
    WIDTH_IN,
    label_digits,
    label_rows,
    mosaic,
    new_figure,
    show_digit,
    styled,
    subtitle,
)

GAP_PX = 4  # between images
VARIANTS_PER_ROW = 6


@styled
def draw_counts(training: NDArray[np.int64], validation: NDArray[np.int64]) -> Figure:
    """Draw the number of images of each digit, for training and validation: int64 (10,) each."""
    figure = new_figure(2.9)
    axes = figure.subplots()
    digits = np.arange(CLASSES)
    axes.bar(digits, training, color=BLUE, label="training")
    if validation.any():
        axes.bar(digits, validation, bottom=training, color=ORANGE, label="validation")
    top = int((training + validation).max())
    for digit, count in enumerate(training + validation):
        axes.text(digit, count + top * 0.015, f"{count:,}", ha="center", va="bottom", fontsize=7.5)
    axes.set(xlabel="digit", ylabel="images", ylim=(0, top * 1.08))
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=False, axis="x")
    label_digits(axes)
    if validation.any():
        figure.legend(loc="outside upper center", ncols=2)
    return figure


@styled
def draw_examples(images: NDArray[np.uint8], digits: Sequence[int]) -> Figure:
    """Draw a row of examples for each of D digits: uint8 (D, K, 28, 28)."""
    rows, columns = images.shape[:2]
    figure = new_figure(WIDTH_IN * rows / columns)
    axes = figure.subplots()
    show_digit(axes, mosaic(images.reshape(-1, SIDE, SIDE), columns, gap=GAP_PX))
    label_rows(axes, digits, SIDE, SIDE + GAP_PX)
    return figure


@styled
def draw_augmentation(image: NDArray[np.uint8], variants: NDArray[np.uint8]) -> Figure:
    """Draw an image (28, 28) and, below it, variants of it (N, 28, 28)."""
    columns = VARIANTS_PER_ROW
    rows = -(-len(variants) // columns)
    figure = new_figure(0.45 + WIDTH_IN / columns * (rows + 1))
    top, bottom = figure.subplots(2, 1, height_ratios=[1, rows])
    strip: NDArray[Any] = np.full((SIDE, columns * (SIDE + GAP_PX) - GAP_PX), np.nan)
    left = (strip.shape[1] - SIDE) // 2
    strip[:, left : left + SIDE] = image
    show_digit(top, strip)
    show_digit(bottom, mosaic(variants, columns, gap=GAP_PX))
    subtitle(top, "original")
    subtitle(bottom, f"{len(variants)} variants" if len(variants) > 1 else "1 variant")
    return figure
