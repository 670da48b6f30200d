"""Figures of the training: the network to scale, and its curves over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter
from numpy.typing import NDArray

from digit_recognizer.digits import SIDE
from digit_recognizer.report.figures.style import (
    BLUE,
    DASHES,
    GREEN,
    GREY,
    LINE_COLOURS,
    ORANGE,
    TEXT,
    WIDTH,
    new_figure,
    styled,
)

Floats = NDArray[np.float64]

ACCURACIES = (0.2, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 0.99999)  # marked
SMALLEST = 1e-6  # a loss of 0 is drawn as this; an error rate below it counts as 0
LARGE = 0.3  # an error rate from which accuracies need no scale of their own

SLANT = 0.35  # of a side: how far the receding edges of a box go, right and up
BOX_SPAN = 60.0  # width of the longest box without its slant, in pixels of an image's side
COLOURS = {"Conv": BLUE, "Dense": ORANGE, "input": GREY}  # of boxes by the kind of layer; else GREEN


@styled
def draw_network(layers: Sequence[tuple[str, str, tuple[int, ...]]]) -> Figure:
    """Draw each layer's output as a box: height and depth are its pixels, the width its channels or values.

    Parameters
    ----------
    layers
        Name, kind and output shape of each, from top to bottom: (height, width, channels) or (values,).
    """
    boxes = [(name, kind, shape if len(shape) == 3 else (1, 1, shape[-1])) for name, kind, shape in layers]
    boxes = [("image", "input", (SIDE, SIDE, 1)), *boxes]
    heights = [max(shape[0] * (1 + SLANT), 6.0) + 3 for _, _, shape in boxes]
    channel = BOX_SPAN / max(shape[2] for _, _, shape in boxes)  # width of one channel
    figure = new_figure(WIDTH * sum(heights) / 124 + 0.1)
    axes = figure.subplots()
    bottom = 0.0
    for (name, kind, shape), height in zip(boxes, heights, strict=True):
        bottom -= height
        _box(axes, bottom + (height - shape[0] * (1 + SLANT)) / 2, shape, channel, COLOURS.get(kind, GREEN))
        middle = bottom + height / 2
        axes.text(-46, middle, name, va="center", fontweight="bold", fontsize=8.5)
        size = " × ".join(f"{side:,}" for side in (shape if shape[0] > 1 or shape[1] > 1 else shape[2:]))
        axes.text(-24, middle, size, va="center", color=GREY, fontsize=8)
    axes.set(xlim=(-46, BOX_SPAN + SIDE * SLANT + 6), ylim=(bottom, 0), aspect="equal")
    axes.axis("off")
    return figure


def _box(axes: Axes, bottom: float, shape: tuple[int, ...], channel: float, colour: str) -> None:
    """Draw a box in oblique projection: channels to the right, rows upwards, columns receding."""
    height, depth, width = float(shape[0]), shape[1] * SLANT, max(shape[2] * channel, 0.4)
    right, top = width, bottom + height
    front = [(0, bottom), (right, bottom), (right, top), (0, top)]
    above = [(0, top), (right, top), (right + depth, top + depth), (depth, top + depth)]
    side = [(right, bottom), (right + depth, bottom + depth), (right + depth, top + depth), (right, top)]
    for corners, opacity in ((front, 0.75), (above, 0.45), (side, 0.3)):
        axes.add_patch(Polygon(corners, facecolor=colour, alpha=opacity, linewidth=0))
        axes.add_patch(Polygon(corners, fill=False, edgecolor=colour, linewidth=0.6))


@styled
def draw_curves(
    loss: Floats,
    accuracy: Floats,
    validation_loss: Floats | None,
    validation_accuracy: Floats | None,
    learning_rate: Floats,
    *,
    best: int | None = None,
    stopped: bool = False,
) -> Figure:
    """Draw loss, accuracy and learning rate over the epochs.

    Parameters
    ----------
    loss, accuracy, validation_loss, validation_accuracy, learning_rate
        float64, shape (E,), a value for each epoch; None without validation images.
    best
        The epoch to mark as the best, counted from 1.
    stopped
        Whether the training ended before its last epoch; the end is marked then.
    """
    figure = new_figure(5.0)
    losses, accuracies, rates = figure.subplots(3, 1, sharex=True, height_ratios=[3, 3, 1.4])
    epochs = np.arange(1, len(loss) + 1)
    marker = "o" if len(epochs) < 12 else None
    for axes, trained, validated in (
        (losses, _above_zero(loss), None if validation_loss is None else _above_zero(validation_loss)),
        (accuracies, accuracy, validation_accuracy),
    ):
        axes.plot(epochs, trained, color=BLUE, marker=marker, markersize=3.5, label="training")
        if validated is not None:
            axes.plot(
                epochs, validated, "--", color=ORANGE, marker=marker, markersize=3.5, label="validation"
            )
    rates.plot(epochs, learning_rate, color=GREEN, drawstyle="steps-mid", marker=marker, markersize=3.5)
    losses.set(ylabel="loss, nats")
    accuracies.set(ylabel="accuracy, %")
    rates.set(ylabel="learning\nrate", xlabel="epoch")
    _scale_losses(losses)
    _scale_accuracies(accuracies)
    rates.set_yscale("log")
    _count_epochs(rates, len(epochs))
    for axes in (losses, accuracies, rates):
        _mark(axes, best, len(loss) if stopped else None)
    figure.legend(*accuracies.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def _mark(axes: Axes, best: int | None, end: int | None) -> None:
    """Mark the best epoch, and the one behind which the training was stopped."""
    if best is not None:
        axes.axvline(best, color=TEXT, linewidth=1, linestyle=":", label=f"best epoch ({best})")
    if end is not None:
        axes.axvline(end, color=GREY, linewidth=1, linestyle="-.", label="stopped early")


def _count_epochs(axes: Axes, last: int) -> None:
    """Mark whole epochs, from the first to the last."""
    room = max(0.02 * last, 0.2)
    axes.set_xlim(1 - room, last + room)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _scale_losses(axes: Axes) -> None:
    """Draw losses on a logarithmic scale whose marks are plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def _above_zero(losses: Floats) -> Floats:
    """Return losses that a logarithmic scale can show."""
    return np.maximum(losses, SMALLEST)


