"""Figures of the network's inside: filters, feature maps, saliency, exciting images, the map of a layer."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, INK, SIDE
from digit_recognizer.report.figures.style import (
    DIVERGING,
    EDGE,
    GREY,
    ORANGE,
    PALE,
    SEQUENTIAL,
    TEN,
    TEXT,
    WIDTH,
    blank,
    mosaic,
    new_figure,
    show_digit,
    styled,
)
from digit_recognizer.report.words import percent

Floats = NDArray[np.float32]

STRONG = 98  # percentile of the values from which a map of saliency has its full colours
LEGIBLE = 25  # weights of a filter at most for each to be written as a number


@styled
def draw_filters(filters: Floats) -> Figure:
    """Draw all filters of a layer with one input: (C, H, W)."""
    columns = min(len(filters), 8 if len(filters) <= 64 else 12)
    rows = -(-len(filters) // columns)
    figure = new_figure((WIDTH - 0.5) * rows / columns + 0.5)
    _weights(figure, figure.subplots(), mosaic(filters, columns))
    return figure


@styled
def draw_slices(filters: Floats) -> Figure:
    """Draw filters as a block each, with a kernel for each of their inputs: (C, I, H, W)."""
    count, inputs = filters.shape[:2]
    columns = min(inputs, 16)
    rows = -(-inputs // columns)
    side = filters.shape[2]
    blocks = [mosaic(kernels, columns) for kernels in filters]
    gap = np.full((2, blocks[0].shape[1]), np.nan)
    page = np.concatenate([part for block in blocks for part in (block, gap)][:-1])
    figure = new_figure((WIDTH - 0.5) * page.shape[0] / page.shape[1] + 0.5)
    axes = figure.subplots()
    _weights(figure, axes, page)
    step = blocks[0].shape[0] + 2
    axes.set_yticks(
        np.arange(count) * step + (rows * (side + 1) - 2) / 2, [str(number) for number in range(count)]
    )
    axes.set_ylabel("filter")
    axes.tick_params(length=0, labelcolor=GREY)
    return figure


def _weights(figure: Figure, axes: Axes, page: NDArray[np.float64]) -> None:
    """Show weights around zero, with a scale beside them."""
    reach = float(np.nanmax(np.abs(page))) or 1.0
    shown = axes.imshow(page, cmap=DIVERGING, vmin=-reach, vmax=reach, interpolation="none")
    blank(axes)
    _scale(figure, shown, axes, "weight")


def _scale(figure: Figure, shown: ScalarMappable, axes: Any, name: str, extend: str = "neither") -> None:
    """Explain the colours of `shown` by a bar under one or more axes."""
    bar = figure.colorbar(shown, ax=axes, location="bottom", shrink=0.6, aspect=30, pad=0.02, extend=extend)
    bar.set_label(name, fontsize=8.5)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)
    bar.locator = MaxNLocator(4)
    bar.update_ticks()


@styled
def draw_filter(kernel: Floats, image: NDArray[np.uint8], response: Floats) -> Figure:
    """Draw a filter (H, W) with its weights as numbers, an image (28, 28), and what it makes of that."""
    figure = new_figure(2.3)
    weights, picture, made = figure.subplots(1, 3, width_ratios=[1.5, 1, 1])
    reach = float(np.abs(kernel).max()) or 1.0
    weights.imshow(kernel, cmap=DIVERGING, vmin=-reach, vmax=reach, interpolation="none")
    if kernel.size <= LEGIBLE:
        for (row, column), weight in np.ndenumerate(kernel):
            ink = "#ffffff" if abs(weight) > 0.6 * reach else "#000000"
            weights.text(column, row, _short(float(weight)), ha="center", va="center", fontsize=7, color=ink)
    blank(weights)
    show_digit(picture, image)
    made.imshow(response, cmap=SEQUENTIAL, interpolation="none")
    blank(made)
    for axes, name in ((weights, "its weights"), (picture, "the image"), (made, "its feature map")):
        axes.set_title(name, fontsize=8.5, color=GREY)
    return figure


def _short(weight: float) -> str:
    """Return a weight in few letters: ``-.12``."""
    word = f"{weight:.2f}"
    return word.replace("0.", ".", 1) if abs(weight) < 1 else word


@styled
def draw_feature_maps(maps: Floats) -> Figure:
    """Draw all feature maps of a layer for one image, all on one scale: (C, H, W)."""
    columns = min(len(maps), 8 if len(maps) <= 64 else 16)
    rows = -(-len(maps) // columns)
    figure = new_figure((WIDTH - 0.5) * rows / columns + 0.55)
    axes = figure.subplots()
    low, high = min(float(maps.min()), 0.0), float(maps.max()) or 1.0
    norm = PowerNorm(0.5 if low == 0 else 1, low, high)  # the root brings faint maps out
    shown = axes.imshow(mosaic(maps, columns), cmap=SEQUENTIAL, norm=norm, interpolation="none")
    blank(axes)
    _scale(figure, shown, axes, "activation")
    return figure


@styled
def draw_saliency(images: NDArray[np.uint8], maps: Floats, titles: Sequence[str]) -> Figure:
    """Draw, for each image (N, 28, 28), where hiding a part changes the answer, over its strokes.

    `maps` are float32 (N, 28, 28), in nats.
    """
    columns = 5
    rows = -(-len(images) // columns)
    figure = new_figure(1.02 * rows + 0.65)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.ravel()[len(images) :]:
        axes.axis("off")
    reach = float(np.percentile(np.abs(maps), STRONG)) or 1.0
    for axes, image, values, title in zip(grid.ravel(), images, maps, titles, strict=False):
        shown = axes.imshow(values, cmap=PALE, vmin=-reach, vmax=reach, interpolation="none")
        strokes = np.zeros((SIDE, SIDE, 4))
        strokes[..., 3] = image / INK * 0.65
        axes.imshow(strokes, interpolation="none")
        blank(axes)
        axes.set_title(title, fontsize=8, pad=2)
    _scale(figure, shown, grid, "fall of the answer's log-odds where hidden, nats", extend="both")
    return figure


@styled
def draw_exciting_images(images: NDArray[np.uint8], channels: Sequence[int]) -> Figure:
    """Draw for each channel, in a row, the images that excite it most: (C, K, 28, 28)."""
    count, each = images.shape[:2]
    page = mosaic(images.reshape(-1, SIDE, SIDE), each, gap=4)
    figure = new_figure((WIDTH - 0.3) * page.shape[0] / page.shape[1] + 0.1)
    axes = figure.subplots()
    show_digit(axes, page)
    axes.set_yticks(np.arange(count) * (SIDE + 4) + SIDE / 2, [str(channel) for channel in channels])
    axes.set_ylabel("channel")
    axes.tick_params(length=0, labelcolor=GREY)
    return figure


@styled
def draw_map(points: Floats, labels: NDArray[np.int64], wrong: NDArray[np.bool_]) -> Figure:
    """Draw images as points (N, 2) coloured by their digit (N,), the wrong answers (N,) ringed."""
    figure = new_figure(4.9)
    axes = figure.subplots()
    for digit in range(CLASSES):
        of_digit = labels == digit
        axes.scatter(points[of_digit, 0], points[of_digit, 1], s=7, color=TEN[digit], linewidths=0, alpha=0.8)
    axes.scatter(
        points[wrong, 0],
        points[wrong, 1],
        s=60,
        facecolors="none",
        edgecolors=TEXT,
        linewidths=1.2,
        label="wrong answer",
    )
    for digit in np.unique(labels):
        across, up = np.median(points[labels == digit], axis=0)
        axes.text(
            across,
            up,
            str(digit),
            ha="center",
            va="center",
            fontsize=11,
            fontweight="bold",
            color="#000000",
            bbox={
                "boxstyle": "circle,pad=0.25",
                "facecolor": "#ffffff",
                "edgecolor": TEN[digit],
                "alpha": 0.9,
            },
        )
    axes.set(aspect="equal", adjustable="datalim")
    blank(axes, around=EDGE)
    if wrong.any():
        figure.legend(loc="outside upper right")
    return figure


@styled
def draw_disagreements(
    images: NDArray[np.uint8], labels: NDArray[np.int64], answers: NDArray[np.int64], confidence: Floats
) -> Figure:
    """Draw images with each run's answer and confidence under them: (N, 28, 28), (N,), (R, N) twice."""
    columns = 4
    rows = -(-len(images) // columns)
    runs = len(answers)
    figure = new_figure(rows * (1.05 + 0.14 * runs))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(images) :]:
        axes.axis("off")
    for number, (axes, image, label) in enumerate(zip(grid, images, labels, strict=False)):
        show_digit(axes, image)
        axes.set_title(f"a {label}", fontsize=8.5, pad=2)
        for run in range(runs):
            right = answers[run, number] == label
            sure = percent(float(confidence[run, number]), 1)
            words = f"{ascii_uppercase[run]}: {answers[run, number]}  {sure}"
            place = -0.03 - 0.15 * run
            colour = GREY if right else ORANGE
            axes.text(
                0.5, place, words, transform=axes.transAxes, fontsize=8, ha="center", va="top", color=colour
            )
    return figure
