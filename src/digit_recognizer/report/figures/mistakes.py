"""Figures of the mistakes: which digits are taken for which, and how sure the network was."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES
from digit_recognizer.evaluation import Rejection, Reliability, wilson_interval
from digit_recognizer.report.figures.style import (
    BLUE,
    EDGE,
    GREY,
    ORANGE,
    TEXT,
    WIDTH,
    blank,
    label_digits,
    new_figure,
    show_digit,
    styled,
)
from digit_recognizer.report.words import percent

REJECTED = 10  # percent: as far as the curve of rejection is drawn


@styled
def draw_confusion_counts(confusion: NDArray[np.int64]) -> Figure:
    """Draw how many images of the digit of a row were taken for that of a column: int64 (10, 10)."""
    shades = np.sqrt(
        confusion / max(int(confusion.max()), 1)
    )  # so that single errors are seen beside thousands
    return _confusion(shades, [[f"{count:,}" if count else "" for count in row] for row in confusion])


@styled
def draw_confusion_rates(confusion: NDArray[np.int64]) -> Figure:
    """Draw each row's errors in percent of its images, the right answers left out: int64 (10, 10)."""
    images = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    rates = 100 * confusion / images
    np.fill_diagonal(rates, 0)
    words = [
        [f"{rate:.2f}" if 0 < rate < 9.95 else f"{rate:.0f}" if rate else "" for rate in row] for row in rates
    ]
    return _confusion(rates / max(rates.max(), 1e-9), words, diagonal=False)


def _confusion(shades: NDArray[np.float64], words: list[list[str]], *, diagonal: bool = True) -> Figure:
    figure = new_figure(WIDTH)
    axes = figure.subplots()
    colours = mpl.colormaps["Blues"]
    for row in range(CLASSES):
        for column in range(CLASSES):
            hidden = row == column and not diagonal
            shade = float(shades[row, column])
            face = EDGE if hidden else colours(shade) if shade else "none"
            axes.add_patch(
                mpl.patches.Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=face, edgecolor=EDGE, lw=0.5)
            )
            word = "" if hidden else words[row][column]
            ink = "#ffffff" if shade > 0.55 else "#000000"
            axes.text(column, row, word, ha="center", va="center", fontsize=8, color=ink)
    axes.set(xlim=(-0.5, 9.5), ylim=(9.5, -0.5), aspect="equal", xlabel="answered", ylabel="shown")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    label_digits(axes, ("x", "y"))
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


@styled
def draw_error_rates(errors: NDArray[np.int64], images: NDArray[np.int64]) -> Figure:
    """Draw the error rate of each digit with its 95 % interval: two times int64 (10,)."""
    figure = new_figure(2.9)
    axes = figure.subplots()
    for digit in np.flatnonzero(images):
        wrong, count = int(errors[digit]), int(images[digit])
        low, high = (100 * end for end in wilson_interval(wrong, count))
        axes.plot([digit, digit], [low, high], color=BLUE, linewidth=5, alpha=0.35, solid_capstyle="round")
        axes.plot(digit, 100 * wrong / count, "o", color=BLUE, markersize=5)
    whole = 100 * errors.sum() / max(int(images.sum()), 1)
    axes.axhline(whole, color=GREY, linewidth=1, linestyle="--", label=f"all digits: {whole:.2f} %")
    axes.set(xlabel="digit", ylabel="error rate, %", ylim=(0, None), xlim=(-0.6, 9.6))
    axes.grid(visible=False, axis="x")
    label_digits(axes)
    figure.legend(loc="outside upper right")
    return figure


