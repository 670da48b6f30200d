"""Predictions and labels ► accuracy with its interval, per digit, confusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, Predictions
from digit_recognizer.errors import DigitsError
from digit_recognizer.intervals import wilson_interval

__all__ = ["Evaluation", "evaluate"]


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
    if len(predictions) != len(labels) or not len(labels):
        raise DigitsError(
            f"expected as many labels as predictions, at least one; got {len(labels)} and {len(predictions)}"
        )
    cells = labels * CLASSES + predictions.labels
    return Evaluation(np.bincount(cells, minlength=CLASSES**2).reshape(CLASSES, CLASSES))
