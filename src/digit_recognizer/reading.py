"""What is read in a picture: lines of numbers of digits, each with its position."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Box:
    """A bounding box, in pixels of the upright picture; `x` and `y` are its upper left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ReadDigit:
    """One digit.

    Attributes
    ----------
    digit
        0 to 9.
    box
        Its position.
    probabilities
        Ten, of each digit, given that it is one; they sum to 1.
    is_digit
        The probability that it is a digit, 0 to 1.
    image
        uint8, shape (28, 28), 0 background to 255 ink: the input of the network. None if it was not kept.
    """

    digit: int
    box: Box
    probabilities: tuple[float, ...]
    is_digit: float
    image: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)

    @property
    def confidence(self) -> float:
        """The probability that it is this digit, 0 to 1."""
        return self.is_digit * self.probabilities[self.digit]

    def as_dict(self) -> dict[str, Any]:
        """Return the digit for JSON, without its image."""
        return {
            "digit": self.digit,
            "box": asdict(self.box),
            "probabilities": self.probabilities,
            "is_digit": self.is_digit,
        }


@dataclass(frozen=True, slots=True)
class SingleDigit:
    """What is read in a picture of one digit.

    Attributes
    ----------
    digit
        0 to 9; None if its confidence is below the threshold.
    confidence
        The probability of the most likely digit, 0 to 1, also if `digit` is None; 0 if there is no ink.
    probabilities
        Ten, of each digit, given that there is one; they sum to 1.
    """

    digit: int | None
    confidence: float
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """Digits without a space between them, from left to right."""

    digits: tuple[ReadDigit, ...]

    @property
    def text(self) -> str:
        """The digits, such as ``2026``."""
        return "".join(str(each.digit) for each in self.digits)


@dataclass(frozen=True, slots=True)
class Line:
    """Numbers side by side, from left to right."""

    numbers: tuple[Number, ...]

    @property
    def text(self) -> str:
        """The numbers, separated by spaces, such as ``17 42``."""
        return " ".join(number.text for number in self.numbers)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read in a picture.

    Attributes
    ----------
    lines
        From top to bottom.
    rejected
        Marks that are not digits.
    guesses
        For each of these, which digit it would be if it were one; None if it does not have the size of a
        digit. Empty if nothing was guessed.
    """

    lines: tuple[Line, ...]
    rejected: tuple[Box, ...] = ()
    guesses: tuple[ReadDigit | None, ...] = field(default=(), compare=False, repr=False)

    @property
    def text(self) -> str:
        """All numbers: those of a line separated by spaces, lines by newlines."""
        return "\n".join(line.text for line in self.lines)

    @property
    def digits(self) -> tuple[ReadDigit, ...]:
        """All digits, in reading order."""
        return tuple(each for line in self.lines for number in line.numbers for each in number.digits)

    def as_dict(self) -> dict[str, Any]:
        """Return the reading for JSON: ``text``, ``lines``, ``rejected``."""
        lines = [
            {"numbers": [{"digits": [digit.as_dict() for digit in number.digits]} for number in line.numbers]}
            for line in self.lines
        ]
        return {"text": self.text, "lines": lines, "rejected": [asdict(box) for box in self.rejected]}
