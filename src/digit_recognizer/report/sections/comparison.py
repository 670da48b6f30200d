"""Several runs side by side: a table, their curves, and the images on which they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import combinations
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import Digits, Predictions
from digit_recognizer.evaluation import evaluate
from digit_recognizer.formatting import accuracy_in_words, bytes_in_words, count, seconds_in_words, shorten
from digit_recognizer.recognition import Recognizer
from digit_recognizer.report import figures
from digit_recognizer.report.blocks import Block, Note, Picture, Section, Table
from digit_recognizer.runs.run import Run
from digit_recognizer.runs.split import held_out_rows

MAX_DISAGREEMENTS = 24  # images shown
IMAGES_IN_ALT = 6  # images that the alternative text lists


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Runs and their predictions for images that none of them was trained on."""

    runs: Sequence[Run]
    rows: NDArray[np.int64]  # of these images in their source
    digits: Digits
    predictions: Sequence[Predictions]  # of each run

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """The labels to evaluate the runs on; None if there are none."""
        return self.digits.labels if len(self.digits) else None


def compare(runs: Sequence[Run], digits: Digits, source: str) -> list[Section]:
    """Compare 2 to 26 runs on those digits of a source that none of them was trained on."""
    held_out = [held_out_rows(run.folder, run.environment, digits) for run in runs]
    own = [rows for rows in held_out if rows is not None]
    rows = reduce(np.intersect1d, own, np.arange(len(digits)))
    evaluated = digits[rows]
    predictions = [Recognizer(run.folder).predict(evaluated.images) for run in runs]
    compared = Compared(runs, rows, evaluated, predictions)
    lead = _lead(len(rows), source, all_own=len(own) == len(runs))
    return [
        Section("runs", "Runs", lead, [_table(compared)]),
        Section("training", "Training", "The curves of each run.", [_curves(runs)]),
        Section(
            "disagreements",
            "Disagreements",
            "Runs of equal accuracy may be wrong on different images.",
            _disagreements(compared),
        ),
    ]


def _lead(images: int, source: str, *, all_own: bool) -> str:
    if not images:
        return f"The runs cannot be evaluated: {source} has no image that none of them was trained on."
    what = f"All runs are evaluated on the same {count(images, 'image')} of {source}"
    if all_own:
        return f"{what}; none of them was trained on these images."
    return f"{what}. Not all were trained on this source; their own sources may share images with it."


def _table(compared: Compared) -> Table:
    columns = ("", "run", "recipe", "accuracy (95 %)", "errors", "epochs", "time", "parameters", "model")
    rows = []
    for letter, run, predictions in zip(ascii_uppercase, compared.runs, compared.predictions, strict=False):
        accuracy = errors = "–"
        if compared.labels is not None:
            evaluation = evaluate(predictions, compared.labels)
            accuracy, errors = accuracy_in_words(evaluation), f"{evaluation.errors:,}"
        rows.append(
            [
                letter,
                run.name,
                run.recipe.name,
                accuracy,
                errors,
                str(len(run.history)),
                seconds_in_words(run.metrics.seconds),
                f"{run.metrics.parameters:,}",
                bytes_in_words(run.model_bytes),
            ]
        )
    caption = "Accuracy with its 95 % interval; training time on the machine of each run."
    return Table("Side by side", caption, columns, rows, frozenset(range(3, len(columns))))


def _curves(runs: Sequence[Run]) -> Picture:
    is_validated = all(run.history[-1].validation_loss is not None for run in runs)
    part, prefix = ("validation", "validation_") if is_validated else ("training", "")
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
        f"Mean cross-entropy in nats and accuracy on the {part} images of each run, by epoch.",
        f"Curves of {part} loss and accuracy of {len(runs)} runs.",
        partial(figures.draw_compared_curves, names, losses, accuracies, part),
    )


def _disagreements(compared: Compared) -> list[Block]:
    if compared.labels is None:
        why = (
            "the images have no labels" if len(compared.digits) else "there are no images to evaluate them on"
        )
        return [Note("Images", f"The runs cannot be compared image by image: {why}.")]
    answers = np.stack([each.labels for each in compared.predictions])  # (R, N)
    blocks: list[Block] = [_pairs(answers == compared.labels)]
    differ = np.flatnonzero((answers != answers[0]).any(axis=0))
    if not len(differ):
        return [*blocks, Note("Images", "All runs give the same answer for every image.")]
    return [*blocks, _disagreement_picture(compared, compared.labels, answers, differ)]


def _disagreement_picture(
    compared: Compared, labels: NDArray[np.int64], answers: NDArray[np.int64], differ: NDArray[np.int64]
) -> Picture:
    """Show the images at `differ`, given the labels (N,) and the answers (R, N) of all."""
    confidence = np.stack([each.confidence for each in compared.predictions])  # (R, N)
    by_confidence = np.argsort(-confidence[:, differ].min(axis=0), kind="stable")
    shown = differ[by_confidence][:MAX_DISAGREEMENTS]
    all_of_them = count(len(differ), "image")
    which = f"The {all_of_them}" if len(shown) == len(differ) else f"{len(shown):,} of the {all_of_them}"
    return Picture(
        "disagreements",
        f"{which} on which the runs disagree",
        "Above each image, its label; below it, the answer and confidence of each run, wrong answers in "
        "orange. The images with the most confident answers come first.",
        "; ".join(
            f"label {labels[row]} in row {compared.rows[row]}: {', '.join(map(str, answers[:, row]))}"
            for row in shown[:IMAGES_IN_ALT]
        ),
        partial(
            figures.draw_disagreements,
            compared.digits.images[shown],
            labels[shown],
            answers[:, shown],
            confidence[:, shown],
        ),
    )


def _pairs(correct: NDArray[np.bool_]) -> Table:
    """Compare each pair of runs, given which answers (R, N) are correct."""
    from scipy.stats import binomtest

    rows = []
    for first, second in combinations(range(len(correct)), 2):
        only_first = int((correct[first] & ~correct[second]).sum())
        only_second = int((correct[second] & ~correct[first]).sum())
        neither = int((~correct[first] & ~correct[second]).sum())
        discordant = only_first + only_second
        p_value = _p_in_words(binomtest(only_first, discordant).pvalue) if discordant else "–"
        pair = f"{ascii_uppercase[first]} and {ascii_uppercase[second]}"
        rows.append([pair, str(only_first), str(only_second), str(neither), p_value])
    return Table(
        "Pairs of runs",
        "Number of images that only one run of a pair reads correctly, and that neither does. p is the "
        "p-value of McNemar's exact test: the probability of a difference at least this large if both runs "
        "were equally accurate. It is not adjusted for the number of pairs.",
        ("runs", "only first correct", "only second correct", "neither correct", "p"),
        rows,
        frozenset({1, 2, 3, 4}),
    )


def _p_in_words(p_value: float) -> str:
    return "< 0.001" if p_value < 0.0005 else f"{p_value:.3f}"
