"""Single characters: what they may be, with which probability, and where they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHARACTERS = "0123456789.,-/:+%"  # the classes, in this order
DIGITS = 10  # the first of these
MIN_READ_CONFIDENCE = 0.6  # below, a mark on its own is not read


@dataclass(frozen=True, slots=True)
class Box:
    """A bounding box, in pixels of the upright picture; `x` and `y` are its upper left corner."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column on the right of it."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row below it."""
        return self.y + self.height

    def scaled(self, across: float, down: float) -> Box:
        """Return the box in a picture that is so many times as wide and as high."""
        left, right = (round(each * across) for each in (self.x, self.right))
        top, bottom = (round(each * down) for each in (self.y, self.bottom))
        return Box(left, top, right - left, bottom - top)


@dataclass(frozen=True, slots=True)
class Character:
    """One character of a number.

    Attributes
    ----------
    text
        One of `CHARACTERS`.
    box
        Its position.
    probabilities
        Of each of `CHARACTERS`, given that it is one of them; they sum to 1.
    is_character
        The probability that it is one of them, 0 to 1.
    image
        uint8, shape (28, 28), 0 background to 255 ink: the mark in the style of MNIST. None if it was not
        kept.
    """

    text: str
    box: Box
    probabilities: tuple[float, ...]
    is_character: float
    image: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)

    @property
    def confidence(self) -> float:
        """The probability that it is this character, 0 to 1."""
        return self.is_character * self.probabilities[CHARACTERS.index(self.text)]

    @property
    def digit(self) -> ReadDigit | None:
        """The character as one of ten digits; None if it is a separator."""
        if not self.text.isdecimal():
            return None
        digits, separators = self.probabilities[:DIGITS], self.probabilities[DIGITS:]
        p_digit = max(1 - sum(separators), *digits)
        if p_digit <= 0:
            return None
        probabilities = tuple(each / p_digit for each in digits)
        return ReadDigit(int(self.text), self.box, probabilities, self.is_character * p_digit, self.image)

    def as_dict(self) -> dict[str, Any]:
        """Return the character for JSON, without its image."""
        return {
            "text": self.text,
            "box": asdict(self.box),
            "probabilities": self.probabilities,
            "is_character": self.is_character,
            "confidence": self.confidence,
        }


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

    def as_character(self) -> Character:
        """Return the digit as a character that is certainly no separator."""
        probabilities = (*self.probabilities, *[0.0] * (len(CHARACTERS) - DIGITS))
        return Character(str(self.digit), self.box, probabilities, self.is_digit, self.image)

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
