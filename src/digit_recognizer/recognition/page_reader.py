"""Read a page: find the digits of each text line with one network, then recognise each with another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import SIDE, Predictions
from digit_recognizer.imaging.ink import Ink
from digit_recognizer.imaging.line_segmentation import TextLine, find_lines
from digit_recognizer.imaging.marks import Mark
from digit_recognizer.imaging.mnist_style import mark_to_image
from digit_recognizer.imaging.strip import Strip, make_strip
from digit_recognizer.reading import (
    Box,
    Calibration,
    Line,
    Number,
    ReadDigit,
    Reading,
    RejectedMark,
    interpret,
    number_of,
)
from digit_recognizer.recognition.line_reader import LineDigit

Predict = Callable[[NDArray[np.uint8]], Predictions]  # of images, (N, 28, 28)
FindDigits = Callable[[NDArray[np.uint8]], list[LineDigit]]  # of a strip, (40, W), from left to right

MIN_P_DIGIT = 0.5  # below, a mark is a non-digit
MIN_P_DIGIT_UNLOCATED = 0.8  # likewise, for a mark in which the line's network finds no digit
DOUBTFUL_HEIGHT_FRACTION = 0.35  # of the line's height; lower marks cannot be low-confidence digits
TALL_MARK_FRACTION = 0.5  # of the line's height; lower marks are neither unlocated digits nor letters
IMAGE_WEIGHT = 0.25  # of the prediction for a digit's own image; the rest is its line's
NUMBER_GAP_FRACTION = 0.9  # of the line's height; a wider gap separates two numbers
LONG_LINE_MARKS = 20  # a line with as many may be text: its fraction of non-digits decides
MAX_NON_DIGIT_FRACTION = 0.3  # of the marks of a long line
MIN_TEXT_LETTERS = 6  # tall marks that are no digits; a line with fewer is not text
TEXT_HEIGHT_PERCENTILE = 80  # percentile of the heights of tall marks that is the height of a text
MIN_NUMBER_HEIGHT_FRACTION = 0.85  # of the height of the text around it; an "o" is lower than that
WORD_GAP_FRACTION = 0.35  # of the line's height; a wider gap separates two words

NOT_A_DIGIT, PART_OF_A_WORD, TOO_SMALL = "not a digit", "part of a word", "too small"
TOO_MANY_MARKS = "one of too many marks"  # reasons to reject a mark


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A mark that may be a digit, and what the line's network found there, if anything."""

    located: LineDigit | None
    mark: Mark


@dataclass(frozen=True, slots=True, eq=False)
class _Recognised:
    """A mark, which digit it is or would be if it were one (None if not examined), and why it is none."""

    mark: Mark
    guess: ReadDigit | None = None
    reason: str | None = None  # None: it is a digit

    @property
    def is_digit(self) -> bool:
        """Whether the mark is a digit."""
        return self.reason is None

    @property
    def digits(self) -> list[ReadDigit]:
        """The mark as a digit, or nothing."""
        return [self.guess] if self.is_digit and self.guess is not None else []


def read_page(
    page: NDArray[np.uint8],
    predict: Predict,
    find_digits: FindDigits,
    calibration: Calibration = Calibration(),  # noqa: B008
) -> Reading:
    """Read all numbers on a page, (H, W), 0 black to 255 white."""
    ink, lines, others = find_lines(page)
    reason = TOO_SMALL if lines else TOO_MANY_MARKS
    rejected = [_Recognised(mark, reason=reason) for mark in others]
    read = []
    for line in lines:
        candidates, rest = _find_candidates(line, ink, predict, find_digits)
        marks = _reject_words(_recognise(candidates, ink, predict), rest, line.height)
        rejected += [each for each in marks if not each.is_digit]
        digits = [digit for each in marks for digit in each.digits]
        if digits:
            read.append(Line(tuple(_split_into_numbers(digits, line.height / ink.zoom))))
    marks_of_page = tuple(_rejected_mark(each, ink) for each in rejected)
    return interpret(Reading(tuple(read), marks_of_page, page=page, calibration=calibration))


