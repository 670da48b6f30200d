"""The mistakes: which digits are confused, and how well confidence tells right answers from wrong ones."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES
from digit_recognizer.evaluation import (
    Evaluation,
    measure_rejection,
    measure_reliability,
    measure_scores,
    most_confident_errors,
    wilson_interval,
)
from digit_recognizer.formatting import count, percent, percent_range, spelled
from digit_recognizer.report import figures
from digit_recognizer.report.blocks import Block, ConfusionTable, Note, Picture, Section, Table
from digit_recognizer.report.subject import Subject

IMAGES_PER_CELL = 16  # of the confusion matrix, at most
CONFIDENT_ERRORS = 12  # shown, at most
SAMPLE_IMAGES = 25
REJECTED_FRACTION = 0.01  # of the images, in the example of the rejection curve

TITLE = "Mistakes"
ALL_CORRECT = "None: every answer is correct."


def show_mistakes(subject: Subject) -> Section:
    """Show what was read incorrectly, and how confident the network was."""
    evaluation = subject.evaluation
    if evaluation is None:
        note = Note("Confusion matrix, errors and calibration", subject.why_not_evaluated)
        return Section("mistakes", TITLE, "", [note])
    errors = f"{count(evaluation.errors, 'error')} in {subject.name_images(evaluation.images)}."
    blocks = [
        _confusion_table(subject, evaluation),
        *_confusion_pictures(evaluation),
        _error_rates(evaluation),
        _confident_errors(subject),
        _sample(subject),
        _calibration(subject),
        _rejection(subject, evaluation),
        _scores(subject, evaluation),
    ]
    return Section("mistakes", TITLE, f"{errors} {_most_confused(evaluation)}".rstrip(), blocks)


def _most_confused(evaluation: Evaluation) -> str:
    errors = evaluation.confusion * (1 - np.eye(CLASSES, dtype=np.int64))
    if not errors.any():
        return ""
    labels, answers = np.argwhere(errors == errors.max()).T
    pairs = [f"{label} read as {answer}" for label, answer in zip(labels, answers, strict=True)]
    times = {1: "once", 2: "twice"}.get(int(errors.max()), f"{errors.max():,} times")
    if len(pairs) > 3:
        return f"No confusion occurs more than {times}."
    return f"Most frequent: {spelled(pairs)} ({times}{' each' if len(pairs) > 1 else ''})."


def _confusion_table(subject: Subject, evaluation: Evaluation) -> ConfusionTable:
    answers, labels = subject.predictions.labels, subject.labels
    by_confidence = np.argsort(-subject.predictions.confidence)
    rows: dict[tuple[int, int], NDArray[np.int64]] = {}
    for label, answer in np.argwhere(evaluation.confusion):
        in_cell = by_confidence[(labels[by_confidence] == label) & (answers[by_confidence] == answer)]
        rows[int(label), int(answer)] = subject.evaluated_rows[in_cell[:IMAGES_PER_CELL]]
    return ConfusionTable(
        "Confusion matrix",
        "Number of images of each digit (row) by answer (column); correct answers are on the diagonal. Point "
        f"at a cell or tap it to see its images, at most the {IMAGES_PER_CELL} most confident.",
        evaluation.confusion,
        {cell: subject.digits.images[chosen] for cell, chosen in rows.items()},
        rows,
    )


def _confusion_pictures(evaluation: Evaluation) -> list[Block]:
    most_confused = _most_confused(evaluation)
    counts = Picture(
        "confusion-counts",
        "Confusion matrix",
        "Number of images of each digit (row) by answer (column).",
        f"Confusion matrix of ten rows and columns. {most_confused}".rstrip(),
        partial(figures.draw_confusion_counts, evaluation.confusion),
        on_page=False,
    )
    title = "Confusion matrix: errors only"
    if not evaluation.errors:
        return [counts, Note(title, ALL_CORRECT)]
    rates = Picture(
        "confusion-rates",
        title,
        "Percentage of the images of each digit (row) that were read as another digit (column). The diagonal "
        "(grey) is left out.",
        f"Confusion matrix without its diagonal, in percent of each row. {most_confused}",
        partial(figures.draw_confusion_rates, evaluation.confusion),
    )
    return [counts, rates]


def _error_rates(evaluation: Evaluation) -> Picture:
    images, errors = evaluation.images_per_digit, evaluation.errors_per_digit
    digits = np.flatnonzero(images)
    worst = digits[np.argmax(errors[digits] / images[digits])]
    return Picture(
        "error-rates",
        "Error rate per digit",
        "Percentage of the images of each digit that were read incorrectly (dot), with its 95 % interval "
        "(bar). Digits whose bars overlap widely may be equally difficult.",
        f"Error rates by digit; the highest is that of {worst}: {errors[worst]:,} of "
        f"{count(int(images[worst]), 'image')}.",
        partial(figures.draw_error_rates, errors, images),
    )


def _scores(subject: Subject, evaluation: Evaluation) -> Table:
    scores = measure_scores(subject.predictions, subject.labels)
    counts = zip(evaluation.images_per_digit.tolist(), evaluation.errors_per_digit.tolist(), strict=True)
    rows = []
    for digit, (images, errors) in enumerate(counts):
        if not images and not evaluation.confusion[:, digit].any():
            continue
        values = (scores.precision[digit], scores.recall[digit], scores.f1[digit])
        interval = percent_range(*wilson_interval(images - errors, images)) if images else "–"
        rows.append([str(digit), f"{images:,}", str(errors), *map(percent, values), interval])
    shown = [int(row[0]) for row in rows]
    never = [str(digit) for digit in shown if not evaluation.confusion[:, digit].any()]
    remark = f" No image was read as {spelled(never)}." if never else ""
    if len(rows) < CLASSES:
        remark += " Digits that no image shows and no answer names are left out."
    return Table(
        "Precision, recall and F1",
        "Precision: of the images read as this digit, the percentage that show it. Recall: of the images of "
        "this digit, the percentage read correctly, with its 95 % interval. F1: the harmonic mean of "
        f"both. A dash means that there are no such images.{remark}",
        ("digit", "images", "errors", "precision", "recall", "F1", "95 % interval of recall"),
        rows,
        frozenset(range(1, 7)),
    )


def _confident_errors(subject: Subject) -> Block:
    title = "Most confident errors"
    shown = most_confident_errors(subject.predictions, subject.labels)[:CONFIDENT_ERRORS]
    if not len(shown):
        return Note(title, ALL_CORRECT)
    labels, probabilities = subject.labels[shown], subject.predictions.probabilities[shown]
    answers, confidence = subject.predictions.labels[shown], subject.predictions.confidence[shown]
    return Picture(
        "confident-errors",
        title,
        "Above each image, its label and its row in the source, counted from 0. Beside it, the three most "
        "probable digits with their probabilities: the answer in orange, the label in blue.",
        "; ".join(
            f"{label} read as {answer}, {percent(probability, 1)}"
            for label, answer, probability in zip(labels, answers, confidence, strict=True)
        ),
        partial(
            figures.draw_confident_errors,
            subject.evaluated.images[shown],
            labels,
            probabilities,
            subject.evaluated_rows[shown],
        ),
    )


def _sample(subject: Subject) -> Picture:
    generator = np.random.default_rng(0)
    chosen = np.sort(generator.permutation(len(subject.predictions))[:SAMPLE_IMAGES])
    return Picture(
        "sample",
        f"Random sample of {subject.name_images(len(chosen))}",
        "Above each image, the answer and its probability. Wrong answers have an orange frame.",
        f"A grid of {len(chosen)} handwritten digits with the network's answers, "
        f"{subject.wrong[chosen].sum()} of them wrong.",
        partial(
            figures.draw_sample,
            subject.evaluated.images[chosen],
            subject.labels[chosen],
            subject.predictions.probabilities[chosen],
        ),
    )


def _calibration(subject: Subject) -> Picture:
    reliability = measure_reliability(subject.predictions, subject.labels)
    error = percent(reliability.expected_calibration_error)
    return Picture(
        "reliability",
        "Calibration",
        "Top: accuracy of the answers by their confidence, with 95 % intervals. On the dashed line, "
        "confidence equals accuracy. Bottom: number of images by confidence, on a logarithmic scale. The "
        f"expected calibration error ({len(reliability.images)} bins) is {error}.",
        f"Reliability diagram. The expected calibration error is {error}.",
        partial(figures.draw_reliability, reliability),
    )


def _rejection(subject: Subject, evaluation: Evaluation) -> Block:
    title = "Rejecting uncertain answers"
    if not evaluation.errors:
        return Note(title, "Every answer is correct, so there is nothing to gain from rejecting any.")
    if evaluation.errors == evaluation.images:
        return Note(title, "Every answer is wrong, so there is nothing to gain from rejecting some.")
    curve = measure_rejection(subject.predictions, subject.labels)
    place = int(np.searchsorted(curve.rejected, REJECTED_FRACTION, side="right")) - 1
    rejected = round(curve.rejected[place] * len(subject.predictions))
    example = (
        f"Rejecting answers with a confidence below {percent(curve.threshold[place], 1)} "
        f"({count(rejected, 'image')}) leaves {percent(1 - curve.accuracy[place])} of the others wrong."
        if rejected
        else f"No threshold rejects about {percent(REJECTED_FRACTION, 0)} of the images."
    )
    return Picture(
        "rejection",
        title,
        "Accuracy of the remaining answers when the least confident ones are rejected, by the percentage of "
        f"images rejected. {example}",
        f"A curve of the accuracy of the remaining answers by the percentage of images rejected. {example}",
        partial(figures.draw_rejection, curve),
    )
