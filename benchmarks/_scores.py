"""Compare answers with what is written: whole pictures, numbers where they stand, lines, confidences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from _contact_sheet import Error
from _readers import Answer, Area, Reader, ReadNumber, digits_of, plain
from _sheets import Corners, WrittenNumber
from _views import View

Page = NDArray[np.uint8]

CALIBRATION_BINS = 15
REACH_FRACTION = 0.25  # of a number's height: how far outside the middle of what is read may lie
ERROR_MARGIN_FRACTION = 0.8  # of a number's height, around it on a contact sheet

MEASURES: dict[str, Callable[[Answer, str], bool]] = {
    "digits": lambda answer, expected: digits_of(answer.text) == digits_of(expected),
    "exactly": lambda answer, expected: answer.text == plain(expected),
    "first number": lambda answer, expected: digits_of(_first(answer)) == digits_of(expected),
    "refused": lambda answer, _expected: not digits_of(answer.text),
}


@dataclass(slots=True)
class Confidences:
    """Confidences of numbers, and which of these are right."""

    confidence: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)

    def add(self, confidence: float | None, right: bool) -> None:
        if confidence is not None:
            self.confidence.append(confidence)
            self.right.append(right)

    def extend(self, other: Confidences) -> None:
        self.confidence += other.confidence
        self.right += other.right

    def error(self) -> float:
        """Return the expected calibration error in bins of equal width, in per cent."""
        confidence, right = np.array(self.confidence), np.array(self.right, float)
        bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        return 100 * float(np.abs(np.bincount(bins, confidence - right)).sum()) / len(right)


@dataclass(slots=True)
class PlacedScore:
    """Counts over pictures with numbers at known places."""

    exactly: list[bool] = field(default_factory=list)  # of each number
    digits: list[bool] = field(default_factory=list)
    lost: list[bool] = field(default_factory=list)  # of each row: neither read nor rejected
    unread: list[bool] = field(default_factory=list)  # of each row: no digit read
    invented: int = 0  # numbers read where none is
    confidences: Confidences = field(default_factory=Confidences)
    errors: list[Error] = field(default_factory=list)

    def add(self, name: str, view: View, answer: Answer) -> None:
        """Compare the answer to one picture."""
        matches = match(view.numbers, answer)
        for number, found in zip(view.numbers, matches, strict=True):
            exactly = [each.text for each in found] == [number.text]
            self.exactly.append(exactly)
            self.digits.append("".join(digits_of(each.text) for each in found) == digits_of(number.text))
            for each in found:
                self.confidences.add(each.confidence, exactly)
            if not exactly:
                part = _around(view.page, number.corners)
                self.errors.append(Error(name, part, number.text, " ".join(each.text for each in found)))
        self.invented += len(answer.numbers) - sum(map(len, matches))
        for row in dict.fromkeys(number.row for number in view.numbers):
            own = [place for place, number in enumerate(view.numbers) if number.row == row]
            unread = not any(matches[place] for place in own)
            self.unread.append(unread)
            said = any(_is_rejected(view.numbers[place], answer) for place in own)
            self.lost.append(unread and not said)


def match(numbers: Sequence[WrittenNumber], answer: Answer) -> list[list[ReadNumber]]:
    """Return for each written number what was read at its place, from left to right.

    If the reader does not tell places, numbers of the same text belong together.
    """
    if any(each.area is None for each in answer.numbers):
        left = Counter(each.text for each in answer.numbers)
        return [_take(number.text, left) for number in numbers]
    found: list[list[ReadNumber]] = [[] for _ in numbers]
    for each in answer.numbers:
        assert each.area is not None
        distances = [_depth(number.corners, each.area.middle) for number in numbers]
        nearest = int(np.argmax(distances))
        if distances[nearest] >= -REACH_FRACTION * _height(numbers[nearest].corners):
            found[nearest].append(each)
    return [sorted(each, key=_left) for each in found]


def changed_digits(before: Answer, after: Answer) -> int:
    """Return how many digits of all lines were lost, added or exchanged (Levenshtein distance)."""
    old, new = (digits_of(answer.text) for answer in (before, after))
    costs = list(range(len(new) + 1))
    for row, left in enumerate(old, 1):
        previous, costs[0] = costs[0], row
        for column, right in enumerate(new, 1):
            step = previous + (left != right)
            previous, costs[column] = costs[column], min(step, costs[column] + 1, costs[column - 1] + 1)
    return costs[-1]


def compare(
    reader: Reader, name: str, page: Page, expected: str, measures: Iterable[str]
) -> tuple[Answer, dict[str, bool], Error | None]:
    """Read a picture; return the answer, whether it is right by each measure, and the error if not."""
    answer = reader(page)
    right = {measure: MEASURES[measure](answer, expected) for measure in measures}
    error = None if all(right.values()) else Error(name, page, expected, answer.text)
    return answer, right, error


def _first(answer: Answer) -> str:
    return answer.numbers[0].text if answer.numbers else ""


def _take(text: str, left: Counter[str]) -> list[ReadNumber]:
    if not left[text]:
        return []
    left[text] -= 1
    return [ReadNumber(text)]


def _depth(corners: Corners, point: tuple[float, float]) -> float:
    """Return the distance of a point from the edge of a number, negative outside."""
    return float(cv2.pointPolygonTest(corners.astype(np.float32), point, True))


def _height(corners: Corners) -> float:
    return float(np.linalg.norm(corners[3] - corners[0]))


def _left(number: ReadNumber) -> float:
    assert number.area is not None
    return number.area.x


def _is_rejected(number: WrittenNumber, answer: Answer) -> bool:
    """Tell whether a rejected mark lies on a number, or marks of unknown places were rejected."""
    reach = -REACH_FRACTION * _height(number.corners)
    middle = number.corners.mean(axis=0)
    return any(
        area is None or _contains(area, middle) or _depth(number.corners, area.middle) >= reach
        for area in answer.rejected
    )


def _contains(area: Area, point: NDArray[np.float64]) -> bool:
    column, row = point
    return bool(area.x <= column <= area.x + area.width and area.y <= row <= area.y + area.height)


def _around(page: Page, corners: Corners) -> Page:
    margin = ERROR_MARGIN_FRACTION * _height(corners)
    low = np.floor(corners.min(axis=0) - margin).clip(0).astype(int)
    high = np.ceil(corners.max(axis=0) + margin).astype(int)
    return page[low[1] : high[1] + 1, low[0] : high[0] + 1]
