"""The mistakes: which digits are taken for which, and whether the network knows when it is unsure."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, Predictions
from digit_recognizer.evaluation import (
    Evaluation,
    Rejection,
    measure_reliability,
    measure_scores,
    most_confident_errors,
    reject_unsure,
    wilson_interval,
)
from digit_recognizer.report import figures
from digit_recognizer.report.blocks import Block, ConfusionTable, Note, Picture, Section, Table
from digit_recognizer.report.subject import Study
from digit_recognizer.report.words import count, percent, spelled

A_CELL = 16  # images of a cell of the confusion matrix, at most
CONFIDENT = 12  # errors shown
SAMPLE = 25  # images drawn at random

TITLE = "The mistakes"


def show_mistakes(study: Study) -> Section:
    """Show what was read wrongly, and how sure the network was."""
    evaluation = study.evaluation
    if evaluation is None:
        return Section("mistakes", TITLE, "", [Note("Confusion, errors, calibration", study.why_not_judged)])
    lead = (
        f"{count(evaluation.errors, 'error')} in {study.judged_in_words(evaluation.images)}. "
        f"{_most_confused(evaluation)}"
    )
    blocks = [
        _confusion_table(study, evaluation),
        *_confusion_pictures(evaluation),
        _rates(evaluation),
        _scores(study, evaluation),
        _confident(study),
        _sample(study),
        _reliability(study),
        _rejection(study, evaluation),
    ]
    return Section("mistakes", TITLE, lead, blocks)


def _most_confused(evaluation: Evaluation) -> str:
    errors = evaluation.confusion * (1 - np.eye(CLASSES, dtype=np.int64))
    if not errors.any():
        return "Not one was taken for another."
    shown, answered = np.argwhere(errors == errors.max()).T
    pairs = [f"{a} taken for {b}" for a, b in zip(shown, answered, strict=True)]
    times = {1: "once", 2: "twice"}.get(int(errors.max()), f"{errors.max():,} times")
    if len(pairs) > 3:
        return f"No confusion happened more than {times}."
    return f"Most often: {spelled(pairs)} ({times}{' each' if len(pairs) > 1 else ''})."


def _confusion_table(study: Study, evaluation: Evaluation) -> ConfusionTable:
    answers, labels, order = study.predictions.labels, study.labels, np.argsort(-study.predictions.confidence)
    rows: dict[tuple[int, int], NDArray[np.int64]] = {}
    for shown, answered in np.argwhere(evaluation.confusion):
        here = order[(labels[order] == shown) & (answers[order] == answered)]
        rows[int(shown), int(answered)] = study.judged_rows[here[:A_CELL]]
    return ConfusionTable(
        "Confusion: counts",
        "Rows are the digits shown, columns those answered; right answers stand on the diagonal. "
        f"Point at a cell, tap it or tab to it to see its images, the most confident {A_CELL} at most.",
        evaluation.confusion,
        {cell: study.digits.images[chosen] for cell, chosen in rows.items()},
        rows,
    )


def _confusion_pictures(evaluation: Evaluation) -> list[Block]:
    words = _most_confused(evaluation)
    counts = Picture(
        "confusion-counts",
        "Confusion: counts",
        "Number of images of each digit (row) by what was answered (column).",
        f"Confusion matrix of ten by ten cells. {words}",
        partial(figures.draw_confusion_counts, evaluation.confusion),
        shown=False,
    )
    if not evaluation.errors:
        return [counts, Note("Confusion: errors", "There is no error to draw: every answer was right.")]
    rates = Picture(
        "confusion-rates",
        "Confusion: errors",
        "Percent of each row's images that were taken for the column's digit; right answers are left out "
        "(grey), so that errors show.",
        f"Confusion matrix without its diagonal, in percent of each row. {words}",
        partial(figures.draw_confusion_rates, evaluation.confusion),
    )
    return [counts, rates]


def _rates(evaluation: Evaluation) -> Picture:
    images, errors = evaluation.images_per_digit, evaluation.errors_per_digit
    shown = np.flatnonzero(images)
    worst = shown[np.argmax(errors[shown] / images[shown])]
    return Picture(
        "error-rates",
        "Error rate of each digit",
        "Percent of a digit's images that were read wrongly (dot), with its 95 % interval (bar). Where bars "
        "overlap widely, the digits may well be equally hard.",
        f"Error rates by digit, the highest for {worst}: {errors[worst]} of {images[worst]:,} images.",
        partial(figures.draw_error_rates, errors, images),
    )


def _scores(study: Study, evaluation: Evaluation) -> Table:
    scores = measure_scores(study.predictions, study.labels)
    rows = []
    for digit in range(CLASSES):
        images, errors = int(evaluation.images_per_digit[digit]), int(evaluation.errors_per_digit[digit])
        low, high = wilson_interval(images - errors, images) if images else (np.nan, np.nan)
        interval = f"{100 * low:.2f} to {percent(high)}" if images else "–"
        values = (scores.precision[digit], scores.recall[digit], scores.f1[digit])
        rows.append([str(digit), f"{images:,}", str(errors), *map(percent, values), interval])
    never = [str(digit) for digit in range(CLASSES) if not evaluation.confusion[:, digit].any()]
    remark = f" Never answered: {spelled(never)}." if never else ""
    return Table(
        "Precision, recall and F1",
        "Precision: of the answers with this digit, those right. Recall: of the images of this digit, those "
        "read rightly, with its 95 % interval. F1: their harmonic mean. A dash: there is nothing to "
        f"count.{remark}",
        ("digit", "images", "errors", "precision", "recall", "F1", "recall, 95 %"),
        rows,
        frozenset(range(1, 7)),
    )


def _confident(study: Study) -> Block:
    title = "The most confident errors"
    wrong = most_confident_errors(study.predictions, study.labels)
    if not len(wrong):
        return Note(title, "There is none: every answer was right.")
    shown = wrong[:CONFIDENT]
    return Picture(
        "confident-errors",
        title,
        "Above each image what it is labelled and its row in the source, counted from 0; beside it the three "
        "likeliest digits with their probability, the answer in orange, the label in blue.",
        "; ".join(
            f"a {study.labels[row]} taken for {study.predictions.labels[row]}, "
            f"{percent(study.predictions.confidence[row], 1)}"
            for row in shown
        ),
        partial(
            figures.draw_confident_errors,
            study.judged.images[shown],
            study.labels[shown],
            study.predictions.probabilities[shown],
            study.judged_rows[shown],
        ),
    )


def _sample(study: Study) -> Picture:
    generator = np.random.default_rng(0)
    chosen = np.sort(generator.permutation(len(study.predictions))[:SAMPLE])
    wrong = int((study.predictions.labels[chosen] != study.labels[chosen]).sum())
    return Picture(
        "sample",
        f"{study.judged_in_words(len(chosen))}, drawn at random",
        "Above each image the answer and its probability; a wrong answer is framed in orange.",
        f"A grid of {len(chosen)} handwritten digits with the network's answers, {wrong} of them wrong.",
        partial(
            figures.draw_sample,
            study.judged.images[chosen],
            study.labels[chosen],
            study.predictions.probabilities[chosen],
        ),
    )


def _reliability(study: Study) -> Picture:
    reliability = measure_reliability(study.predictions, study.labels)
    error = percent(reliability.expected_calibration_error)
    return Picture(
        "reliability",
        "Is it as sure as it is right?",
        "Accuracy of the answers by their confidence, both in percent, with 95 % intervals; on the dashed "
        "line they agree. Below: how many images have that confidence (a logarithmic scale). Expected "
        f"calibration error, {len(reliability.images)} bins: {error}.",
        f"Reliability diagram; the expected calibration error is {error}.",
        partial(figures.draw_reliability, reliability),
    )


def _rejection(study: Study, evaluation: Evaluation) -> Block:
    title = "If unsure answers are refused"
    if not evaluation.errors:
        return Note(title, "Nothing needs to be refused: every answer was right.")
    rejection = reject_unsure(study.predictions, study.labels)
    words = _kept_at(rejection, study.predictions, 0.01)
    return Picture(
        "rejection",
        title,
        "Accuracy of the answers that are kept, in percent, against the percent of images refused, the least "
        f"confident first. {words}",
        f"A curve of the accuracy of what is kept against the share of images refused. {words}",
        partial(figures.draw_rejection, rejection),
    )


def _kept_at(rejection: Rejection, predictions: Predictions, share: float) -> str:
    """Say what is left where about a share of the images is refused."""
    place = int(np.searchsorted(rejection.rejected, share, side="right")) - 1
    refused = round(rejection.rejected[place] * len(predictions))
    if not refused:
        return "No threshold refuses about one image in a hundred."
    return (
        f"Refusing the {count(refused, 'image')} with a confidence below "
        f"{percent(rejection.threshold[place], 1)} leaves {percent(1 - rejection.accuracy[place])} wrong "
        "among those kept."
    )
