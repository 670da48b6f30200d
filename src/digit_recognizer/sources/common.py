"""What all sources share: parts and their names, options, notes, and arrays that become `Digits`."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from importlib import import_module
from math import isqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES, INK, PIXELS, SIDE, Digits
from digit_recognizer.errors import DigitsError
from digit_recognizer.formatting import count
from digit_recognizer.sources.streams import OnProgress

Part = Literal["train", "test"]
PART_WORDS: dict[Part, str] = {"train": "train|training|trn", "test": "test|testing|tst|t10k|10k"}
PART_PATTERNS = {
    part: re.compile(rf"(?:^|[^a-z])[xy]?(?:{words})(?:set|data|[xy])?(?:[^a-z]|$)")
    for part, words in PART_WORDS.items()
}
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
IMAGE_SHAPES = ((SIDE, SIDE), (PIXELS,), (SIDE, SIDE, 1), (1, SIDE, SIDE), (1, PIXELS), (PIXELS, 1))
COLOURS = 3
DIM = INK // 8  # no pixel is brighter: probably another scale
IMAGES_SAMPLED = 500  # that show whether the background is bright
EMNIST_PREFIX = "emnist"
SINGLE_DIGIT = "digit_recognizer.imaging.single_digit"  # needs OpenCV, which comes with an extra
MULTIPLY = f"multiply the pixels by {INK} and round them to integers"

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
DIGIT = r"(?:(?:digits?|class|label|target|number|num|no|n|d|c|y)[ _.-]*)?0*([0-9])"
DIGIT_NAME = re.compile(  # digit_3, class 03, 3-three, three, Digit Three
    rf"{DIGIT}(?:[ _.(-]+(?:{'|'.join(WORDS)})\)?)?|"
    rf"(?:(?:digit|class|label|number)[ _.-]*)?({'|'.join(WORDS)})",
    re.IGNORECASE,
)
QUOTED = re.compile(r"b?(['\"])(.*)\1")  # 'three' in ARFF; b'3' where bytes became text

LOGGER = logging.getLogger(__name__.rpartition(".")[0])  # one record for each thing that was assumed


@dataclass(frozen=True, slots=True)
class Options:
    """What to load of a source, and how.

    Attributes
    ----------
    part
        Training or test part.
    skip_bad
        Whether broken pictures are skipped.
    on_progress
        Called with the fraction that is read.
    """

    part: Part
    skip_bad: bool = False
    on_progress: OnProgress | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """Digits, and the column of their ids in a test file: its name and a text for each image."""

    digits: Digits
    id_name: str = ""
    ids: tuple[str, ...] | None = None


def note(text: str) -> None:
    """Say what was assumed."""
    LOGGER.info("%s", text)


def warn(text: str) -> None:
    """Say what will probably surprise."""
    LOGGER.warning("%s", text)


def part_of(name: str) -> Part | None:
    """Return the part that the name of a file, folder or array says; None if it says none or both."""
    words = CAMEL.sub("-", name).lower()
    if "sample" in words:  # sample_submission.csv, trainingSample
        return None
    found = [part for part in PART_PATTERNS if PART_PATTERNS[part].search(words)]
    return found[0] if len(found) == 1 else None


def is_transposed(name: str) -> bool:
    """Return whether a file is of EMNIST, whose images are stored column by column."""
    return name.lower().startswith(EMNIST_PREFIX)


def class_of(text: str) -> int | None:
    """Return the digit that a label or the name of a class says: 3, 03, 3.0, three, digit_3, 3-three."""
    text = text.strip()
    if quoted := QUOTED.fullmatch(text):
        text = quoted[2].strip()
    try:
        number = float(text)
    except ValueError:
        match = DIGIT_NAME.fullmatch(text)
        return None if match is None else int(match[1]) if match[1] else WORDS.index(match[2].lower())
    return int(number) if number in range(CLASSES) else None


def make_digits(name: str, images: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> Digits:
    """Return contiguous, writable `Digits`; errors name the file that the arrays came from."""
    others = "" if labels is None else other_labels(labels)
    if others:
        raise DigitsError(f"{name}: expected labels 0 to {CLASSES - 1}, {others}")
    try:
        digits = Digits(np.require(images, requirements=["C", "W"]), labels)
    except DigitsError as error:
        raise DigitsError(f"{name}: {error}") from error
    _check_scale(name, digits.images)
    return digits


def to_images(name: str, array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return images of any usual shape and type of number as uint8, shape (N, 28, 28)."""
    if array.shape[1:] not in IMAGE_SHAPES:
        raise DigitsError(
            f"{name}: expected shape (N, {SIDE}, {SIDE}), found {array.shape}{_other_shape(array.shape)}"
        )
    if array.dtype.kind not in "iufb":
        raise DigitsError(f"{name}: expected integers 0 to {INK}, found {array.dtype}")
    if array.size and array.dtype != np.uint8:
        low, high = array.min(), array.max()
        whole = array.dtype.kind in "iu" or (
            array.dtype.kind == "f" and bool((array == np.rint(array)).all())
        )
        if not whole:
            raise DigitsError(
                f"{name}: expected integers 0 to {INK}, found {array.dtype} {float(low):.4g} to "
                f"{float(high):.4g}: {how_to_scale(float(low), float(high))}"
            )
        if low < 0 or high > INK:
            raise DigitsError(f"{name}: expected 0 to {INK}, found {low:g} to {high:g}")
    return array.reshape(-1, SIDE, SIDE).astype(np.uint8)


