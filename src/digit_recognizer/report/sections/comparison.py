"""Several runs beside each other: one table, one set of curves, where they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from itertools import combinations
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import Digits, Predictions
from digit_recognizer.evaluation import evaluate
from digit_recognizer.recognition import Recognizer
from digit_recognizer.report import figures
from digit_recognizer.report.blocks import Block, Note, Picture, Section, Table
from digit_recognizer.report.subject import Run
from digit_recognizer.report.words import accuracy_in_words, bytes_in_words, count, seconds_in_words, shorten
from digit_recognizer.runs import run_folder

DISAGREEMENTS = 24  # images shown


def compare(runs: Sequence[Run], digits: Digits, source: str) -> list[Section]:
    """Compare runs on those digits that none of them was trained on.

    Parameters
    ----------
    runs
        At least two, at most 26.
    digits, source
        All the digits of a source, and what it is called.
    """
    held_out = [run_folder.held_out_rows(run.folder, digits) for run in runs]
    own = [rows for rows in held_out if rows is not None]
    rows = reduce(np.intersect1d, own, np.arange(len(digits)))
    judged = digits[rows]
    predictions = [Recognizer(run.folder).predict(judged.images) for run in runs]
    return [
        Section(
            "runs",
            "The runs",
            _judged_by(judged, source, own=len(own) == len(runs)),
            [_table(runs, judged, predictions)],
        ),
        Section("training", "The training", "Each run over its epochs.", [_curves(runs)]),
        Section(
            "disagreements",
            "Where they disagree",
            "Two runs of equal accuracy may err on different images.",
            _disagreements(runs, judged, rows, predictions),
        ),
    ]


def _judged_by(judged: Digits, source: str, *, own: bool) -> str:
    if not len(judged):
        return f"{source} has no image that none of the runs was trained on, so they are not judged."
    words = f"All are judged by the same {count(len(judged), 'image')} of {source}"
    if own:
        return f"{words}, which none of them was trained on."
    return f"{words}. Not all were trained on this source; whether those share images with it is not known."


def _table(runs: Sequence[Run], judged: Digits, predictions: Sequence[Predictions]) -> Table:
    columns = ("", "run", "recipe", "accuracy (95 %)", "errors", "epochs", "time", "parameters", "model")
    rows = []
    for letter, run, predicted in zip(ascii_uppercase, runs, predictions, strict=False):
        accuracy = errors = "–"
        if judged.labels is not None and len(judged):
            evaluation = evaluate(predicted, judged.labels)
            accuracy, errors = accuracy_in_words(evaluation), f"{evaluation.errors:,}"
        rows.append(
            [
                letter,
                run.name,
                run.recipe.name,
                accuracy,
                errors,
                str(len(run.history)),
                seconds_in_words(run.metrics["seconds"]),
                f"{run.metrics['parameters']:,}",
                bytes_in_words(run.model_bytes),
            ]
        )
    caption = (
        "Accuracy with its 95 % interval; the time is that of the training, on the machine where it ran."
    )
    return Table("Side by side", caption, columns, rows, frozenset(range(3, len(columns))))


def _curves(runs: Sequence[Run]) -> Picture:
    validated = all(run.history[-1].validation_loss is not None for run in runs)
    what = "validation" if validated else "training"
    prefix = "validation_" if validated else ""
    losses, accuracies = (
        [np.array([getattr(record, prefix + name) for record in run.history], np.float64) for run in runs]
        for name in ("loss", "accuracy")
    )
    names = [
        f"{letter}: {shorten(run.recipe.name)}" for letter, run in zip(ascii_uppercase, runs, strict=False)
    ]
    return Picture(
        "compared-curves",
        "Loss and accuracy",
        f"Mean cross-entropy in nats and accuracy on each run's own {what} images, by epoch.",
        f"Curves of {what} loss and accuracy for {len(runs)} runs.",
        partial(figures.draw_compared_curves, names, losses, accuracies, what),
    )


def _disagreements(
    runs: Sequence[Run], judged: Digits, rows: NDArray[np.int64], predictions: Sequence[Predictions]
) -> list[Block]:
    if judged.labels is None or not len(judged):
        why = "without labels nobody is right" if len(judged) else "there are no images to judge them by"
        return [Note("Disagreements", f"They cannot be compared image by image: {why}.")]
    answers = np.stack([predicted.labels for predicted in predictions])  # (R, N)
    right = answers == judged.labels
    blocks: list[Block] = [_pairs(runs, right)]
    apart = np.flatnonzero((answers != answers[0]).any(axis=0))
    if not len(apart):
        return [*blocks, Note("Disagreements", "They give the same answer to every image.")]
    confidence = np.stack([predicted.confidence for predicted in predictions])
    shown = apart[np.argsort(-confidence[:, apart].min(axis=0), kind="stable")][:DISAGREEMENTS]
    many = count(len(apart), "image")
    few = f"The {many}" if len(shown) == len(apart) else f"{len(shown)} of the {many}"
    picture = Picture(
        "disagreements",
        f"{few} on which they disagree",
        "Above each image its label, below it each run's answer with its confidence, wrong ones in orange; "
        "the surest first.",
        "; ".join(
            f"a {judged.labels[row]} in row {rows[row]}: {', '.join(map(str, answers[:, row]))}"
            for row in shown[:6]
        ),
        partial(
            figures.draw_disagreements,
            judged.images[shown],
            judged.labels[shown],
            answers[:, shown],
            confidence[:, shown],
        ),
    )
    return [*blocks, picture]


def _chance(probability: float) -> str:
    return "< 0.001" if probability < 0.0005 else f"{probability:.3f}"


def _pairs(runs: Sequence[Run], right: NDArray[np.bool_]) -> Table:
    from scipy.stats import binomtest

    rows = []
    for first, second in combinations(range(len(runs)), 2):
        only_first = int((right[first] & ~right[second]).sum())
        only_second = int((right[second] & ~right[first]).sum())
        neither = int((~right[first] & ~right[second]).sum())
        apart = only_first + only_second
        chance = _chance(binomtest(only_first, apart).pvalue) if apart else "–"
        pair = f"{ascii_uppercase[first]} and {ascii_uppercase[second]}"
        rows.append([pair, str(only_first), str(only_second), str(neither), chance])
    return Table(
        "Pair by pair",
        "Images that only one of two runs reads rightly, and those that neither does. The last column is "
        "McNemar's exact test: how probable a difference at least as large would be if both were equally "
        "good (each pair by itself; among many pairs some differ by chance).",
        ("runs", "only the first right", "only the second right", "neither right", "p"),
        rows,
        frozenset({1, 2, 3, 4}),
    )
