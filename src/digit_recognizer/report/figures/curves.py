"""Figures of loss, accuracy and learning rate over the epochs, of one run or of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter
from numpy.typing import NDArray

from digit_recognizer.report.figures.style import BLUE, GREEN, GREY, ORANGE, TEXT, new_figure, styled

Floats = NDArray[np.float64]

RUN_COLOURS, RUN_DASHES = (BLUE, ORANGE, GREEN, TEXT, "#cc79a7", "#e69f00"), ("-", "--", "-.", ":")
ACCURACY_TICKS = (0.2, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 0.99999)
MIN_LOSS = 1e-6  # lower losses are drawn here, because a logarithmic scale has no zero
MIN_ERROR_RATE = 1e-6  # lower error rates count as zero
MAX_LOG_ERROR_RATE = 0.3  # if every error rate is higher, the scale of the accuracy is linear


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
    """Draw loss, accuracy and learning rate (E,) over E epochs.

    `best` is the number of the epoch to mark as the best, from 1; `stopped` marks the last one as the end.
    """
    figure = new_figure(5.0)
    losses, accuracies, rates = figure.subplots(3, 1, sharex=True, height_ratios=[3, 3, 1.4])
    epochs = np.arange(1, len(loss) + 1)
    points: dict[str, Any] = {"marker": "o" if len(epochs) < 12 else None, "markersize": 3.5}
    for axes, training, validation in (
        (losses, _above_zero(loss), None if validation_loss is None else _above_zero(validation_loss)),
        (accuracies, accuracy, validation_accuracy),
    ):
        axes.plot(epochs, training, color=BLUE, label="training", **points)
        if validation is not None:
            axes.plot(epochs, validation, "--", color=ORANGE, label="validation", **points)
    rates.plot(epochs, learning_rate, color=GREEN, drawstyle="steps-mid", **points)
    losses.set(ylabel="loss, nats")
    accuracies.set(ylabel="accuracy, %")
    rates.set(ylabel="learning\nrate", xlabel="epoch", yscale="log")
    _scale_losses(losses)
    _scale_accuracies(accuracies)
    _scale_epochs(rates, len(epochs))
    for axes in (losses, accuracies, rates):
        if best is not None:
            axes.axvline(best, color=TEXT, linewidth=1, linestyle=":", label=f"best epoch ({best})")
        if stopped:
            axes.axvline(len(epochs), color=GREY, linewidth=1, linestyle="-.", label="stopped early")
    figure.legend(*accuracies.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


@styled
def draw_compared_curves(
    names: Sequence[str], losses: Sequence[Floats], accuracies: Sequence[Floats], part: str
) -> Figure:
    """Draw loss and accuracy over the epochs, a line for each run; `part` is training or validation."""
    figure = new_figure(4.4)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for number, (name, loss, accuracy) in enumerate(zip(names, losses, accuracies, strict=True)):
        epochs = np.arange(1, len(loss) + 1)
        line: dict[str, Any] = {
            "color": RUN_COLOURS[number % len(RUN_COLOURS)],
            "linestyle": RUN_DASHES[number % len(RUN_DASHES)],
            "marker": "o" if len(epochs) < 3 else None,
            "markersize": 4,
        }
        upper.plot(epochs, _above_zero(loss), label=name, **line)
        lower.plot(epochs, accuracy, **line)
    upper.set(ylabel=f"{part} loss, nats")
    _scale_losses(upper)
    _scale_accuracies(lower)
    lower.set(ylabel=f"{part} accuracy, %", xlabel="epoch")
    _scale_epochs(lower, max(map(len, losses)))
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def _scale_epochs(axes: Axes, last: int) -> None:
    """Show all epochs, with ticks at whole numbers only."""
    margin = max(0.02 * last, 0.2)
    axes.set_xlim(1 - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _scale_losses(axes: Axes) -> None:
    """Use a logarithmic scale with plain numbers at its ticks."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def _above_zero(losses: Floats) -> Floats:
    return np.maximum(losses, MIN_LOSS)


def _scale_accuracies(axes: Axes) -> None:
    """Scale accuracies, 0 to 1, so that each tenfold decrease of the error rate takes the same height.

    100 % is infinitely far up on this scale. It is drawn at half the smallest error rate above zero instead.
    """
    errors = 1 - np.concatenate([np.asarray(line.get_ydata(), np.float64) for line in axes.lines])
    if errors.min() > MAX_LOG_ERROR_RATE:
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
        return
    has_perfect = errors.min() <= MIN_ERROR_RATE
    perfect = float(errors[errors > MIN_ERROR_RATE].min(initial=0.01)) / 2  # error rate drawn for 100 %
    for line in axes.lines:
        line.set_ydata(np.minimum(np.asarray(line.get_ydata(), np.float64), 1 - perfect))
    best = perfect if has_perfect else float(errors.min())
    bottom, top = _nines(1 - max(float(errors.max()), 5 * best)), _nines(1 - best)
    margin = 0.06 * (top - bottom)
    axes.set_yscale("function", functions=(_nines, _from_nines))
    axes.set_ylim(_from_nines(bottom - margin), _from_nines(top + margin))
    ticks = [1 - perfect] if has_perfect else []
    for tick in sorted(ACCURACY_TICKS, reverse=True):
        highest = _nines(ticks[-1]) - 2 * margin if ticks else top + margin  # so that labels do not overlap
        if bottom - margin <= _nines(tick) <= highest:
            ticks.append(tick)
    words = [f"{100 * tick:g}" for tick in ticks]
    axes.set_yticks(ticks, ["100", *words[1:]] if has_perfect else words)


def _nines(accuracy: Any) -> Any:
    """Return how many nines an accuracy has: 1 for 0.9, 2 for 0.99."""
    return -np.log10(np.maximum(1 - np.asarray(accuracy), MIN_ERROR_RATE / 10))


def _from_nines(nines: Any) -> Any:
    return 1 - 10.0 ** -np.asarray(nines)
