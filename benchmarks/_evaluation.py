"""Evaluate a recognizer on unseen images: clean, corrupted, in strings, non-digits; and its calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from _bench import BenchmarkError
from _mnist_c import CORRUPTIONS, corrupted
from _non_digits import KINDS, KINDS_ALSO_IN_TRAINING, non_digit_pages
from _result_rows import Row, Target, at_least, at_most, mean, proportion
from _synthetic_pages import digit_pages, string_pages
from digit_recognizer import Digits, Predictions, Recognizer
from digit_recognizer.digits import CLASSES
from digit_recognizer.evaluation import measure_reliability
from digit_recognizer.recognition.recognizer import THRESHOLD
from digit_recognizer.runs.environment import read_environment
from digit_recognizer.runs.split import held_out_rows

REJECTED_DIGITS_FRACTION = 0.01  # of the validation digits, at the threshold for non-digits
TOUCHING_FRACTION = 1 / 3  # of neighbours in a string
BOOTSTRAP_SAMPLES = 200  # for the interval of a calibration error
PAGES_PER_IMAGE, STRINGS_PER_IMAGE, NON_DIGITS_PER_IMAGE = 2.0, 1.0, 0.5  # for each corrupted image
# targets in per cent; of pages, in percentage points above the images as they are
CLEAN_TARGET, PAGES_TARGET = at_least(99.6), at_least(-0.1)
CORRUPTIONS_MEAN_TARGET, CORRUPTION_TARGET = at_least(96), at_least(85)
APART_TARGET, TOUCHING_TARGET = at_least(97), at_least(85)
REJECTION_TARGET = at_least(95)
CALIBRATION_TARGET, CORRUPTED_CALIBRATION_TARGET = at_most(0.5), at_most(3)


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationData:
    """What a recognizer is evaluated on."""

    clean: Digits  # validation images with labels
    labels: NDArray[np.int64]  # (N,), of the corrupted images
    corrupted: dict[str, NDArray[np.uint8]]  # by corruption, the same images: (N, 28, 28)
    pages: int  # number of pages with one of the clean images
    strings: int  # number of strings of each kind
    non_digits: int  # number of pages without a digit
    seed: int


def prepare(digits: Digits, images: int, seed: int) -> EvaluationData:
    """Shuffle digits, and corrupt the first `images` of them."""
    order = np.random.default_rng(seed).permutation(len(digits))
    shuffled = digits[order]
    assert shuffled.labels is not None
    return EvaluationData(
        shuffled,
        shuffled.labels[:images],
        {name: corrupted(shuffled.images[:images], name, seed) for name in CORRUPTIONS},
        min(ceil(PAGES_PER_IMAGE * images), len(digits)),
        ceil(STRINGS_PER_IMAGE * images),
        ceil(NON_DIGITS_PER_IMAGE * images),
        seed,
    )


def evaluate_recognizer(recognizer: Recognizer, material: EvaluationData) -> tuple[list[Row], float]:
    """Return the rows, and the confidence that 1 % of the validation digits do not reach."""
    clean = recognizer.predict(material.clean.images)
    damaged = {name: recognizer.predict(images) for name, images in material.corrupted.items()}
    threshold = float(np.quantile(_as_shown(clean).confidence, REJECTED_DIGITS_FRACTION))
    rows = [
        *_clean_rows(recognizer, material, clean, threshold),
        *_corrupted_rows(damaged, material.labels),
        *_string_rows(recognizer, material),
        *_rejection_rows(recognizer, material, threshold),
        *_calibration_rows(clean, damaged, material),
    ]
    return rows, threshold


def rows_held_out(model: Path | None, digits: Digits) -> NDArray[np.int64]:
    """Return the rows of digits that a model was not trained on; `BenchmarkError` without any."""
    if model is not None:
        rows = held_out_rows(model, read_environment(model), digits)
    elif (included := Recognizer()).trained_on == digits.sha256():
        rows = np.empty(0, np.int64) if included.evaluation_rows is None else included.evaluation_rows
    else:
        rows = None
    if rows is not None and not len(rows):
        raise BenchmarkError(
            f"{name_of(model)} was trained on all of these images, or does not say which it held out: "
            "use --model to name the run folder of a model that held some out"
        )
    return np.arange(len(digits)) if rows is None else rows


def name_of(model: Path | None) -> str:
    return "the model that comes with the package" if model is None else model.name


def _as_shown(predictions: Predictions) -> Predictions:
    """Return predictions as `read_single` returns them: digit probabilities times P(digit)."""
    if predictions.is_digit is None:
        return predictions
    return Predictions(predictions.probabilities * predictions.is_digit[:, None])


def _clean_rows(
    recognizer: Recognizer, material: EvaluationData, clean: Predictions, threshold: float
) -> Iterator[Row]:
    section = "Validation images"
    labels = material.clean.labels
    assert labels is not None
    directly, some = clean.labels == labels, slice(material.pages)
    pages = digit_pages(material.clean.images[some], material.seed)
    read = [recognizer.read_single(page, threshold=0) for page in pages]
    on_pages = np.array([each.digit for each in read]) == labels[some]
    yield proportion(section, "as they are", directly, CLEAN_TARGET)
    yield proportion(section, "on pages, 1 to 12 times as large", on_pages)
    better = on_pages.astype(float) - directly[some]
    yield mean(section, "on pages, less the same as they are", "points", better, PAGES_TARGET)
    kept = [each.confidence >= threshold for each in read]
    yield proportion(section, "on pages, kept at the threshold below", kept)


def _corrupted_rows(damaged: dict[str, Predictions], labels: NDArray[np.int64]) -> Iterator[Row]:
    section = "MNIST-C"
    right = {name: predictions.labels == labels for name, predictions in damaged.items()}
    for name, each in right.items():
        yield proportion(section, name.replace("_", " "), each, CORRUPTION_TARGET)
    yield mean(section, "mean", "%", np.mean(list(right.values()), axis=0), CORRUPTIONS_MEAN_TARGET)


def _string_rows(recognizer: Recognizer, material: EvaluationData) -> Iterator[Row]:
    section = "Strings of 2 to 10 digits, all of them right"
    for label, touching, bar in (
        ("apart", 0.0, APART_TARGET),
        ("a third of neighbours touching", TOUCHING_FRACTION, TOUCHING_TARGET),
    ):
        pages = string_pages(material.clean, material.strings, touching, material.seed)
        yield proportion(
            section, label, [recognizer.read(each.page).text == each.text for each in pages], bar
        )


def _rejection_rows(recognizer: Recognizer, material: EvaluationData, threshold: float) -> Iterator[Row]:
    """Yield how many non-digits have a confidence below a threshold."""
    section = "No digit: rejected"
    percentage = 100 * REJECTED_DIGITS_FRACTION
    yield Row(section, f"threshold, which {percentage:g} % of the images as they are miss", "", threshold)
    pages = list(non_digit_pages(material.non_digits, material.clean.images, material.seed))
    kinds = np.array([kind for kind, _ in pages])
    confidences = np.array([recognizer.read_single(page).confidence for _, page in pages])
    for kind in KINDS:
        of_kind = confidences[kinds == kind]
        if of_kind.size:
            alike = " (training has some)" if kind in KINDS_ALSO_IN_TRAINING else ""
            yield proportion(section, kind + alike, of_kind < threshold)
    kept_out = ~np.isin(kinds, KINDS_ALSO_IN_TRAINING)
    yield proportion(section, "all", confidences < threshold, REJECTION_TARGET)
    yield proportion(
        section, "kinds kept out of training", confidences[kept_out] < threshold, REJECTION_TARGET
    )
    yield proportion(section, f"all, at the default threshold {THRESHOLD}", confidences < THRESHOLD)


def _calibration_rows(
    clean: Predictions, damaged: dict[str, Predictions], material: EvaluationData
) -> Iterator[Row]:
    """Yield the errors of the ten probabilities, and of these times `is_digit`, which users see."""
    clean_labels = material.clean.labels
    assert clean_labels is not None
    rng = np.random.default_rng(material.seed)
    several = list(damaged.values())
    yield _calibration_row("as they are", [clean], clean_labels, rng, CALIBRATION_TARGET)
    yield _calibration_row("MNIST-C, pooled", several, material.labels, rng, CORRUPTED_CALIBRATION_TARGET)
    if clean.is_digit is not None:
        shown = [_as_shown(each) for each in several]
        yield _calibration_row("as they are, times is_digit", [_as_shown(clean)], clean_labels, rng)
        yield _calibration_row("MNIST-C, pooled, times is_digit", shown, material.labels, rng)


def _calibration_row(
    label: str,
    several: Sequence[Predictions],
    labels: NDArray[np.int64],
    rng: np.random.Generator,
    bar: Target | None = None,
) -> Row:
    """Return the pooled error of one or more predictions of the same images.

    The interval is that of the basic bootstrap over images: the error of a resampled set is biased upwards.
    """
    probabilities = np.stack([each.probabilities for each in several], axis=1)  # (N, K, 10)

    def error(rows: NDArray[np.int64]) -> float:
        pooled = Predictions(probabilities[rows].reshape(-1, CLASSES))
        known = np.repeat(labels[rows], len(several))
        return 100 * measure_reliability(pooled, known).expected_calibration_error

    count = len(labels)
    value = error(np.arange(count))
    again = [error(rng.integers(count, size=count)) for _ in range(BOOTSTRAP_SAMPLES)]
    low, high = np.quantile(again, [0.025, 0.975])
    interval = (max(0.0, 2 * value - float(high)), max(0.0, 2 * value - float(low)))
    return Row("Expected calibration error, 15 bins", label, "%", value, interval, None, count, bar)
