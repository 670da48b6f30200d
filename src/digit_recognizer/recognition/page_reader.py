"""Read a page: find its characters, and say which of them are a number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import SIDE, Predictions
from digit_recognizer.imaging.character_image import character_image
from digit_recognizer.reading import (
    CHARACTERS,
    DIGITS,
    MIN_READ_CONFIDENCE,
    Box,
    Calibration,
    Character,
    Line,
    Reading,
    RejectedMark,
    interpret,
    number_of,
)
from digit_recognizer.recognition.agreement import FoundCharacter
from digit_recognizer.recognition.grouping import group

FindCharacters = Callable[[NDArray[np.uint8]], list[FoundCharacter]]  # of a page, (H, W)
Predict = Callable[[NDArray[np.uint8]], Predictions]  # of images, (N, 28, 28)

MIN_SURE_DIGITS = 2  # of a number, from which less sure digits in it are read, too
MIN_CONFIDENCE_AMONG_DIGITS = 0.3  # of these
IMAGE_WEIGHT = 0.2  # of the prediction for the image of a single digit
UNLIKELY, NO_DIGITS = "probably not a digit", "no digit beside it"  # reasons to reject a mark


def read_page(
    page: NDArray[np.uint8],
    find_characters: FindCharacters,
    predict: Predict | None = None,
    calibration: Calibration = Calibration(),  # noqa: B008
    *,
    image_weight: float = IMAGE_WEIGHT,
    with_images: bool = False,
) -> Reading:
    """Read all numbers on a page, (H, W), 0 black to 255 white.

    `predict`, if given, also says which digit each of the digits is, with the weight `image_weight`;
    `with_images` keeps the images of all characters.
    """
    found = find_characters(page)
    characters = [_character(each, page) for each in found]
    if predict is not None or with_images:
        characters = _with_images(characters, page)
    if predict is not None:
        characters = _with_predictions(characters, predict, image_weight)
    chosen = _choose(found, characters)
    unlikely = sorted({*range(len(characters))}.difference(chosen))
    rejected = [(characters[place], UNLIKELY) for place in unlikely]
    lines = []
    for row in group([found[place] for place in chosen]):
        numbers = [[characters[chosen[place]] for place in number] for number in row]
        rejected += [(each, NO_DIGITS) for number in numbers if not _has_digits(number) for each in number]
        lines.append(Line(tuple(number_of(number) for number in numbers if _has_digits(number))))
    marks = tuple(RejectedMark(each.box, reason, each) for each, reason in rejected)
    read = tuple(line for line in lines if line.numbers)
    return interpret(Reading(read, marks, page=page, calibration=calibration))


def _choose(found: Sequence[FoundCharacter], characters: Sequence[Character]) -> list[int]:
    """Return the places of what is read: sure characters, and less sure digits among sure ones."""
    likely = [place for place, each in enumerate(characters) if _p_read(each) >= MIN_CONFIDENCE_AMONG_DIGITS]
    chosen: list[int] = []
    for row in group([found[place] for place in likely]):
        for number in row:
            places = [likely[each] for each in number]
            sure = [place for place in places if _p_read(characters[place]) >= MIN_READ_CONFIDENCE]
            digits = [place for place in places if characters[place].text.isdecimal()]
            is_number = len({*sure} & {*digits}) >= MIN_SURE_DIGITS
            chosen += {*sure, *digits} if is_number else sure
    return sorted(chosen)


def _p_read(character: Character) -> float:
    """Return the confidence of a digit, or the probability of any separator: points look like commas."""
    if character.text.isdecimal():
        return character.confidence
    return character.is_character * sum(character.probabilities[DIGITS:])


def _has_digits(characters: Iterable[Character]) -> bool:
    return any(each.text.isdecimal() for each in characters)


def _character(found: FoundCharacter, page: NDArray[np.uint8]) -> Character:
    probabilities = found.probabilities.astype(np.float64)
    probabilities /= probabilities.sum()
    return _most_probable(found.box_on(page), probabilities, found.is_character)


def _most_probable(box: Box, probabilities: NDArray[np.float64], is_character: float) -> Character:
    text = CHARACTERS[int(probabilities.argmax())]
    return Character(text, box, tuple(probabilities.tolist()), is_character)


def _with_images(characters: Sequence[Character], page: NDArray[np.uint8]) -> list[Character]:
    """Add an image in the style of MNIST to each character."""
    return [
        replace(each, image=character_image(page, each.box.x, each.box.y, each.box.right, each.box.bottom))
        for each in characters
    ]


def _with_predictions(characters: Sequence[Character], predict: Predict, weight: float) -> list[Character]:
    """Let a model of single digits say, too, which digit each of the digits is."""
    digits = [each for each in characters if each.text.isdecimal()]
    if not digits:
        return list(characters)
    images = np.array([each.image for each in digits], np.uint8).reshape(-1, SIDE, SIDE)
    predictions = iter(predict(images).probabilities)
    return [
        _combined(each, next(predictions), weight) if each.text.isdecimal() else each for each in characters
    ]


def _combined(character: Character, predicted: NDArray[np.float32], weight: float) -> Character:
    """Return a digit whose probabilities are a weighted geometric mean."""
    probabilities = np.array(character.probabilities)
    p_digit = probabilities[:DIGITS].sum()
    mean = probabilities[:DIGITS] ** (1 - weight) * predicted.astype(np.float64) ** weight
    probabilities[:DIGITS] = p_digit * mean / mean.sum()
    probabilities /= probabilities.sum()
    combined = _most_probable(character.box, probabilities, character.is_character)
    return replace(combined, image=character.image)
