"""Group the characters of a page into text lines and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from statistics import median

import numpy as np

from digit_recognizer.reading import DIGITS
from digit_recognizer.recognition.agreement import FoundCharacter

MIN_P_START = 0.5  # from it, a character starts a new number, if there is a space before it
MIN_SPACE_EM = 0.8  # between the boxes of two numbers
MAX_GAP_EM = 1.5  # between the boxes of two characters of a number
MAX_RISE_EM = 0.6  # between the middles of neighbours in a line, once the page is level
ROW_END = 3  # digits that say where a row ends


def group(characters: Sequence[FoundCharacter]) -> list[list[list[int]]]:
    """Return the numbers of each line, from top to bottom and from left to right, as places in the input."""
    slope = _slope(characters)
    rows: list[list[FoundCharacter]] = []
    for each in sorted(characters, key=lambda character: character.middle[0]):
        near = [(rise, row) for row in rows if (rise := _rise(row, each, slope)) < MAX_RISE_EM]
        if near:
            min(near, key=lambda candidate: candidate[0])[1].append(each)
        else:
            rows.append([each])
    rows.sort(key=lambda row: median(_level(each, slope) for each in row))
    places = {id(each): place for place, each in enumerate(characters)}
    return [[[places[id(each)] for each in number] for number in _split(row)] for row in rows]


def _slope(characters: Sequence[FoundCharacter]) -> float:
    """Return by how many pixels lines fall per pixel to the right: the median over neighbouring digits."""
    digits = [each for each in characters if _is_digit(each)]
    if not digits:
        return 0.0
    boxes, ems = np.array([each.box for each in digits]), np.array([each.em for each in digits])
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    slopes = []
    for place in range(len(digits)):
        across, down = (middles - middles[place]).T
        em = (ems + ems[place]) / 2
        is_near = (across > 0) & (boxes[:, 0] - boxes[place, 2] < MAX_GAP_EM * em)
        is_level = (np.abs(down) < MAX_RISE_EM * em) & (np.abs(down) < across)
        following = np.flatnonzero(is_near & is_level)
        if following.size:
            next_one = following[boxes[following, 0].argmin()]
            slopes.append(float(down[next_one] / across[next_one]))
    return median(slopes) if slopes else 0.0


def _level(character: FoundCharacter, slope: float) -> float:
    """Return the row of the middle of a character, once the page is level."""
    across, down = character.middle
    return down - slope * across


def _rise(row: Sequence[FoundCharacter], character: FoundCharacter, slope: float) -> float:
    """Return how far a character is above or below the end of a row, as a fraction of their height.

    A separator may lie anywhere between the top and the bottom of a digit.
    """
    ends = list(islice(filter(_is_digit, reversed(row)), ROW_END))[::-1] or row[-1:]
    levels = [_level(each, slope) for each in ends]
    level, last = _level(character, slope), ends[-1]
    rise = min(abs(level - end) for end in (levels[-1], sum(levels) / len(levels)))
    if _is_digit(character) != _is_digit(last):
        rise = max(0.0, rise - max(_height(character), _height(last)) / 2)
    return 2 * rise / (last.em + character.em)


def _is_digit(character: FoundCharacter) -> bool:
    return int(character.probabilities.argmax()) < DIGITS


def _height(character: FoundCharacter) -> float:
    return float(character.box[3] - character.box[1])


def _split(row: Sequence[FoundCharacter]) -> list[list[FoundCharacter]]:
    """Split a row where a number starts, and at wide gaps."""
    numbers: list[list[FoundCharacter]] = []
    for each in row:
        if not numbers or _is_apart(numbers[-1][-1], each):
            numbers.append([])
        numbers[-1].append(each)
    return numbers


def _is_apart(first: FoundCharacter, second: FoundCharacter) -> bool:
    """Return whether two neighbours belong to different numbers."""
    gap = (second.box[0] - first.box[2]) / second.em
    return bool(gap >= MAX_GAP_EM or (gap >= MIN_SPACE_EM and second.starts >= MIN_P_START))
