"""Compare predictions with labels: accuracy and its interval, scores per digit, calibration, rejection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, Predictions
from digit_recognizer.errors import DigitsError
from digit_recognizer.notebook import BLUE, ORANGE, Shaded, paragraph, table

CALIBRATION_BINS = 15  # as in Guo et al. (2017)
Z_95 = 1.959963984540054  # the 97.5 % quantile of the normal distribution


class AccuracyValues(TypedDict):
    """An accuracy as ``metrics.json`` and ``--json`` have it."""

    images: int
    errors: int
    accuracy: float
    accuracy_interval_95: tuple[float, float]


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return both ends of Wilson's 95 % score interval of a proportion; `trials` is at least 1.

    Unlike the normal approximation, the interval stays inside [0, 1] and is not empty at 0 or 100 %.

    References
    ----------
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of
    the American Statistical Association 22 (1927), 209-212.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"expected 0 <= successes <= trials and trials >= 1, got {successes}, {trials}")
    proportion = successes / trials
    shrink = 1 + Z_95**2 / trials
    centre = (proportion + Z_95**2 / (2 * trials)) / shrink
    half = Z_95 / shrink * sqrt(proportion * (1 - proportion) / trials + Z_95**2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def accuracy_values(images: int, errors: int) -> AccuracyValues:
    """Return the accuracy of `images` images, at least one, of which `errors` were read incorrectly."""
    return {
        "images": images,
        "errors": errors,
        "accuracy": 1 - errors / images,
        "accuracy_interval_95": wilson_interval(images - errors, images),
    }


@dataclass(frozen=True, slots=True)
class BaselineComparison:
    """An accuracy, and that of always answering the most frequent digit, which needs no learning.

    The first is better if its 95 % interval lies above the second, which caret calls the no-information rate:
    https://topepo.github.io/caret/measuring-performance.html

    Attributes
    ----------
    images, errors
        How many were compared, at least one, and how many of them were read incorrectly.
    digit, baseline
        The most frequent digit, and the fraction of the images that show it, above 0 to 1.
    """

    images: int
    errors: int
    digit: int
    baseline: float

    @property
    def accuracy(self) -> float:
        """The fraction of correct answers, 0 to 1."""
        return accuracy_values(self.images, self.errors)["accuracy"]

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return accuracy_values(self.images, self.errors)["accuracy_interval_95"]

    @property
    def is_better(self) -> bool:
        """Whether the accuracy is better than the baseline."""
        return self.interval[0] > self.baseline

    @property
    def is_decidable(self) -> bool:
        """Whether there are enough images for the best possible accuracy to be better."""
        return wilson_interval(self.images, self.images)[0] > self.baseline


def compare_with_baseline(errors: int, labels: NDArray[np.int64]) -> BaselineComparison:
    """Compare the accuracy on images with these labels (N,), at least one, with the baseline."""
    counts = np.bincount(labels)
    return BaselineComparison(len(labels), errors, int(counts.argmax()), float(counts.max() / len(labels)))


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """How predictions compare with the labels.

    Attributes
    ----------
    confusion
        int64, shape (10, 10): how many images of the digit of the row were read as that of the column.
    """

    confusion: NDArray[np.int64]

    @property
    def images(self) -> int:
        """The number of images."""
        return int(self.confusion.sum())

    @property
    def errors(self) -> int:
        """The number of images that were read incorrectly."""
        return self.images - int(self.confusion.trace())

    @property
    def accuracy(self) -> float:
        """The fraction of correct answers, 0 to 1."""
        return accuracy_values(self.images, self.errors)["accuracy"]

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return accuracy_values(self.images, self.errors)["accuracy_interval_95"]

    @property
    def images_per_digit(self) -> NDArray[np.int64]:
        """The number of images of each digit: int64, shape (10,)."""
        images: NDArray[np.int64] = self.confusion.sum(axis=1)
        return images

    @property
    def errors_per_digit(self) -> NDArray[np.int64]:
        """The number of images of each digit that were read incorrectly: int64, shape (10,)."""
        return self.images_per_digit - self.confusion.diagonal()

    def as_dict(self) -> dict[str, Any]:
        """Return all values, ready for JSON; the accuracy of a digit without images is None."""
        counts = zip(self.images_per_digit.tolist(), self.errors_per_digit.tolist(), strict=True)
        return {
            **accuracy_values(self.images, self.errors),
            "per_digit": [
                {
                    "digit": digit,
                    "images": images,
                    "errors": errors,
                    "accuracy": accuracy_values(images, errors)["accuracy"] if images else None,
                }
                for digit, (images, errors) in enumerate(counts)
            ],
            "confusion": self.confusion.tolist(),
        }

    def __repr__(self) -> str:
        return f"Evaluation(images={self.images}, errors={self.errors})"

    def _repr_html_(self) -> str:
        """Return the accuracy and the confusion matrix, for a notebook."""
        if not self.images:
            return paragraph("No images")
        accuracy, low, high = (100 * each for each in (self.accuracy, *self.accuracy_interval))
        words = (
            f"Accuracy {accuracy:.2f} % (95 % interval {low:.2f} to {high:.2f} %), "
            f"errors: {self.errors:,} of {self.images:,} images. Rows are labels, columns are answers:"
        )
        return paragraph(words) + table(["", *map(str, range(CLASSES))], _shaded_rows(self.confusion))


def _shaded_rows(confusion: NDArray[np.int64]) -> Iterator[list[str | Shaded]]:
    """Yield the rows of a confusion matrix: right answers blue, wrong ones orange."""
    is_right = np.eye(CLASSES, dtype=bool)
    most = np.where(is_right, confusion.diagonal().max(), (confusion * ~is_right).max())
    strengths = np.sqrt(confusion / np.maximum(most, 1))  # the root makes single errors visible
    for label, counts in enumerate(confusion.tolist()):
        cells = [
            Shaded(
                f"{count:,}" if count else "·",
                BLUE if answer == label else ORANGE,
                float(strengths[label, answer]),
            )
            for answer, count in enumerate(counts)
        ]
        yield [str(label), *cells]


def evaluate(predictions: Predictions, labels: NDArray[np.int64]) -> Evaluation:
    """Compare predictions with labels.

    Parameters
    ----------
    predictions
        Of N images, at least one.
    labels
        int64, shape (N,), 0 to 9.

    Raises
    ------
    DigitsError
        There are no images, or the numbers of predictions and labels differ.
    """
    _check_lengths(predictions, labels)
    cells = labels * CLASSES + predictions.labels
    return Evaluation(np.bincount(cells, minlength=CLASSES**2).reshape(CLASSES, CLASSES))


@dataclass(frozen=True, slots=True, eq=False)
class DigitScores:
    """Precision, recall and F1 of each digit: float64, shape (10,); nan where the denominator is zero."""

    precision: NDArray[np.float64]  # of the images read as the digit, the fraction that show it
    recall: NDArray[np.float64]  # of the images that show the digit, the fraction read as it
    f1: NDArray[np.float64]  # harmonic mean of both


def measure_scores(predictions: Predictions, labels: NDArray[np.int64]) -> DigitScores:
    """Return precision, recall and F1 of each digit, as scikit-learn defines them."""
    from sklearn.metrics import precision_recall_fscore_support

    _check_lengths(predictions, labels)
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predictions.labels, labels=range(CLASSES), zero_division=np.nan
    )
    return DigitScores(precision, recall, f1)


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Confidence and accuracy in B bins of equal width; each bin includes its upper edge.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017.
    """

    images: NDArray[np.int64]  # (B,): images in each bin
    confidence: NDArray[np.float64]  # (B,): their mean confidence, 0 to 1; nan in an empty bin
    accuracy: NDArray[np.float64]  # (B,): the fraction of correct answers; nan in an empty bin

    @property
    def expected_calibration_error(self) -> float:
        """The mean of |confidence - accuracy| over the bins, weighted by their images, 0 to 1."""
        filled = self.images > 0
        distances = np.abs(self.confidence - self.accuracy)[filled]
        return float(np.average(distances, weights=self.images[filled]))


