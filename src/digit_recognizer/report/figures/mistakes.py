"""Figures of mistakes: confusion matrices, error rates, images with answers, calibration, rejection."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from digit_recognizer.evaluation import RejectionCurve, Reliability, wilson_interval
from digit_recognizer.formatting import percent
from digit_recognizer.report.figures.style import (
    BLUE,
    EDGE,
    GREY,
    ORANGE,
    TEXT,
    WIDTH_IN,
    blank,
    image_grid,
    label_digits,
    new_figure,
    show_digit,
    styled,
)

MAX_REJECTED_PERCENT = 10  # end of the axis of the rejection curve
WHITE_TEXT_FROM = 0.55  # shade of a cell, 0 to 1, on which white text is more legible than black


@styled
def draw_confusion_counts(confusion: NDArray[np.int64]) -> Figure:
    """Draw the number of images by label (row) and answer (column): int64 (10, 10)."""
    largest = max(int(confusion.max()), 1)
    shades = np.sqrt(confusion / largest)  # the root makes single errors visible beside thousands
    return _draw_confusion(shades, [[f"{count:,}" if count else "" for count in row] for row in confusion])


@styled
def draw_confusion_rates(confusion: NDArray[np.int64]) -> Figure:
    """Draw the errors of each row in percent of its images, without the diagonal: int64 (10, 10)."""
    images = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    rates = 100 * confusion / images
    np.fill_diagonal(rates, 0)
    words = [
        [f"{rate:.2f}" if 0 < rate < 9.95 else f"{rate:.0f}" if rate else "" for rate in row] for row in rates
    ]
    return _draw_confusion(rates / max(rates.max(), 1e-9), words, has_diagonal=False)


def _draw_confusion(
    shades: NDArray[np.float64], words: list[list[str]], *, has_diagonal: bool = True
) -> Figure:
    """Draw a matrix of cells with a shade, 0 to 1, and a word each."""
    figure = new_figure(WIDTH_IN)
    axes = figure.subplots()
    colours = mpl.colormaps["Blues"]
    for (row, column), shade in np.ndenumerate(shades):
        is_hidden = row == column and not has_diagonal
        face = EDGE if is_hidden else colours(float(shade)) if shade else "none"
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=face, edgecolor=EDGE, lw=0.5))
        word = "" if is_hidden else words[row][column]
        colour = "#ffffff" if shade > WHITE_TEXT_FROM else "#000000"
        axes.text(column, row, word, ha="center", va="center", fontsize=8, color=colour)
    axes.set(xlim=(-0.5, 9.5), ylim=(9.5, -0.5), aspect="equal", xlabel="answer", ylabel="label")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    label_digits(axes, ("x", "y"))
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


@styled
def draw_error_rates(errors: NDArray[np.int64], images: NDArray[np.int64]) -> Figure:
    """Draw the error rate of each digit with its 95 % interval: int64 (10,) each."""
    figure = new_figure(2.9)
    axes = figure.subplots()
    for digit in np.flatnonzero(images):
        wrong, count = int(errors[digit]), int(images[digit])
        low, high = (100 * end for end in wilson_interval(wrong, count))
        axes.plot([digit, digit], [low, high], color=BLUE, linewidth=5, alpha=0.35, solid_capstyle="round")
        axes.plot(digit, 100 * wrong / count, "o", color=BLUE, markersize=5)
    overall = 100 * errors.sum() / max(int(images.sum()), 1)
    axes.axhline(overall, color=GREY, linewidth=1, linestyle="--", label=f"all digits: {overall:.2f} %")
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
    rows: NDArray[np.int64],
) -> Figure:
    """Draw wrong answers, each beside its three most probable digits.

    `images` (N, 28, 28), `labels` (N,) and `probabilities` (N, 10); `rows` (N,) are those in the source.
    """
    columns = 3
    lines = max(-(-len(images) // columns), 1)
    figure = new_figure(0.92 * lines + 0.1)
    grid = figure.subplots(lines, 2 * columns, squeeze=False, width_ratios=[1, 0.95] * columns).reshape(-1, 2)
    for axes in grid.ravel():
        axes.axis("off")
    for (picture, bars), image, label, each, row in zip(
        grid, images, labels, probabilities, rows, strict=False
    ):
        picture.axis("on")
        show_digit(picture, image)
        picture.set_title(f"label {label}", fontsize=8.5, pad=2)
        bars.set_title(f"row {row}", fontsize=8, pad=2, color=GREY)
        _draw_three_most_probable(bars, int(label), each)
    return figure


def _draw_three_most_probable(axes: Axes, label: int, probabilities: NDArray[np.float32]) -> None:
    for place, digit in enumerate(np.argsort(-probabilities, kind="stable")[:3]):
        probability = float(probabilities[digit])
        colour = BLUE if digit == label else ORANGE if place == 0 else EDGE
        axes.barh(-place, probability, height=0.28, color=colour, align="center")
        axes.text(0, 0.22 - place, f"{digit}", va="bottom", fontsize=8, fontweight="bold")
        axes.text(1, 0.22 - place, percent(probability, 1), va="bottom", ha="right", fontsize=8, color=GREY)
    axes.set(xlim=(0, 1), ylim=(-2.5, 1.0))


@styled
def draw_sample(
    images: NDArray[np.uint8], labels: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> Figure:
    """Draw images with answer and confidence, wrong answers framed: (N, 28, 28), (N,), (N, 10)."""
    answers, confidence = probabilities.argmax(1), probabilities.max(1)
    correct = answers == labels
    words = [
        f"{answer}  {percent(float(chance), 1)}"
        if is_correct
        else f"{answer}  {percent(float(chance), 0)}, is {label}"
        for answer, label, chance, is_correct in zip(answers, labels, confidence, correct, strict=True)
    ]
    return _draw_titled_images(images, words, correct, columns=5, row_height=1.02)


@styled
def draw_corrections(images: NDArray[np.uint8], words: list[str], correct: NDArray[np.bool_]) -> Figure:
    """Draw images (N, 28, 28) below N words, wrong answers framed."""
    return _draw_titled_images(images, words, correct, columns=6, row_height=0.92)


def _draw_titled_images(
    images: NDArray[np.uint8],
    words: Sequence[str],
    correct: NDArray[np.bool_],
    *,
    columns: int,
    row_height: float,
) -> Figure:
    figure, grid = image_grid(len(images), columns, row_height)
    for axes, image, word, is_correct in zip(grid, images, words, correct, strict=False):
        show_digit(axes, image)
        if not is_correct:
            blank(axes, frame=ORANGE)
        axes.set_title(word, fontsize=8, pad=4, color=TEXT if is_correct else ORANGE)
    return figure


@styled
def draw_disagreements(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    answers: NDArray[np.int64],
    confidence: NDArray[np.float32],
) -> Figure:
    """Draw images (N, 28, 28) with the answers and confidences (R, N) of R runs below each."""
    figure, grid = image_grid(len(images), columns=4, row_height=1.36 + 0.155 * len(answers))
    figure.set_layout_engine("constrained", h_pad=0.08)  # inches: keeps answers apart from the next row
    for axes, image, label, answer_of_run, confidence_of_run in zip(
        grid, images, labels, answers.T, confidence.T, strict=False
    ):
        show_digit(axes, image)
        axes.set_title(f"label {label}", fontsize=8.5, pad=2)
        for run, (answer, chance) in enumerate(zip(answer_of_run, confidence_of_run, strict=True)):
            axes.text(
                0.5,
                -0.03 - 0.15 * run,
                f"{ascii_uppercase[run]}: {answer}  {percent(float(chance), 1)}",
                transform=axes.transAxes,
                fontsize=8,
                ha="center",
                va="top",
                color=GREY if answer == label else ORANGE,
            )
    return figure


@styled
def draw_reliability(reliability: Reliability) -> Figure:
    """Draw accuracy by confidence, and the number of images by confidence."""
    figure = new_figure(3.9)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    edges = np.linspace(0, 100, len(reliability.images) + 1)
    filled = np.flatnonzero(reliability.images)
    confidence, accuracy = 100 * reliability.confidence[filled], 100 * reliability.accuracy[filled]
    upper.plot([0, 100], [0, 100], color=GREY, linewidth=1, linestyle="--", label="perfect calibration")
    upper.plot(confidence, accuracy, "o", color=BLUE, markersize=4)
    for place, x in zip(filled, confidence, strict=True):
        images = int(reliability.images[place])
        low, high = wilson_interval(round(reliability.accuracy[place] * images), images)
        upper.vlines(x, 100 * low, 100 * high, color=BLUE, alpha=0.35, lw=4)
    lower.bar(
        edges[:-1], reliability.images, width=np.diff(edges), align="edge", color=BLUE, edgecolor="none"
    )
    upper.set(ylabel="accuracy, %", ylim=(-3, 103))
    lower.set(xlabel="confidence, %", ylabel="images", yscale="log", xlim=(0, 101), ylim=(0.7, None))
    figure.legend(*upper.get_legend_handles_labels(), loc="outside upper right")
    return figure


@styled
def draw_rejection(curve: RejectionCurve) -> Figure:
    """Draw the accuracy of the remaining answers by the percentage of images rejected."""
    figure = new_figure(2.9)
    axes = figure.subplots()
    drawn = 100 * curve.rejected <= MAX_REJECTED_PERCENT
    rejected, accuracy = 100 * curve.rejected[drawn], 100 * curve.accuracy[drawn]
    axes.step([*rejected, MAX_REJECTED_PERCENT], [*accuracy, accuracy[-1]], where="post", color=BLUE)
    perfect = rejected[accuracy == 100]
    if perfect.size:
        words = f"no errors remain at {perfect[0]:.1f} %"
        axes.axvline(perfect[0], color=GREY, linewidth=1, linestyle=":", label=words)
        figure.legend(loc="outside upper right")
    axes.set(xlabel="rejected images, %", ylabel="accuracy of the rest, %")
    axes.set_xlim(-0.1, MAX_REJECTED_PERCENT)
    axes.yaxis.set_major_formatter("{x:g}")
    return figure