def _scale_accuracies(axes: Axes) -> None:
    """Draw accuracies, 0 to 1, so that each tenfold fall of the error rate takes as much room.

    Where 100 % was reached, it stands at half of the smallest error rate above 0.
    """
    errors = 1 - np.concatenate([np.asarray(line.get_ydata(), np.float64) for line in axes.lines])
    if errors.min() > LARGE:
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
        return
    perfect = errors.min() <= SMALLEST
    smallest = float(errors[errors > SMALLEST].min(initial=0.01)) / 2
    for line in axes.lines:
        line.set_ydata(np.minimum(np.asarray(line.get_ydata(), np.float64), 1 - smallest))
    best = smallest if perfect else float(errors.min())
    bottom, top = _nines(1 - max(float(errors.max()), 5 * best)), _nines(1 - best)
    room = 0.06 * (top - bottom)
    axes.set_yscale("function", functions=(_nines, _from_nines))
    axes.set_ylim(_from_nines(bottom - room), _from_nines(top + room))
    marks = [1 - smallest] if perfect else []
    for mark in sorted(ACCURACIES, reverse=True):
        below = _nines(marks[-1]) - 2 * room if marks else top + room
        if bottom - room <= _nines(mark) <= below:
            marks.append(mark)
    words = [f"{100 * mark:g}" for mark in marks]
    axes.set_yticks(marks, ["100", *words[1:]] if perfect else words)


def _nines(accuracy: Any) -> Any:
    return -np.log10(np.maximum(1 - np.asarray(accuracy), SMALLEST / 10))


def _from_nines(nines: Any) -> Any:
    return 1 - 10.0 ** -np.asarray(nines)


@styled
def draw_compared_curves(
    names: Sequence[str], losses: Sequence[Floats], accuracies: Sequence[Floats], what: str
) -> Figure:
    """Draw one line a run for loss and accuracy (0 to 1) over the epochs; `what` says of which images."""
    figure = new_figure(4.4)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for number, (name, loss, accuracy) in enumerate(zip(names, losses, accuracies, strict=True)):
        colour, style = LINE_COLOURS[number % len(LINE_COLOURS)], DASHES[number % len(DASHES)]
        epochs = np.arange(1, len(loss) + 1)
        marker = "o" if len(epochs) < 3 else None
        upper.plot(epochs, _above_zero(loss), style, color=colour, marker=marker, markersize=4, label=name)
        lower.plot(epochs, accuracy, style, color=colour, marker=marker, markersize=4)
    upper.set(ylabel=f"{what} loss, nats")
    _scale_losses(upper)
    _scale_accuracies(lower)
    lower.set(ylabel=f"{what} accuracy, %", xlabel="epoch")
    _count_epochs(lower, max(map(len, losses)))
    figure.legend(loc="outside upper center", ncols=2)
    return figure