def measure_reliability(
    predictions: Predictions, labels: NDArray[np.int64], bins: int = CALIBRATION_BINS
) -> Reliability:
    """Compare confidence with accuracy in `bins` bins of confidence between 0 and 1."""
    _check_lengths(predictions, labels)
    confidence = predictions.confidence.astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    bin_of_image = np.searchsorted(edges[1:-1], confidence)
    images = np.bincount(bin_of_image, minlength=bins)
    with np.errstate(invalid="ignore"):  # empty bins become nan
        mean_confidence = np.bincount(bin_of_image, confidence, bins) / images
        accuracy = np.bincount(bin_of_image, predictions.labels == labels, bins) / images
    return Reliability(images, mean_confidence, accuracy)


@dataclass(frozen=True, slots=True, eq=False)
class RejectionCurve:
    """The accuracy that remains when answers below a confidence threshold are rejected.

    There are K thresholds: the distinct confidences, in ascending order. The first one rejects nothing.
    """

    rejected: NDArray[np.float64]  # (K,): the fraction of images rejected, from 0 upwards
    accuracy: NDArray[np.float64]  # (K,): the fraction of correct answers among the images kept
    threshold: NDArray[np.float64]  # (K,): an answer is kept if its confidence is at least this


def measure_rejection(predictions: Predictions, labels: NDArray[np.int64]) -> RejectionCurve:
    """Measure accuracy while the least confident answers are rejected, one threshold after another."""
    _check_lengths(predictions, labels)
    threshold, group = np.unique(predictions.confidence.astype(np.float64), return_inverse=True)
    images = np.bincount(group)
    correct = np.bincount(group, predictions.labels == labels)
    kept = images[::-1].cumsum()[::-1]
    kept_correct = correct[::-1].cumsum()[::-1]
    return RejectionCurve(1 - kept / len(labels), kept_correct / kept, threshold)


def most_confident_errors(predictions: Predictions, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of all wrong answers, the most confident first: int64."""
    _check_lengths(predictions, labels)
    wrong = np.flatnonzero(predictions.labels != labels)
    return wrong[np.argsort(-predictions.confidence[wrong], kind="stable")]


def detailed_metrics(predictions: Predictions, labels: NDArray[np.int64]) -> dict[str, Any]:
    """Return evaluation, scores per digit and calibration, ready for JSON; None stands for nan."""
    values = evaluate(predictions, labels).as_dict()
    scores = measure_scores(predictions, labels)
    for digit, row in enumerate(values["per_digit"]):
        for name in ("precision", "recall", "f1"):
            row[name] = _none_if_nan(getattr(scores, name)[digit])
    reliability = measure_reliability(predictions, labels)
    values["expected_calibration_error"] = reliability.expected_calibration_error
    values["reliability"] = [
        {"images": int(images), "confidence": _none_if_nan(confidence), "accuracy": _none_if_nan(accuracy)}
        for images, confidence, accuracy in zip(
            reliability.images, reliability.confidence, reliability.accuracy, strict=True
        )
    ]
    return values


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _check_lengths(predictions: Predictions, labels: NDArray[np.int64]) -> None:
    if len(predictions) != len(labels) or not len(labels):
        raise DigitsError(
            f"expected as many labels as predictions, at least one; got {len(labels):,} and "
            f"{len(predictions):,}"
        )
