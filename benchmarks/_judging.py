"""A recognizer and images that it has not seen ► rows: clean, corrupted, strings, no digits, calibration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from _mnist_c import CORRUPTIONS, corrupted
from _nondigits import KINDS, TRAINED_ALIKE, nondigit_pages
from _pages import digit_pages, string_pages
from _verdicts import Bar, Row, at_least, at_most, mean, share
from digit_recognizer import Digits, Predictions, Recognizer
from digit_recognizer.digits import CLASSES
from digit_recognizer.evaluation import measure_reliability
from digit_recognizer.recognition.recognizer import THRESHOLD

__all__ = ["Material", "judge", "prepare"]

LOST = 0.01  # share of the validation digits that may be refused
TOUCHING = 1 / 3  # of neighbours in a string
RESAMPLED = 200  # times, for the interval of a calibration error
PAGES, STRINGS, NONDIGITS = 2.0, 1.0, 0.5  # for each image that is corrupted
DIRECT, ON_PAGES = at_least(99.6), at_least(-0.1)  # per cent, as all bars here; percentage points
MEAN_CORRUPTED, EACH_CORRUPTED = at_least(96), at_least(85)
APART, IN_CONTACT = at_least(97), at_least(85)
REJECTED = at_least(95)
CALIBRATED, CALIBRATED_CORRUPTED = at_most(0.5), at_most(3)


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """What a recognizer is judged by.

    Attributes
    ----------
    clean
        Validation images, with labels.
    labels
        int64, shape (N,): those of the corrupted images.
    corrupted
        By its name, each corruption of the same N images: uint8, shape (N, 28, 28).
    pages, strings, nondigits
        How many of each: pages of one of the clean images, strings of either kind, pages of no digit.
    seed
        Decides what they show.
    """

    clean: Digits
    labels: NDArray[np.int64]
    corrupted: dict[str, NDArray[np.uint8]]
    pages: int
    strings: int
    nondigits: int
    seed: int


def prepare(digits: Digits, images: int, seed: int) -> Material:
    """Shuffle digits, and corrupt the first `images` of them."""
    order = np.random.default_rng(seed).permutation(len(digits))
    shuffled = digits[order]
    assert shuffled.labels is not None
    return Material(
        shuffled,
        shuffled.labels[:images],
        {name: corrupted(shuffled.images[:images], name, seed) for name in CORRUPTIONS},
        min(ceil(PAGES * images), len(digits)),
        ceil(STRINGS * images),
        ceil(NONDIGITS * images),
        seed,
    )


def judge(recognizer: Recognizer, material: Material) -> tuple[list[Row], float]:
    """Let a recognizer read everything; return the rows, and the confidence that 1 % of the digits miss."""
    clean = recognizer.predict(material.clean.images)
    damaged = {name: recognizer.predict(images) for name, images in material.corrupted.items()}
    threshold = float(np.quantile(_as_shown(clean).confidence, LOST))
    rows = [
        *_clean_rows(recognizer, material, clean, threshold),
        *_corrupted_rows(damaged, material.labels),
        *_string_rows(recognizer, material),
        *_rejection_rows(recognizer, material, threshold),
        *_calibration_rows(clean, damaged, material),
    ]
    return rows, threshold


def _as_shown(predictions: Predictions) -> Predictions:
    """Return predictions as `read_single` shows them: a digit's probability times that it is one at all."""
    if predictions.is_digit is None:
        return predictions
    return Predictions(predictions.probabilities * predictions.is_digit[:, None])


def _clean_rows(
    recognizer: Recognizer, material: Material, clean: Predictions, threshold: float
) -> Iterator[Row]:
    section = "Validation images"
    labels = material.clean.labels
    assert labels is not None
    directly, some = clean.labels == labels, slice(material.pages)
    pages = digit_pages(material.clean.images[some], material.seed)
    read = [recognizer.read_single(page, threshold=0) for page in pages]
    on_pages = np.array([each.digit for each in read]) == labels[some]
    yield share(section, "as they are", directly, DIRECT)
    yield share(section, "on pages, 1 to 12 times as large", on_pages)
    better = on_pages.astype(float) - directly[some]
    yield mean(section, "on pages, less the same as they are", "points", better, ON_PAGES)
    kept = [each.confidence >= threshold for each in read]
    yield share(section, "on pages, kept at the threshold below", kept)


