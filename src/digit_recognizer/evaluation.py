"""Predictions and labels ► accuracy with its interval, per digit, confusion, calibration, rejection."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, Predictions
from digit_recognizer.errors import DigitsError

BINS = 15  # of confidence, as in Guo et al. (2017)
Z_95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a proportion.

    Unlike the normal approximation it stays inside [0, 1] and is not empty at 0 or 100 %, where the
    accuracies of this package live.

    Parameters
    ----------
    successes
        How often it went well, 0 to `trials`.
    trials
        How often it was tried, at least 1.

    Returns
    -------
    tuple of float
        The lower and the upper end, both in [0, 1].

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


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """How predictions compare with the truth.

    Attributes
    ----------
    confusion
        int64, shape (10, 10): how many images of the digit of the row were taken for that of the column.
    """

    confusion: NDArray[np.int64]

    @property
    def images(self) -> int:
        """How many images were compared."""
        return int(self.confusion.sum())

    @property
    def errors(self) -> int:
        """How many of them were taken for another digit."""
        return self.images - int(self.confusion.trace())

    @property
    def accuracy(self) -> float:
        """The share of right answers, 0 to 1."""
        return 1 - self.errors / self.images

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return wilson_interval(self.images - self.errors, self.images)

    @property
    def images_per_digit(self) -> NDArray[np.int64]:
        """How many images each digit has: int64, shape (10,)."""
        images: NDArray[np.int64] = self.confusion.sum(axis=1)
        return images

    @property
    def errors_per_digit(self) -> NDArray[np.int64]:
        """How many of those were taken for another digit: int64, shape (10,)."""
        return self.images_per_digit - self.confusion.diagonal()

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, for JSON; accuracies of digits without images are None."""
        return {
            "images": self.images,
            "errors": self.errors,
            "accuracy": self.accuracy,
            "accuracy_interval_95": self.accuracy_interval,
            "per_digit": [
                {
                    "digit": digit,
                    "images": int(images),
                    "errors": int(errors),
                    "accuracy": 1 - int(errors) / int(images) if images else None,
                }
                for digit, (images, errors) in enumerate(
                    zip(self.images_per_digit, self.errors_per_digit, strict=True)
                )
            ],
            "confusion": self.confusion.tolist(),
        }


def evaluate(predictions: Predictions, labels: NDArray[np.int64]) -> Evaluation:
    """Compare predictions with the truth.

    Parameters
    ----------
    predictions
        Of N images, N at least 1.
    labels
        int64, shape (N,), 0 to 9.

    Raises
    ------
    DigitsError
        There are no images, or as many labels as predictions there are not.
    """
    _check_lengths(predictions, labels)
    cells = labels * CLASSES + predictions.labels
    return Evaluation(np.bincount(cells, minlength=CLASSES**2).reshape(CLASSES, CLASSES))


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Precision, recall and F1 of each digit.

    Attributes
    ----------
    precision
        float64, shape (10,): the share of right answers where the digit was answered; nan where it never was.
    recall
        float64, shape (10,): the share of right answers where the digit was shown; nan where it never was.
    f1
        float64, shape (10,): the harmonic mean of both; nan where the digit was neither shown nor answered.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def measure_scores(predictions: Predictions, labels: NDArray[np.int64]) -> Scores:
    """Return precision, recall and F1 of each digit, as scikit-learn has them; arguments as `evaluate`'s."""
    from sklearn.metrics import precision_recall_fscore_support

    _check_lengths(predictions, labels)
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, predictions.labels, labels=range(CLASSES), zero_division=np.nan
    )
    return Scores(precision, recall, f1)


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """How confidence compares with accuracy, in bins of equal width that hold their upper edge.

    Attributes
    ----------
    images
        int64, shape (B,): how many images have a confidence in each bin.
    confidence, accuracy
        float64, shape (B,): their mean confidence and the share of right answers, 0 to 1; nan where there
        are no images.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On calibration of modern neural networks", ICML 2017.
    """

    images: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def expected_calibration_error(self) -> float:
        """The mean distance of confidence and accuracy over the bins, weighted by their images, 0 to 1."""
        filled = self.images > 0
        distances = np.abs(self.confidence - self.accuracy)[filled]
        return float(np.average(distances, weights=self.images[filled]))


def measure_reliability(predictions: Predictions, labels: NDArray[np.int64], bins: int = BINS) -> Reliability:
    """Sort predictions by confidence into `bins` bins between 0 and 1; arguments as `evaluate`'s."""
    _check_lengths(predictions, labels)
    confidence = predictions.confidence.astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], confidence)
    images = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):  # empty bins become nan
        mean_confidence = np.bincount(place, confidence, bins) / images
        accuracy = np.bincount(place, predictions.labels == labels, bins) / images
    return Reliability(images, mean_confidence, accuracy)


@dataclass(frozen=True, slots=True, eq=False)
class Rejection:
    """What is left of the errors where the least confident answers are refused.

    Attributes
    ----------
    rejected
        float64, shape (K,), rising from 0: the share of images refused at each of the K confidences met;
        images of equal confidence are refused together.
    accuracy
        float64, shape (K,): the share of right answers among those kept.
    threshold
        float64, shape (K,): the confidence from which an answer is kept.
    """

    rejected: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    threshold: NDArray[np.float64]


def reject_unsure(predictions: Predictions, labels: NDArray[np.int64]) -> Rejection:
    """Refuse the least confident answers, more and more of them; arguments as `evaluate`'s."""
    _check_lengths(predictions, labels)
    threshold, place = np.unique(predictions.confidence.astype(np.float64), return_inverse=True)
    images = np.bincount(place)
    right = np.bincount(place, predictions.labels == labels)
    kept = images[::-1].cumsum()[::-1]
    kept_right = right[::-1].cumsum()[::-1]
    return Rejection(1 - kept / len(labels), kept_right / kept, threshold)


def most_confident_errors(predictions: Predictions, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of all wrong answers, the most confident first: int64; arguments as `evaluate`'s."""
    _check_lengths(predictions, labels)
    wrong = np.flatnonzero(predictions.labels != labels)
    return wrong[np.argsort(-predictions.confidence[wrong], kind="stable")]


def describe(predictions: Predictions, labels: NDArray[np.int64]) -> dict[str, Any]:
    """Return all these numbers as plain values, for JSON; None where there is nothing to count."""
    values = evaluate(predictions, labels).as_dict()
    scores = measure_scores(predictions, labels)
    for row in values["per_digit"]:
        digit = row["digit"]
        row["precision"] = _or_none(scores.precision[digit])
        row["recall"] = _or_none(scores.recall[digit])
        row["f1"] = _or_none(scores.f1[digit])
    reliability = measure_reliability(predictions, labels)
    values["expected_calibration_error"] = reliability.expected_calibration_error
    values["reliability"] = [
        {"images": int(images), "confidence": _or_none(confidence), "accuracy": _or_none(accuracy)}
        for images, confidence, accuracy in zip(
            reliability.images, reliability.confidence, reliability.accuracy, strict=True
        )
    ]
    return values


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _check_lengths(predictions: Predictions, labels: NDArray[np.int64]) -> None:
    if len(predictions) != len(labels) or not len(labels):
        raise DigitsError(
            f"expected as many labels as predictions, at least one; got {len(labels)} and {len(predictions)}"
        )