def to_labels(name: str, array: NDArray[Any]) -> NDArray[np.int64]:
    """Return labels as int64, shape (N,): integers, whole floats, text of digits, or one-hot rows."""
    if array.ndim == 2 and array.shape[1] == CLASSES and array.dtype.kind in "iufb":
        if not ((array == 0) | (array == 1)).all() or not (array.sum(axis=1) == 1).all():
            raise DigitsError(f"{name}: expected one-hot rows of one 1 and nine 0, or labels of shape (N,)")
        note(f"{name}: one-hot rows; the label is the position of the 1")
        labels: NDArray[np.int64] = array.argmax(axis=1).astype(np.int64)
        return labels
    found = f"{array.dtype} {array.shape}"
    if array.shape[1:] not in ((), (1,)) or array.dtype.kind not in "iufbUSO":
        raise DigitsError(f"{name}: expected integers of shape (N,), found {found}")
    if array.dtype.kind in "USO":
        return _text_labels(name, array.reshape(-1).tolist())
    numbers = array.reshape(-1)
    if not (numbers == np.rint(numbers)).all():
        wrong = numbers[numbers != np.rint(numbers)][0]
        raise DigitsError(f"{name}: expected integers of shape (N,), found {found} with {wrong:g}")
    return numbers.astype(np.int64)


def _text_labels(name: str, cells: list[Any]) -> NDArray[np.int64]:
    texts = [cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell) for cell in cells]
    labels = [class_of(text) for text in texts]
    if None in labels:
        at = labels.index(None)
        raise DigitsError(f"{name}, row {at + 1}: expected a digit 0 to {CLASSES - 1}, found {texts[at]!r}")
    return np.array(labels, np.int64)


def other_labels(labels: NDArray[np.int64]) -> str:
    """Return how many labels are no digits, which these are and what to do; "" if all are digits."""
    others = np.flatnonzero((labels < 0) | (labels >= CLASSES))
    if not others.size:
        return ""
    low, high = labels.min(), labels.max()
    first = f"{labels[others[0]]} at index {others[0]}"
    found = f"found {low} to {high}, {count(len(others), 'label')} of no digit, first {first}"
    if (low, high) == (1, CLASSES):
        return f"{found}: if {CLASSES} stands for 0, as in MATLAB's sets, replace it by 0"
    return f"{found}: keep the images of digits"


def how_to_scale(low: float, high: float) -> str:
    """Return what to do with pixels of another scale than 0 to 255."""
    if low >= 0 and high <= 1:
        return f"{MULTIPLY}, as in np.rint(images * {INK}).astype('uint8')"
    if low < 0:
        return f"undo the normalisation, then {MULTIPLY}"
    return "round the pixels to integers"


def size_in_words(pixels: int) -> str:
    """Return the size of images with a number of pixels, if they can be square: " (32×32)"."""
    if pixels == COLOURS * PIXELS:
        return f" ({SIDE}×{SIDE} in three colours)"
    side = isqrt(pixels)
    return f" ({side}×{side})" if side > 1 and side * side == pixels else ""


def import_optional(module: str, extra: str = "train") -> Any:
    """Import a module that needs an extra; `DigitsError` with the command to type if that is missing."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or module).partition(".")[0]
        raise DigitsError(
            f'the package {package} is not installed: run pip install "digit-recognizer[{extra}]"'
        ) from error


def _check_scale(name: str, images: NDArray[np.uint8]) -> None:
    """Refuse pixels of only 0 and 1, and warn of other scales and of a bright background."""
    high = int(images.max(initial=0))
    if high == 1:
        raise DigitsError(f"{name}: expected pixels 0 to {INK}, found only 0 and 1: {how_to_scale(0, 1)}")
    if 1 < high <= DIM:
        warn(f"{name}: the brightest pixel is {high} of {INK}; if the scale is another, multiply the pixels")
    some = images[:: max(1, len(images) // IMAGES_SAMPLED)]
    border = np.concatenate([some[:, 0], some[:, -1]], axis=1)
    if border.size and np.median(border) > INK / 2:
        warn(
            f"{name}: the background is bright; MNIST's is 0 and ink {INK}, so a model for MNIST needs "
            f"{INK} minus each pixel"
        )


def _other_shape(shape: tuple[int, ...]) -> str:
    """Return what a wrong shape probably is."""
    if len(shape) == 4 and COLOURS in (shape[1], shape[3]):
        return ", which looks like three colours: take their mean"
    if len(shape) == 3 and shape[1] == shape[2]:
        return f": resize the images to {SIDE}×{SIDE}, or save them as pictures in folders 0 to 9"
    if shape[:1] in ((PIXELS,), (SIDE,)):
        return ", which looks transposed: the first axis must count the images"
    return ""
