"""What several looks at a page, in different sizes, say together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.reading import Box
from digit_recognizer.recognition.unread import Area

# Of the smaller of two boxes; if they overlap more, they are one character.
MAX_OVERLAP_FRACTION = 0.7
LOW_MAX_OVERLAP_FRACTION = 0.5  # if both are the same digit or sign, or the less probable one is improbable
P_PROBABLE = 0.5
MIN_SAME_IOU = 0.5  # from it, two looks found the same character
MIN_SIDE_EM = 0.25  # of boxes that are compared: those of points differ by a pixel, which is much of them
SURE_EM_RANGE_PX = (24.0, 48.0)  # heights of digits at which no look should miss a character
P_MISSED = 0.05  # probability of a character by a look that should find it and does not
P_RANGE = (1e-4, 1 - 1e-4)  # of a single look


@dataclass(frozen=True, slots=True, eq=False)
class FoundCharacter:
    """A character that was found on a page.

    Attributes
    ----------
    box
        float32, shape (4,): left, top, right and bottom, in pixels of the page.
    probabilities
        float32, shape (17,), of each of `CHARACTERS`, given that it is one of them.
    is_character
        The probability that there is a character, 0 to 1.
    em
        The height of a digit of its number, in pixels of the page.
    starts
        The probability that a number starts with it, 0 to 1.
    """

    box: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    is_character: float
    em: float
    starts: float

    @property
    def confidence(self) -> float:
        """The probability that there is a character, and that it is the most probable one."""
        return self.is_character * float(self.probabilities.max())

    @property
    def middle(self) -> tuple[float, float]:
        """The column and the row of the middle of its box."""
        left, top, right, bottom = self.box.tolist()
        return (left + right) / 2, (top + bottom) / 2

    def box_on(self, page: NDArray[np.uint8]) -> Box:
        """Return the box in whole pixels inside a page, (H, W)."""
        height, width = page.shape
        left, top, right, bottom = np.rint(self.box).astype(int).tolist()
        left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
        return Box(left, top, max(1, min(right, width) - left), max(1, min(bottom, height) - top))


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What was found in an area of a page that was looked at in a size, relative to its own."""

    scale: float
    area: Area
    found: Sequence[FoundCharacter]


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """What a look found, as arrays of K rows."""

    boxes: NDArray[np.float32]  # (K, 4), each with sides of at least `MIN_SIDE_EM`
    probabilities: NDArray[np.float32]  # (K, 17)
    is_character: NDArray[np.float64]
    ems: NDArray[np.float64]

    def can_be_found_by(self, look: Look) -> NDArray[np.bool_]:
        """Return which of the characters a look should find, (K,)."""
        columns, rows = ((self.boxes[:, :2] + self.boxes[:, 2:]) / 2).T
        low, high = SURE_EM_RANGE_PX
        return (
            look.area.contains(columns, rows)
            & (low <= self.ems * look.scale)
            & (self.ems * look.scale <= high)
        )


def agree(looks: Sequence[Look]) -> list[FoundCharacter]:
    """Return all that was found, each with the mean of what those looks say that should find it.

    The mean is that of the logarithms of the odds for `is_character`, and for `probabilities` the mean of
    looks that find the character, weighted by how sure they are.
    """
    tables = [(look, _table(look)) for look in looks if look.found]
    return [each for look, table in tables for each in _agreed(look, table, tables)]


def _agreed(look: Look, own: _Table, tables: Sequence[tuple[Look, _Table]]) -> list[FoundCharacter]:
    """Return what a look found, as all looks say together."""
    total, votes = log_odds(own.is_character), np.ones(len(own.ems))
    weights = own.is_character.copy()
    weighted = own.probabilities * weights[:, None]
    for other, table in tables:
        if other is look:
            continue
        is_asked = own.can_be_found_by(other)
        if not is_asked.any():
            continue
        is_same = ious(own.boxes, table.boxes) >= MIN_SAME_IOU
        best, is_found = np.where(is_same, table.is_character, 0).argmax(axis=1), is_same.any(axis=1)
        p_found = np.where(is_found, table.is_character[best], P_MISSED)
        total += is_asked * log_odds(p_found)
        votes += is_asked
        weight = p_found * (is_asked & is_found)
        weighted += weight[:, None] * table.probabilities[best]
        weights += weight
    p_character = 1 / (1 + np.exp(-total / votes))
    rows = zip(look.found, p_character.tolist(), weighted / weights[:, None], strict=True)
    return [replace(each, is_character=p, probabilities=probabilities) for each, p, probabilities in rows]


def keep_best(found: Iterable[FoundCharacter]) -> list[FoundCharacter]:
    """Return the most probable of characters that lie upon each other, the most probable first."""
    ordered = sorted(found, key=lambda character: -character.is_character)
    boxes = np.array([each.box for each in ordered], np.float32).reshape(-1, 4)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    classes = np.array([each.probabilities.argmax() for each in ordered])
    kept: list[int] = []
    for number, box in enumerate(boxes):
        common = np.minimum(box[2:], boxes[kept, 2:]) - np.maximum(box[:2], boxes[kept, :2])
        overlaps = np.prod(common.clip(0), axis=1) / np.minimum(areas[number], areas[kept]).clip(1e-6)
        is_doubtful = (classes[kept] == classes[number]) | (ordered[number].is_character < P_PROBABLE)
        limits = np.where(is_doubtful, LOW_MAX_OVERLAP_FRACTION, MAX_OVERLAP_FRACTION)
        if not (overlaps > limits).any():
            kept.append(number)
    return [ordered[number] for number in kept]


def _table(look: Look) -> _Table:
    found = look.found
    ems = np.array([each.em for each in found])
    return _Table(
        roomy_boxes(np.array([each.box for each in found]), ems),
        np.array([each.probabilities for each in found]),
        np.array([each.is_character for each in found]),
        ems,
    )


def roomy_boxes(boxes: NDArray[np.float32], ems: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return boxes (K, 4) as they are compared, with sides of at least `MIN_SIDE_EM`."""
    middles, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    halves = np.maximum(sides, MIN_SIDE_EM * ems[:, None]).astype(np.float32) / 2
    return np.concatenate([middles - halves, middles + halves], axis=1)


def log_odds(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithms of the odds of probabilities, limited to those that a single look may give."""
    p = p.clip(*P_RANGE)
    return np.asarray(np.log(p / (1 - p)))


def ious(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the intersection over union of each of boxes (K, 4) with each of others (M, 4): (K, M)."""
    low, high = (extreme(boxes[:, None, sides], others[:, sides]) for extreme, sides in
                 ((np.maximum, slice(2)), (np.minimum, slice(2, 4))))  # fmt: skip
    common = np.prod((high - low).clip(0), axis=2)
    areas, other_areas = (np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (boxes, others))
    return np.asarray(common / (areas[:, None] + other_areas - common))
