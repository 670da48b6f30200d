"""A page ► a `Reading`: where the digits of each line are, then what each of them is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import SIDE, Predictions
from digit_recognizer.imaging.likeness import to_image
from digit_recognizer.imaging.paper import Ink
from digit_recognizer.imaging.segment import TextLine, find_lines
from digit_recognizer.imaging.strip import make_strip
from digit_recognizer.imaging.strokes import Mark
from digit_recognizer.reading import Box, Line, Number, ReadDigit, Reading
from digit_recognizer.recognition.line_reader import Found

__all__ = ["read_page"]

Predict = Callable[[NDArray[np.uint8]], Predictions]
FindDigits = Callable[[NDArray[np.uint8]], list[Found]]

SURE = 0.5  # probability from which something is taken for a digit
STRAY = 0.8  # likewise, where the line shows none
TALL = 0.5  # of the line's height; lower marks that the line shows no digit in are none
ALONE = 0.25  # weight of what a digit's own image says about which it is, beside what its line says
SPACE = 0.9  # of the line's height: numbers are as far apart


@dataclass(frozen=True, slots=True, eq=False)
class _Guess:
    """What may be a digit: what the line shows there, None where it shows nothing, and its ink."""

    found: Found | None
    mark: Mark


def read_page(page: NDArray[np.uint8], predict: Predict, find_digits: FindDigits) -> Reading:
    """Read all numbers on a page.

    Parameters
    ----------
    page
        uint8, shape (height, width): 0 black to 255 white.
    predict
        uint8 images (N, 28, 28) ► `Predictions`.
    find_digits
        A strip, uint8 (40, W) ► the digits in it, from left to right.
    """
    ink, lines, rejected = find_lines(page)
    read = []
    for line in lines:
        guesses, rest = _guesses(line, ink, find_digits)
        digits, no_digits = _recognised(guesses, ink, predict)
        rejected += [*rest, *no_digits]
        if digits:
            read.append(Line(tuple(_numbers(digits, line.height / ink.zoom))))
    return Reading(tuple(read), tuple(_box(mark, ink) for mark in rejected))


def _guesses(line: TextLine, ink: Ink, find_digits: FindDigits) -> tuple[list[_Guess], list[Mark]]:
    """Return what may be digits in a line, from left to right, and the marks that are none."""
    strip = make_strip(ink, line)
    found = find_digits(strip.image)
    marks, rest = line.digits_at(strip.column(np.array([each.centre for each in found])))
    guesses = [_Guess(each, mark) for each, mark in zip(found, marks, strict=True) if mark is not None]
    tall = [mark.height > TALL * line.height for mark in rest]
    guesses += [_Guess(None, mark) for mark, is_tall in zip(rest, tall, strict=True) if is_tall]
    guesses.sort(key=lambda guess: guess.mark.left + guess.mark.right)
    return guesses, [mark for mark, is_tall in zip(rest, tall, strict=True) if not is_tall]


def _recognised(guesses: Sequence[_Guess], ink: Ink, predict: Predict) -> tuple[list[ReadDigit], list[Mark]]:
    """Return the digits that are some, and the marks of those that are none."""
    images = [to_image(ink, guess.mark) for guess in guesses]
    predictions = predict(np.array(images, np.uint8).reshape(-1, SIDE, SIDE))
    digits, rest = [], []
    for number, guess in enumerate(guesses):
        digit = replace(_digit(guess, predictions, number, ink), image=images[number])
        if digit.is_digit >= (STRAY if guess.found is None else SURE):
            digits.append(digit)
        else:
            rest.append(guess.mark)
    return digits, rest


def _digit(guess: _Guess, predictions: Predictions, number: int, ink: Ink) -> ReadDigit:
    """Return what the line and the digit's own image say together: the geometric mean."""
    own = predictions.probabilities[number]
    if guess.found is None:
        is_digit = 0.0 if predictions.is_digit is None else float(predictions.is_digit[number])
        return ReadDigit(int(own.argmax()), _box(guess.mark, ink), tuple(map(float, own)), is_digit)
    both = guess.found.probabilities ** (1 - ALONE) * own**ALONE
    both /= both.sum()
    probabilities = tuple(map(float, both))
    return ReadDigit(int(both.argmax()), _box(guess.mark, ink), probabilities, guess.found.is_digit)


def _numbers(digits: Sequence[ReadDigit], height: float) -> Iterator[Number]:
    """Part the digits of a line, `height` pixels high, wherever there is a space."""
    together: list[ReadDigit] = []
    for digit in digits:
        before = together[-1].box if together else None
        if before is not None and digit.box.x - (before.x + before.width) > SPACE * height:
            yield Number(tuple(together))
            together = []
        together.append(digit)
    yield Number(tuple(together))


def _box(mark: Mark, ink: Ink) -> Box:
    """Return where a mark is in the page's pixels."""
    zoom = ink.zoom
    left, top = int(mark.left / zoom), int(mark.top / zoom)
    width, height = max(1, round(mark.width / zoom)), max(1, round(mark.height / zoom))
    return Box(left, top, width, height)