def _corrupted_rows(damaged: dict[str, Predictions], labels: NDArray[np.int64]) -> Iterator[Row]:
    section = "MNIST-C"
    right = {name: predictions.labels == labels for name, predictions in damaged.items()}
    for name, each in right.items():
        yield share(section, name.replace("_", " "), each, EACH_CORRUPTED)
    yield mean(section, "mean", "%", np.mean(list(right.values()), axis=0), MEAN_CORRUPTED)


def _string_rows(recognizer: Recognizer, material: Material) -> Iterator[Row]:
    section = "Strings of 2 to 10 digits, all of them right"
    for label, touching, bar in (
        ("apart", 0.0, APART),
        ("a third of neighbours touching", TOUCHING, IN_CONTACT),
    ):
        pages = string_pages(material.clean, material.strings, touching, material.seed)
        yield share(section, label, [recognizer.read(each.page).text == each.text for each in pages], bar)


def _rejection_rows(recognizer: Recognizer, material: Material, threshold: float) -> Iterator[Row]:
    """Read pages of no digit; what is less sure than a threshold is rejected."""
    section = "No digit: rejected"
    yield Row(section, f"threshold, which {100 * LOST:g} % of the images as they are miss", "", threshold)
    pages = list(nondigit_pages(material.nondigits, material.clean.images, material.seed))
    kinds = np.array([kind for kind, _ in pages])
    unsure = np.array([recognizer.read_single(page).confidence for _, page in pages])
    for kind in KINDS:
        of_kind = unsure[kinds == kind]
        if of_kind.size:
            alike = " (training has some)" if kind in TRAINED_ALIKE else ""
            yield share(section, kind + alike, of_kind < threshold)
    kept_out = ~np.isin(kinds, TRAINED_ALIKE)
    yield share(section, "all", unsure < threshold, REJECTED)
    yield share(section, "kinds kept out of training", unsure[kept_out] < threshold, REJECTED)
    yield share(section, f"all, at the default threshold {THRESHOLD}", unsure < THRESHOLD)


def _calibration_rows(
    clean: Predictions, damaged: dict[str, Predictions], material: Material
) -> Iterator[Row]:
    """Give the error of the ten probabilities, and of those times `is_digit`, which is what users see."""
    clean_labels = material.clean.labels
    assert clean_labels is not None
    rng = np.random.default_rng(material.seed)
    several = list(damaged.values())
    yield _calibration_row("as they are", [clean], clean_labels, rng, CALIBRATED)
    yield _calibration_row("MNIST-C, pooled", several, material.labels, rng, CALIBRATED_CORRUPTED)
    if clean.is_digit is not None:
        shown = [_as_shown(each) for each in several]
        yield _calibration_row("as they are, times is_digit", [_as_shown(clean)], clean_labels, rng)
        yield _calibration_row("MNIST-C, pooled, times is_digit", shown, material.labels, rng)


def _calibration_row(
    label: str,
    several: Sequence[Predictions],
    labels: NDArray[np.int64],
    rng: np.random.Generator,
    bar: Bar | None = None,
) -> Row:
    """Return the error over one or more predictions of the same images, pooled.

    The interval is the basic bootstrap's, over images, because the error of a resampled set is too large.
    """
    probabilities = np.stack([each.probabilities for each in several], axis=1)  # (N, K, 10)

    def error(rows: NDArray[np.int64]) -> float:
        pooled = Predictions(probabilities[rows].reshape(-1, CLASSES))
        known = np.repeat(labels[rows], len(several))
        return 100 * measure_reliability(pooled, known).expected_calibration_error

    count = len(labels)
    value = error(np.arange(count))
    again = [error(rng.integers(count, size=count)) for _ in range(RESAMPLED)]
    low, high = np.quantile(again, [0.025, 0.975])
    interval = (max(0.0, 2 * value - float(high)), max(0.0, 2 * value - float(low)))
    return Row("Expected calibration error, 15 bins", label, "%", value, interval, None, count, bar)