def _rejected_mark(recognised: _Recognised, ink: Ink) -> RejectedMark:
    guess = None if recognised.guess is None else recognised.guess.as_character()
    return RejectedMark(_box(recognised.mark, ink), recognised.reason or NOT_A_DIGIT, guess)


def _find_candidates(
    line: TextLine, ink: Ink, predict: Predict, find_digits: FindDigits
) -> tuple[list[_Candidate], list[Mark]]:
    """Return the possible digits of a line, from left to right, and its other marks.

    A tall mark without a located digit is a candidate too, unless most of the line consists of such marks:
    then it is text.
    """
    strip = make_strip(ink, line)
    found = find_digits(strip.image)
    marks, rest = _assign_marks(line, strip, found)
    kept = _drop_unconfirmed(found, marks, line, ink, predict)
    if len(kept) < len(found):
        marks, rest = _assign_marks(line, strip, kept)
    candidates = [_Candidate(each, mark) for each, mark in zip(kept, marks, strict=True) if mark is not None]
    tall = [mark for mark in rest if _is_tall(mark, line.height)]
    if len(tall) < MIN_TEXT_LETTERS or len(tall) < len(candidates):
        candidates += [_Candidate(None, mark) for mark in tall]
        rest = [mark for mark in rest if not _is_tall(mark, line.height)]
    return sorted(candidates, key=lambda candidate: candidate.mark.centre), rest


def _assign_marks(
    line: TextLine, strip: Strip, found: Sequence[LineDigit]
) -> tuple[list[Mark | None], list[Mark]]:
    """Return the ink of each digit, None if it has none, and the marks of no digit."""
    return line.assign_marks(strip.to_ink_columns(np.array([each.centre for each in found])))


def _drop_unconfirmed(
    found: Sequence[LineDigit], marks: Sequence[Mark | None], line: TextLine, ink: Ink, predict: Predict
) -> list[LineDigit]:
    """Drop low-confidence digits of a line whose own images do not confirm them.

    All are dropped if they are the majority: then the line is text, whose letters alone look like digits.
    """
    kept = {number: each for number, each in enumerate(found) if each.is_digit >= MIN_P_DIGIT}
    doubtful = [
        (number, mark)
        for number, mark in enumerate(marks)
        if number not in kept and mark is not None and mark.height > DOUBTFUL_HEIGHT_FRACTION * line.height
    ]
    if not doubtful or len(doubtful) > len(kept):
        return list(kept.values())
    predictions = predict(_images([mark for _, mark in doubtful], ink))
    for row, (number, _) in enumerate(doubtful):
        likeliest = found[number].probabilities.argmax()
        confidence = _p_digit(predictions, row) * float(predictions.probabilities[row, likeliest])
        if confidence >= MIN_P_DIGIT:
            kept[number] = replace(found[number], is_digit=confidence)
    return [kept[number] for number in sorted(kept)]


def _images(marks: Sequence[Mark], ink: Ink) -> NDArray[np.uint8]:
    return np.array([mark_to_image(ink, mark) for mark in marks], np.uint8).reshape(-1, SIDE, SIDE)


def _p_digit(predictions: Predictions, row: int) -> float:
    """Return P(digit) of an image; 0 if the model cannot tell, so that it confirms nothing."""
    return 0.0 if predictions.is_digit is None else float(predictions.is_digit[row])


def _recognise(candidates: Sequence[_Candidate], ink: Ink, predict: Predict) -> list[_Recognised]:
    """Return for each candidate which digit it is, and whether it is one."""
    images = _images([candidate.mark for candidate in candidates], ink)
    predictions = predict(images)
    non_digits = _find_non_digits(predictions)
    recognised = []
    for row, candidate in enumerate(candidates):
        guess = replace(_combine(candidate, predictions, row, ink), image=images[row])
        min_p_digit = MIN_P_DIGIT_UNLOCATED if candidate.located is None else MIN_P_DIGIT
        is_digit = guess.is_digit >= min_p_digit and not non_digits[row]
        recognised.append(_Recognised(candidate.mark, guess, None if is_digit else NOT_A_DIGIT))
    return recognised


