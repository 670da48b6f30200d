"""The plain values that connect all packages: `Digits` and `Samples` go in, `Predictions` come out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.errors import DigitsError

CLASSES = 10  # the digits 0 to 9
NON_DIGIT = CLASSES  # the class of an image that shows no digit
SIDE = 28  # pixels along each side of an image
PIXELS = SIDE * SIDE
INK = 255  # the value of a pixel with full ink; the background is 0


@dataclass(frozen=True, slots=True, eq=False)
class Digits:
    """Images of single digits, with their labels where these are known.

    Attributes
    ----------
    images
        uint8, shape (N, 28, 28): 0 is the background, 255 full ink.
    labels
        int64, shape (N,), each 0 to 9; None if they are unknown.

    Raises
    ------
    DigitsError
        If an array has another dtype, shape or range.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        check_images(self.images)
        if self.labels is not None:
            _check_labels("labels", self.labels, len(self.images), highest=CLASSES - 1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Digits:
        """Return the digits of the given rows: a slice, an index array or a boolean mask."""
        return Digits(self.images[rows], None if self.labels is None else self.labels[rows])

    def counts(self) -> NDArray[np.int64]:
        """Return the number of images of each digit 0 to 9: int64, shape (10,); zeros without labels."""
        labels = np.empty(0, np.int64) if self.labels is None else self.labels
        return np.bincount(labels, minlength=CLASSES)

    def sha256(self) -> str:
        """Return a checksum of images and labels; the format of their file does not change it."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).data)
        if self.labels is not None:
            digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Images to learn from, of digits and of non-digits.

    Attributes
    ----------
    images
        uint8, shape (N, 28, 28): 0 is the background, 255 full ink.
    classes
        int64, shape (N,), each 0 to 9, or `NON_DIGIT`.

    Raises
    ------
    DigitsError
        If an array has another dtype, shape or range.
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]

    def __post_init__(self) -> None:
        check_images(self.images)
        _check_labels("classes", self.classes, len(self.images), highest=NON_DIGIT)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Samples:
        """Return the samples of the given rows: a slice, an index array or a boolean mask."""
        return Samples(self.images[rows], self.classes[rows])

    @property
    def is_digit(self) -> NDArray[np.bool_]:
        """Which samples are digits: bool, shape (N,)."""
        is_digit: NDArray[np.bool_] = self.classes != NON_DIGIT
        return is_digit

    def digits(self) -> Digits:
        """Return the samples that are digits, with their labels; N may be 0."""
        return Digits(self.images[self.is_digit], self.classes[self.is_digit])

    def sha256(self) -> str:
        """Return a checksum of images and classes; the order of the samples does not change it."""
        pairs = zip(self.images, self.classes.tolist(), strict=True)
        lines = sorted(image.tobytes() + bytes([number]) for image, number in pairs)
        return hashlib.sha256(b"".join(lines)).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """A model's answers for N images.

    Attributes
    ----------
    probabilities
        float32, shape (N, 10): the probability of each digit, given that the image is one. Rows sum to 1.
    is_digit
        float32, shape (N,), 0 to 1: the probability that the image is a digit; None if the model does not
        know non-digits.
    """

    probabilities: NDArray[np.float32]
    is_digit: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        probabilities = self.probabilities
        if probabilities.dtype != np.float32 or probabilities.shape != (len(probabilities), CLASSES):
            raise DigitsError(
                f"expected float32 probabilities of shape (N, {CLASSES}), "
                f"got {probabilities.dtype} {probabilities.shape}"
            )

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def labels(self) -> NDArray[np.int64]:
        """The most probable digit of each image: int64, shape (N,)."""
        labels: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return labels

    @property
    def confidence(self) -> NDArray[np.float32]:
        """The probability of that digit: float32, shape (N,), 0.1 to 1."""
        confidence: NDArray[np.float32] = self.probabilities.max(axis=1)
        return confidence


def check_images(images: NDArray[Any]) -> None:
    """Raise `DigitsError` unless `images` is uint8 of shape (N, 28, 28)."""
    if not isinstance(images, np.ndarray):
        raise DigitsError(f"expected a numpy array of images, got {type(images).__name__}")
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
        raise DigitsError(
            f"expected uint8 images of shape (N, {SIDE}, {SIDE}), 0 background to {INK} ink, "
            f"got {images.dtype} {images.shape}"
        )


def _check_labels(name: str, labels: NDArray[Any], count: int, highest: int) -> None:
    if not isinstance(labels, np.ndarray) or labels.dtype != np.int64 or labels.shape != (count,):
        found = f"{labels.dtype} {labels.shape}" if isinstance(labels, np.ndarray) else type(labels).__name__
        raise DigitsError(f"expected int64 {name} of shape ({count},), got {found}")
    wrong = np.flatnonzero((labels < 0) | (labels > highest))
    if wrong.size:
        raise DigitsError(f"expected {name} 0 to {highest}, got {labels[wrong[0]]} at index {wrong[0]}")
