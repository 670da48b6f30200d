"""What is read in one picture: lines, numbers, digits, each with its place."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Box:
    """A part of an upright picture, in its pixels: `x` and `y` are the upper left corner."""

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
        Where it is.
    probabilities
        Ten, of each digit; they sum to 1.
    is_digit
        The probability that there is a digit at all.
    image
        uint8, shape (28, 28), 0 background to 255 ink: what the network saw of it; None where nobody kept it.
    """

    digit: int
    box: Box
    probabilities: tuple[float, ...]
    is_digit: float
    image: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)

    @property
    def confidence(self) -> float:
        """The probability that it is this digit."""
        return self.is_digit * self.probabilities[self.digit]

    def as_dict(self) -> dict[str, Any]:
        """Return the digit as JSON has it, without the image."""
        return {
            "digit": self.digit,
            "box": asdict(self.box),
            "probabilities": self.probabilities,
            "is_digit": self.is_digit,
        }


@dataclass(frozen=True, slots=True)
class SingleDigit:
    """What a picture of one digit shows.

    Attributes
    ----------
    digit
        0 to 9; None where there is none, or where that is not sure enough.
    confidence
        The probability of the likeliest digit, whether it is given or not; 0 where there is no ink at all.
    probabilities
        Ten, of each digit, if it is one; they sum to 1.
    """

    digit: int | None
    confidence: float
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """Digits that stand together, from left to right."""

    digits: tuple[ReadDigit, ...]

    @property
    def text(self) -> str:
        """The digits as they are written: ``2026``."""
        return "".join(str(each.digit) for each in self.digits)


@dataclass(frozen=True, slots=True)
class Line:
    """Numbers side by side, from left to right."""

    numbers: tuple[Number, ...]

    @property
    def text(self) -> str:
        """The numbers with a space between: ``17 42``."""
        return " ".join(number.text for number in self.numbers)


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything read in one picture.

    Attributes
    ----------
    lines
        From top to bottom.
    rejected
        Marks that are no digits.
    guesses
        For each of them what it would be if it were one, None where it has no digit's size; () where nobody
        asked.
    """

    lines: tuple[Line, ...]
    rejected: tuple[Box, ...] = ()
    guesses: tuple[ReadDigit | None, ...] = field(default=(), compare=False, repr=False)

    @property
    def text(self) -> str:
        """All that was read: a space between the numbers of a line, a newline between lines."""
        return "\n".join(line.text for line in self.lines)

    @property
    def digits(self) -> tuple[ReadDigit, ...]:
        """All digits, in reading order."""
        return tuple(each for line in self.lines for number in line.numbers for each in number.digits)

    def as_dict(self) -> dict[str, Any]:
        """Return the reading as JSON has it: ``text``, ``lines``, ``rejected``."""
        lines = [
            {"numbers": [{"digits": [digit.as_dict() for digit in number.digits]} for number in line.numbers]}
            for line in self.lines
        ]
        return {"text": self.text, "lines": lines, "rejected": [asdict(box) for box in self.rejected]}