@styled
def draw_confident_errors(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    names: NDArray[np.int64],
) -> Figure:
    """Draw wrong answers, each beside its three likeliest digits.

    `images` (N, 28, 28), `labels` (N,) and `probabilities` (N, 10); `names` (N,) are rows in the source.
    """
    columns = 3
    rows = max(-(-len(images) // columns), 1)
    figure = new_figure(0.92 * rows + 0.1)
    grid = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[1, 0.95] * columns).reshape(-1, 2)
    for picture, bars in grid:
        picture.axis("off")
        bars.axis("off")
    for (picture, bars), image, label, chances, name in zip(
        grid, images, labels, probabilities, names, strict=False
    ):
        picture.axis("on")
        show_digit(picture, image)
        picture.set_title(f"a {label}", fontsize=8.5, pad=2)
        bars.set_title(f"row {name}", fontsize=8, pad=2, color=GREY)
        _three_likeliest(bars, int(label), chances)
    return figure


def _three_likeliest(axes: Axes, label: int, probabilities: NDArray[np.float32]) -> None:
    for place, digit in enumerate(np.argsort(-probabilities, kind="stable")[:3]):
        chance = float(probabilities[digit])
        colour = BLUE if digit == label else ORANGE if place == 0 else EDGE
        axes.barh(-place, chance, height=0.28, color=colour, align="center")
        axes.text(0, 0.22 - place, f"{digit}", va="bottom", fontsize=8, fontweight="bold")
        axes.text(1, 0.22 - place, percent(chance, 1), va="bottom", ha="right", fontsize=8, color=GREY)
    axes.set(xlim=(0, 1), ylim=(-2.5, 1.0))


@styled
def draw_sample(
    images: NDArray[np.uint8], labels: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> Figure:
    """Draw images with answer and confidence, wrong answers framed: (N, 28, 28), (N,), (N, 10)."""
    answers = probabilities.argmax(1)
    words = []
    for answer, label, chances in zip(answers, labels, probabilities, strict=True):
        chance = float(chances[answer])
        right = f"{answer}  {percent(chance, 1)}"
        words.append(right if answer == label else f"{answer}  {percent(chance, 0)}, is {label}")
    return _draw_under_words(images, words, answers == labels, columns=5, height=1.02)


@styled
def draw_corrections(images: NDArray[np.uint8], words: list[str], right: NDArray[np.bool_]) -> Figure:
    """Draw images under words, what is not right framed: (N, 28, 28), N words, (N,)."""
    return _draw_under_words(images, words, right, columns=6, height=0.92)


def _draw_under_words(
    images: NDArray[np.uint8], words: list[str], right: NDArray[np.bool_], *, columns: int, height: float
) -> Figure:
    """Draw images in rows as high as `height`, in inches, what is not right framed."""
    rows = -(-len(images) // columns)
    figure = new_figure(height * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(images) :]:
        axes.axis("off")
    for axes, image, word, good in zip(grid, images, words, right, strict=False):
        show_digit(axes, image)
        if not good:
            blank(axes, around=ORANGE)
        axes.set_title(word, fontsize=8, pad=2, color=TEXT if good else ORANGE)
    return figure


@styled
def draw_reliability(reliability: Reliability) -> Figure:
    """Draw accuracy against confidence, and how many images have each confidence."""
    figure = new_figure(3.9)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    edges = np.linspace(0, 100, len(reliability.images) + 1)
    filled = reliability.images > 0
    upper.plot([0, 100], [0, 100], color=GREY, linewidth=1, linestyle="--", label="as sure as right")
    upper.plot(
        100 * reliability.confidence[filled],
        100 * reliability.accuracy[filled],
        "o",
        color=BLUE,
        markersize=4,
    )
    for place in np.flatnonzero(filled):
        count = int(reliability.images[place])
        low, high = wilson_interval(round(reliability.accuracy[place] * count), count)
        upper.vlines(100 * reliability.confidence[place], 100 * low, 100 * high, color=BLUE, alpha=0.35, lw=4)
    lower.bar(
        edges[:-1], reliability.images, width=np.diff(edges), align="edge", color=BLUE, edgecolor="none"
    )
    upper.set(ylabel="accuracy, %", ylim=(-3, 103))
    lower.set(xlabel="confidence, %", ylabel="images", yscale="log", xlim=(0, 101), ylim=(0.7, None))
    figure.legend(*upper.get_legend_handles_labels(), loc="outside upper right")
    return figure


@styled
def draw_rejection(rejection: Rejection) -> Figure:
    """Draw the accuracy of what is kept against the share of images that are refused as unsure."""
    figure = new_figure(2.9)
    axes = figure.subplots()
    within = 100 * rejection.rejected <= REJECTED
    share, accuracy = 100 * rejection.rejected[within], 100 * rejection.accuracy[within]
    axes.step([*share, REJECTED], [*accuracy, accuracy[-1]], where="post", color=BLUE)
    perfect = share[accuracy == 100]
    if perfect.size:
        words = f"no error left at {perfect[0]:.1f} %"
        axes.axvline(perfect[0], color=GREY, linewidth=1, linestyle=":", label=words)
        figure.legend(loc="outside upper right")
    axes.set(xlabel="refused as unsure, % of the images", ylabel="accuracy of those kept, %")
    axes.set_xlim(-0.1, REJECTED)
    axes.yaxis.set_major_formatter("{x:g}")
    return figure
