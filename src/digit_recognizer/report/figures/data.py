"""Figures of the data: how many, what they look like, what augmentation does to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, SIDE
from digit_recognizer.report.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    WIDTH,
    label_digits,
    mosaic,
    new_figure,
    show_digit,
    styled,
)


@styled
def draw_counts(training: NDArray[np.int64], validation: NDArray[np.int64]) -> Figure:
    """Draw how many images each digit has, to train on and held out: two times (10,)."""
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
def draw_examples(images: NDArray[np.uint8]) -> Figure:
    """Draw a row of examples for each digit: uint8 (10, K, 28, 28), nan or blank where there are fewer."""
    rows, columns = images.shape[:2]
    figure = new_figure(WIDTH * rows / columns)
    axes = figure.subplots()
    page = mosaic(images.reshape(-1, SIDE, SIDE), columns, gap=4)
    show_digit(axes, page)
    step = SIDE + 4
    axes.set_yticks(np.arange(rows) * step + SIDE / 2, [str(row) for row in range(rows)])
    axes.tick_params(length=0, labelcolor=GREY)
    return figure


@styled
def draw_augmentation(image: NDArray[np.uint8], drawn: NDArray[np.uint8]) -> Figure:
    """Draw an image (28, 28) and, under it, what augmentation made of it (N, 28, 28)."""
    columns = 6
    rows = -(-len(drawn) // columns)
    figure = new_figure(0.45 + WIDTH / 6 * (rows + 1))
    top, bottom = figure.subplots(2, 1, height_ratios=[1, rows])
    strip: NDArray[Any] = np.full((SIDE, columns * (SIDE + 4) - 4), np.nan)
    left = (strip.shape[1] - SIDE) // 2
    strip[:, left : left + SIDE] = image
    show_digit(top, strip)
    show_digit(bottom, mosaic(drawn, columns, gap=4))
    top.set_title("as it is", fontsize=8.5, color=GREY)
    bottom.set_title(f"{len(drawn)} draws of it", fontsize=8.5, color=GREY)
    return figure
