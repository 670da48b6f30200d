"""A page ► a `Reading`: where the digits of each line are, then what each of them is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import SIDE, Predictions
from digit_recognizer.imaging.ink import Ink
from digit_recognizer.imaging.line_segmentation import TextLine, find_lines
from digit_recognizer.imaging.marks import Mark
from digit_recognizer.imaging.mnist_style import mark_to_image
from digit_recognizer.imaging.strip import Strip, make_strip
from digit_recognizer.reading import Box, Line, Number, ReadDigit, Reading
from digit_recognizer.recognition.line_reader import Found

Predict = Callable[[NDArray[np.uint8]], Predictions]
FindDigits = Callable[[NDArray[np.uint8]], list[Found]]

SURE = 0.5  # probability from which something is taken for a digit
STRAY = 0.8  # likewise, where the line shows none
LOW = 0.35  # of the line's height; lower marks are no digits that it hardly shows
TALL = 0.5  # of the line's height; lower marks that the line shows no digit in are none
ALONE = 0.25  # weight of what a digit's own image says about which it is, beside what its line says
SPACE = 0.9  # of the line's height: numbers are as far apart
LONG, MOSTLY_STRANGE = 20, 0.3  # marks of a line, and the share that look like no digits on their own
LETTERS = 6  # tall marks of a line that are no digits; with as many it may be a line of text
TALLEST, AS_TALL = 80, 0.85  # percentile of a text's tall marks, and how tall numbers are beside them
GAP = 0.35  # of the line's height, at most, between the letters of a word


@dataclass(frozen=True, slots=True, eq=False)
class _Guess:
    """What may be a digit: what the line shows there, None where it shows nothing, and its ink."""

    found: Found | None
    mark: Mark


class _Seen(NamedTuple):
    """A mark, what it would be if it were a digit, None where nobody asked, and whether it is one."""

    mark: Mark
    guess: ReadDigit | None
    is_digit: bool


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
    ink, lines, others = find_lines(page)
    rejected = [_Seen(mark, None, is_digit=False) for mark in others]
    read = []
    for line in lines:
        guesses, rest = _guesses(line, ink, predict, find_digits)
        seen = _without_words(_recognised(guesses, ink, predict), rest, line.height)
        rejected += [each for each in seen if not each.is_digit]
        digits = [each.guess for each in seen if each.is_digit and each.guess is not None]
        if digits:
            read.append(Line(tuple(_numbers(digits, line.height / ink.zoom))))
    boxes = tuple(_box(each.mark, ink) for each in rejected)
    return Reading(tuple(read), boxes, tuple(each.guess for each in rejected))


def _guesses(
    line: TextLine, ink: Ink, predict: Predict, find_digits: FindDigits
) -> tuple[list[_Guess], list[Mark]]:
    """Return what may be digits in a line, from left to right, and the marks that are none.

    Tall marks that the line shows no digit in may be some, but not where most of a line is such: it is text.
    """
    strip = make_strip(ink, line)
    found = find_digits(strip.image)
    marks, rest = _parted(line, strip, found)
    kept = _without_doubtful(found, marks, line, ink, predict)
    if len(kept) < len(found):
        marks, rest = _parted(line, strip, kept)
    found = kept
    guesses = [_Guess(each, mark) for each, mark in zip(found, marks, strict=True) if mark is not None]
    tall = [mark for mark in rest if _is_tall(mark, line.height)]
    if len(tall) < LETTERS or len(tall) < len(guesses):
        guesses += [_Guess(None, mark) for mark in tall]
        rest = [mark for mark in rest if not _is_tall(mark, line.height)]
    return sorted(guesses, key=lambda guess: _middle(guess.mark)), rest


def _parted(line: TextLine, strip: Strip, found: Sequence[Found]) -> tuple[list[Mark | None], list[Mark]]:
    """Return the ink of each digit, None where there is none, and the marks that are left."""
    return line.assign_marks(strip.to_ink_columns(np.array([each.centre for each in found])))


def _without_doubtful(
    found: Sequence[Found], marks: Sequence[Mark | None], line: TextLine, ink: Ink, predict: Predict
) -> list[Found]:
    """Return the digits of a line; of those that it hardly shows, only what its own image shows, too.

    Where it hardly shows more than it shows, it is text, whose letters look like digits on their own.
    """
    kept = {number: each for number, each in enumerate(found) if each.is_digit >= SURE}
    doubtful = [
        (number, mark)
        for number, mark in enumerate(marks)
        if number not in kept and mark is not None and mark.height > LOW * line.height
    ]
    if not doubtful or len(doubtful) > len(kept):
        return list(kept.values())
    predictions = predict(_images([mark for _, mark in doubtful], ink))
    for row, (number, _) in enumerate(doubtful):
        likeliest = found[number].probabilities.argmax()
        is_digit = 0.0 if predictions.is_digit is None else float(predictions.is_digit[row])
        confidence = is_digit * float(predictions.probabilities[row, likeliest])
        if confidence >= SURE:
            kept[number] = replace(found[number], is_digit=confidence)
    return [kept[number] for number in sorted(kept)]


def _images(marks: Sequence[Mark], ink: Ink) -> NDArray[np.uint8]:
    return np.array([mark_to_image(ink, mark) for mark in marks], np.uint8).reshape(-1, SIDE, SIDE)


def _recognised(guesses: Sequence[_Guess], ink: Ink, predict: Predict) -> list[_Seen]:
    """Return each mark with the digit that it is, or would be."""
    images = _images([guess.mark for guess in guesses], ink)
    predictions = predict(images)
    strange = _strange(predictions)
    seen: list[_Seen] = []
    for number, guess in enumerate(guesses):
        digit = replace(_digit(guess, predictions, number, ink), image=images[number])
        is_digit = digit.is_digit >= (STRAY if guess.found is None else SURE) and not strange[number]
        seen.append(_Seen(guess.mark, digit, bool(is_digit)))
    return seen


def _strange(predictions: Predictions) -> NDArray[np.bool_]:
    """Return which marks of a line look like no digits on their own, if all do, or many of a long line.

    Then it is a drawing, or text. Among digits the line speaks for one that looks strange.
    """
    if predictions.is_digit is None:
        return np.zeros(len(predictions.probabilities), bool)
    strange = predictions.is_digit < SURE
    is_none = strange.all() if len(strange) < LONG else strange.mean() > MOSTLY_STRANGE
    return np.asarray(strange & is_none)


def _without_words(seen: Sequence[_Seen], rest: Sequence[Mark], height: float) -> list[_Seen]:
    """Return all marks of a line, and no digit of words: where most of it is text, an o is no 0."""
    others = [_Seen(mark, None, is_digit=False) for mark in rest]
    everything = sorted([*seen, *others], key=lambda each: _middle(each.mark))
    heights = [each.mark.height for each in everything if _is_tall(each.mark, height)]
    letters = sum(not each.is_digit and _is_tall(each.mark, height) for each in everything)
    if letters < LETTERS or 2 * letters < len(everything):
        return everything
    least = AS_TALL * float(np.percentile(heights, TALLEST))
    kept: list[_Seen] = []
    for word in _words(everything, height):
        digits = [each.mark.height for each in word if each.is_digit]
        strangers = sum(not each.is_digit and _is_tall(each.mark, height) for each in word)
        is_number = len(digits) > strangers and np.median(digits) >= least
        kept += word if is_number else [each._replace(is_digit=False) for each in word]
    return kept


def _words(seen: Sequence[_Seen], height: float) -> Iterator[list[_Seen]]:
    """Part a line's marks, from left to right, wherever there is a gap."""
    word: list[_Seen] = []
    right = 0
    for each in seen:
        if word and each.mark.left - right > GAP * height:
            yield word
            word = []
        right = max(right, each.mark.right) if word else each.mark.right
        word.append(each)
    yield word


def _is_tall(mark: Mark, height: float) -> bool:
    return mark.height > TALL * height


def _middle(mark: Mark) -> float:
    return (mark.left + mark.right) / 2


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
