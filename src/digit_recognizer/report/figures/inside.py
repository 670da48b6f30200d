"""Figures of the inside of a network: filters, feature maps, saliency, strongest images, map of a layer."""

from __future__ import annotations

from collections.abc import Sequence
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
    DIGIT_COLOURS,
    EDGE,
    OVERLAY_MAP,
    POSITIVE_MAP,
    SIGNED_MAP,
    TEXT,
    WIDTH_IN,
    blank,
    image_grid,
    label_rows,
    mosaic,
    new_figure,
    show_digit,
    styled,
    subtitle,
)

Floats = NDArray[np.float32]

LABEL_WIDTH_IN = 0.5  # of the row labels
MAX_LABELLED_WEIGHTS = 25  # of a filter whose weights are written as numbers
MAX_WEIGHT_LETTERS = 6  # of such a number: longer ones would overlap
FULL_COLOUR_PERCENTILE = 98  # of saliency; stronger values have the colour of this one
STROKE_OPACITY = 0.65  # of the digit over its saliency
MIN_STRONGEST = 10  # images that fit side by side
GAP_PX = 4  # between images


@styled
def draw_filters(filters: Floats) -> Figure:
    """Draw all filters of a layer with one input channel: (C, H, W)."""
    columns = min(len(filters), 8 if len(filters) <= 64 else 12)
    rows = -(-len(filters) // columns)
    figure = new_figure((WIDTH_IN - LABEL_WIDTH_IN) * rows / columns + 0.5)
    _draw_weights(figure, figure.subplots(), mosaic(filters, columns))
    return figure


@styled
def draw_slices(filters: Floats) -> Figure:
    """Draw each filter as a block with a kernel for each input channel: (C, I, H, W)."""
    count, inputs, side, _ = filters.shape
    columns = min(inputs, 16)
    rows = -(-inputs // columns)
    blocks = [mosaic(kernels, columns) for kernels in filters]
    gap = np.full((2, blocks[0].shape[1]), np.nan)
    page = np.concatenate([part for block in blocks for part in (block, gap)][:-1])
    figure = new_figure((WIDTH_IN - LABEL_WIDTH_IN) * page.shape[0] / page.shape[1] + 0.5)
    axes = figure.subplots()
    _draw_weights(figure, axes, page)
    label_rows(axes, range(count), rows * (side + 1) - 2, blocks[0].shape[0] + 2)
    axes.set_ylabel("filter")
    return figure


def _draw_weights(figure: Figure, axes: Axes, page: NDArray[np.float64]) -> None:
    limit = float(np.nanmax(np.abs(page))) or 1.0
    shown = axes.imshow(page, cmap=SIGNED_MAP, vmin=-limit, vmax=limit, interpolation="none")
    blank(axes)
    _add_scale(figure, shown, [axes], "weight")


def _add_scale(
    figure: Figure, shown: ScalarMappable, axes: list[Axes], name: str, extend: str = "neither"
) -> None:
    """Add a bar below the axes that explains the colours of `shown`."""
    bar = figure.colorbar(shown, ax=axes, location="bottom", shrink=0.6, aspect=30, pad=0.02, extend=extend)
    bar.set_label(name, fontsize=8.5)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)
    bar.locator = MaxNLocator(4)
    bar.update_ticks()


@styled
def draw_filter(kernel: Floats, image: NDArray[np.uint8], response: Floats) -> Figure:
    """Draw a filter (H, W) with its weights as numbers, an image (28, 28), and the resulting feature map."""
    figure = new_figure(2.3)
    weights, picture, feature_map = figure.subplots(1, 3, width_ratios=[1.5, 1, 1])
    limit = float(np.abs(kernel).max()) or 1.0
    weights.imshow(kernel, cmap=SIGNED_MAP, vmin=-limit, vmax=limit, interpolation="none")
    words = np.array([[_short(float(weight)) for weight in row] for row in kernel])
    if kernel.size <= MAX_LABELLED_WEIGHTS and max(map(len, words.flat)) <= MAX_WEIGHT_LETTERS:
        for (row, column), word in np.ndenumerate(words):
            colour = "#ffffff" if abs(kernel[row, column]) > 0.6 * limit else "#000000"
            weights.text(column, row, word, ha="center", va="center", fontsize=7, color=colour)
    blank(weights)
    show_digit(picture, image)
    feature_map.imshow(response, cmap=POSITIVE_MAP, interpolation="none")
    blank(feature_map)
    subtitle(weights, "weights")
    subtitle(picture, "image")
    subtitle(feature_map, "feature map")
    return figure


def _short(weight: float) -> str:
    """Return a weight without a leading zero, such as ``-.12``."""
    word = f"{weight:.2f}"
    return word.replace("0.", ".", 1) if abs(weight) < 1 else word


@styled
def draw_feature_maps(maps: Floats) -> Figure:
    """Draw all feature maps of a layer for one image, on a common scale: (C, H, W)."""
    columns = min(len(maps), 8 if len(maps) <= 64 else 16)
    rows = -(-len(maps) // columns)
    figure = new_figure((WIDTH_IN - LABEL_WIDTH_IN) * rows / columns + 0.55)
    axes = figure.subplots()
    low, high = min(float(maps.min()), 0.0), float(maps.max()) or 1.0
    norm = PowerNorm(0.5 if low == 0 else 1, low, high)  # a square root makes weak activations visible
    shown = axes.imshow(mosaic(maps, columns), cmap=POSITIVE_MAP, norm=norm, interpolation="none")
    blank(axes)
    _add_scale(figure, shown, [axes], "activation")
    return figure


@styled
def draw_saliency(images: NDArray[np.uint8], maps: Floats, titles: Sequence[str]) -> Figure:
    """Draw images (N, 28, 28) over their saliency maps (N, 28, 28), in nats."""
    figure, grid = image_grid(len(images), columns=5, row_height=1.02, margin=0.65)
    limit = float(np.percentile(np.abs(maps), FULL_COLOUR_PERCENTILE)) or 1.0
    for axes, image, values, title in zip(grid, images, maps, titles, strict=False):
        shown = axes.imshow(values, cmap=OVERLAY_MAP, vmin=-limit, vmax=limit, interpolation="none")
        strokes = np.zeros((SIDE, SIDE, 4))  # black, as opaque as the ink
        strokes[..., 3] = image / INK * STROKE_OPACITY
        axes.imshow(strokes, interpolation="none")
        blank(axes)
        axes.set_title(title, fontsize=8, pad=2)
    _add_scale(figure, shown, grid, "decrease of the answer's log-odds when hidden, nats", extend="both")
    return figure


@styled
def draw_strongest_images(images: NDArray[np.uint8], channels: Sequence[int]) -> Figure:
    """Draw, in a row for each channel, the images that activate it most: (C, K, 28, 28)."""
    page = mosaic(images.reshape(-1, SIDE, SIDE), columns=images.shape[1], gap=GAP_PX)
    width = max(page.shape[1], MIN_STRONGEST * (SIDE + GAP_PX) - GAP_PX)  # few images are not enlarged
    figure = new_figure((WIDTH_IN - 0.3) * page.shape[0] / width + 0.1)
    axes = figure.subplots()
    show_digit(axes, page)
    axes.set_xlim(-0.5, width - 0.5)
    label_rows(axes, channels, SIDE, SIDE + GAP_PX)
    axes.set_ylabel("channel")
    return figure


@styled
def draw_map(points: Floats, labels: NDArray[np.int64], wrong: NDArray[np.bool_]) -> Figure:
    """Draw images as points (N, 2), coloured by label (N,), with a ring around each wrong answer (N,)."""
    figure = new_figure(4.9)
    axes = figure.subplots()
    for digit in range(CLASSES):
        of_digit = points[labels == digit]
        axes.scatter(of_digit[:, 0], of_digit[:, 1], s=7, color=DIGIT_COLOURS[digit], linewidths=0, alpha=0.8)
    rings = points[wrong]
    axes.scatter(
        rings[:, 0],
        rings[:, 1],
        s=60,
        facecolors="none",
        edgecolors=TEXT,
        linewidths=1.2,
        label="wrong answer",
    )
    font: dict[str, Any] = {"fontsize": 11, "fontweight": "bold", "color": "#000000"}
    box: dict[str, Any] = {"boxstyle": "circle,pad=0.25", "facecolor": "#ffffff", "alpha": 0.9}
    for digit in np.unique(labels):
        x, y = np.median(points[labels == digit], axis=0)
        around = {**box, "edgecolor": DIGIT_COLOURS[digit]}
        axes.text(x, y, str(digit), ha="center", va="center", bbox=around, **font)
    axes.set(aspect="equal", adjustable="datalim")
    blank(axes, frame=EDGE)
    if wrong.any():
        figure.legend(loc="outside upper right")
    return figure