def _find_non_digits(predictions: Predictions) -> NDArray[np.bool_]:
    """Return which marks of a line, (N,), are non-digits by their own images.

    That counts only if all marks are, or many of a long line: then it is a drawing or text. Among digits the
    line's network is right more often, because a digit cut off its neighbour looks torn on its own.
    """
    if predictions.is_digit is None:
        return np.zeros(len(predictions.probabilities), bool)
    non_digits = predictions.is_digit < MIN_P_DIGIT
    is_short = len(non_digits) < LONG_LINE_MARKS
    counts = non_digits.all() if is_short else non_digits.mean() > MAX_NON_DIGIT_FRACTION
    return np.asarray(non_digits & counts)


def _reject_words(
    recognised: Sequence[_Recognised], rest: Sequence[Mark], height: float
) -> list[_Recognised]:
    """Return all marks of a line; if it is mostly text, digits count only in words of tall digits."""
    others = [_Recognised(mark, reason=_reason(mark, height)) for mark in rest]
    marks = sorted([*recognised, *others], key=lambda each: each.mark.centre)
    heights = [each.mark.height for each in marks if _is_tall(each.mark, height)]
    letters = _count_letters(marks, height)
    if letters < MIN_TEXT_LETTERS or 2 * letters < len(marks):
        return marks
    min_height = MIN_NUMBER_HEIGHT_FRACTION * float(np.percentile(heights, TEXT_HEIGHT_PERCENTILE))
    kept: list[_Recognised] = []
    for word in _split_into_words(marks, height):
        digits = [each.mark.height for each in word if each.is_digit]
        is_number = len(digits) > _count_letters(word, height) and np.median(digits) >= min_height
        kept += word if is_number else [replace(each, reason=each.reason or PART_OF_A_WORD) for each in word]
    return kept


def _reason(mark: Mark, height: float) -> str:
    """Return why a mark of a line is no candidate: tall ones are letters, see `_find_candidates`."""
    return PART_OF_A_WORD if _is_tall(mark, height) else TOO_SMALL


def _count_letters(marks: Sequence[_Recognised], height: float) -> int:
    return sum(not each.is_digit and _is_tall(each.mark, height) for each in marks)


def _split_into_words(marks: Sequence[_Recognised], height: float) -> Iterator[list[_Recognised]]:
    """Split the marks of a line, from left to right, at gaps."""
    word: list[_Recognised] = []
    right = 0
    for each in marks:
        if word and each.mark.left - right > WORD_GAP_FRACTION * height:
            yield word
            word = []
        right = max(right, each.mark.right) if word else each.mark.right
        word.append(each)
    yield word


def _is_tall(mark: Mark, height: float) -> bool:
    return mark.height > TALL_MARK_FRACTION * height


def _combine(candidate: _Candidate, predictions: Predictions, row: int, ink: Ink) -> ReadDigit:
    """Combine the line's prediction and that of the digit's own image: a weighted geometric mean."""
    probabilities = predictions.probabilities[row]
    is_digit = _p_digit(predictions, row)
    if candidate.located is not None:
        probabilities = candidate.located.probabilities ** (1 - IMAGE_WEIGHT) * probabilities**IMAGE_WEIGHT
        probabilities /= probabilities.sum()
        is_digit = candidate.located.is_digit
    digit = int(probabilities.argmax())
    return ReadDigit(digit, _box(candidate.mark, ink), tuple(map(float, probabilities)), is_digit)


def _split_into_numbers(digits: Sequence[ReadDigit], height: float) -> Iterator[Number]:
    """Split the digits of a line, `height` pixels of the page high, at gaps."""
    number: list[ReadDigit] = []
    for digit in digits:
        last = number[-1].box if number else None
        if last is not None and digit.box.x - (last.x + last.width) > NUMBER_GAP_FRACTION * height:
            yield _number(number)
            number = []
        number.append(digit)
    yield _number(number)


def _number(digits: Sequence[ReadDigit]) -> Number:
    return number_of(digit.as_character() for digit in digits)


def _box(mark: Mark, ink: Ink) -> Box:
    """Return the bounding box of a mark in pixels of the page."""
    zoom = ink.zoom
    left, top = int(mark.left / zoom), int(mark.top / zoom)
    width, height = max(1, round(mark.width / zoom)), max(1, round(mark.height / zoom))
    return Box(left, top, width, height)
