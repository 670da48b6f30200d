"""What is read in a picture: lines of numbers of characters, each with its position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.errors import DigitsError
from digit_recognizer.notebook import picture
from digit_recognizer.reading.calibration import IDENTITY, Calibration
from digit_recognizer.reading.characters import Box, Character, ReadDigit

if TYPE_CHECKING:
    from PIL.Image import Image

FORMAT_VERSION = 1  # of `Reading.as_dict`; raised if a key changes its meaning or goes
MIN_CONFIDENCE = 0.9  # below, a character or a number is drawn as uncertain


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another text that a number may be, and the probability of it."""

    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class Number:
    """Characters without a space between them, from left to right; made by `compose`.

    Attributes
    ----------
    characters
        At least one.
    confidence
        The probability that the whole number is right, 0 to 1.
    value
        What it amounts to; None if that is unknown, or if it is not a plain number, such as a date.
    sure
        False if the confidence is below the threshold, or if the number is none of those that are allowed.
    alternatives
        Other texts that it may be, the most probable first.
    row, column
        Its cell in the table of all numbers, from 1; None if they are in no table.
    candidates
        All characters that were considered, from left to right.
    """

    characters: tuple[Character, ...]
    confidence: float
    value: Decimal | None = None
    sure: bool = True
    alternatives: tuple[Alternative, ...] = ()
    row: int | None = None
    column: int | None = None
    candidates: tuple[Character, ...] = field(default=(), compare=False, repr=False)

    @property
    def text(self) -> str:
        """The number as it is written, such as ``2026`` or ``1.234,50``."""
        return "".join(each.text for each in self.characters)

    @property
    def shown(self) -> str:
        """The text, followed by a question mark if the number is not sure."""
        return self.text if self.sure else f"{self.text}?"

    @property
    def digits(self) -> tuple[ReadDigit, ...]:
        """The characters that are digits."""
        return tuple(digit for each in self.characters if (digit := each.digit) is not None)

    @property
    def box(self) -> Box:
        """The box around all characters."""
        boxes = [each.box for each in self.characters]
        left, top = min(each.x for each in boxes), min(each.y for each in boxes)
        right, bottom = max(each.right for each in boxes), max(each.bottom for each in boxes)
        return Box(left, top, right - left, bottom - top)

    def as_dict(self) -> dict[str, Any]:
        """Return the number for JSON."""
        return {
            "digits": [each.as_dict() for each in self.digits],
            "text": self.text,
            "value": None if self.value is None else f"{self.value:f}",
            "confidence": self.confidence,
            "sure": self.sure,
            "box": asdict(self.box),
            "row": self.row,
            "column": self.column,
            "alternatives": [asdict(each) for each in self.alternatives],
            "characters": [each.as_dict() for each in self.characters],
        }


@dataclass(frozen=True, slots=True)
class Line:
    """Numbers side by side, from left to right."""

    numbers: tuple[Number, ...]

    @property
    def text(self) -> str:
        """The numbers, separated by spaces, such as ``17 42``."""
        return " ".join(number.text for number in self.numbers)


@dataclass(frozen=True, slots=True)
class RejectedMark:
    """A mark that was not read.

    Attributes
    ----------
    box
        Its position.
    reason
        Why it was not read, such as ``too small``.
    guess
        What it would be if it were a character; None if nothing was guessed.
    """

    box: Box
    reason: str
    guess: Character | None = field(default=None, compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the mark for JSON: the box's keys, ``reason``, and the guess."""
        guess = self.guess
        text, confidence = (None, None) if guess is None else (guess.text, guess.confidence)
        return {**asdict(self.box), "reason": self.reason, "text": text, "confidence": confidence}


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read in a picture.

    Attributes
    ----------
    lines
        From top to bottom.
    rejected_marks
        Marks that are not read.
    notes
        Sentences about what could not be decided.
    rotation
        Degrees clockwise by which the picture was turned before it was read: 0, 90, 180 or 270. All boxes are
        in the turned picture.
    page
        uint8, shape (height, width), the picture that was read; None if it was not kept.
    page_scale
        The width and height of a pixel of `page` in those of the boxes; above 1 if the picture was reduced.
    calibration
        That of the model that read it.
    """

    lines: tuple[Line, ...]
    rejected_marks: tuple[RejectedMark, ...] = ()
    notes: tuple[str, ...] = ()
    rotation: int = 0
    page: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)
    page_scale: tuple[float, float] = field(default=(1.0, 1.0), compare=False, repr=False)
    calibration: Calibration = field(default=IDENTITY, compare=False, repr=False)

    @property
    def text(self) -> str:
        """All numbers: those of a line separated by spaces, lines by newlines."""
        return "\n".join(line.text for line in self.lines)

    @property
    def numbers(self) -> tuple[Number, ...]:
        """All numbers, in reading order."""
        return tuple(number for line in self.lines for number in line.numbers)

    @property
    def digits(self) -> tuple[ReadDigit, ...]:
        """All digits, in reading order."""
        return tuple(digit for number in self.numbers for digit in number.digits)

    @property
    def rejected(self) -> tuple[Box, ...]:
        """The boxes of the marks that are not read."""
        return tuple(mark.box for mark in self.rejected_marks)

    @property
    def guesses(self) -> tuple[ReadDigit | None, ...]:
        """For each of these marks, which digit it would be if it were one; None if that was not guessed."""
        return tuple(None if mark.guess is None else mark.guess.digit for mark in self.rejected_marks)

    @property
    def grid(self) -> list[list[list[Number]]]:
        """The numbers in the cells of the table that they form: ``grid[row][column]``, from 0."""
        placed = [each for each in self.numbers if each.row is not None and each.column is not None]
        rows = max((each.row or 0 for each in placed), default=0)
        columns = max((each.column or 0 for each in placed), default=0)
        cells: list[list[list[Number]]] = [[[] for _ in range(columns)] for _ in range(rows)]
        for each in placed:
            cells[(each.row or 0) - 1][(each.column or 0) - 1].append(each)
        return cells

    def as_dict(self) -> dict[str, Any]:
        """Return the reading for JSON, as ``docs/reading.schema.json`` describes it."""
        return {
            "format": FORMAT_VERSION,
            "text": self.text,
            "lines": [{"numbers": [number.as_dict() for number in line.numbers]} for line in self.lines],
            "rejected": [mark.as_dict() for mark in self.rejected_marks],
            "notes": list(self.notes),
            "rotation": self.rotation,
        }

    def draw(self, page: NDArray[np.uint8] | None = None) -> Image:
        """Return the picture, with a box around each mark and each number written beside its own.

        Parameters
        ----------
        page
            uint8, shape (height, width): the picture in which the boxes are. Default: the reading's own,
            which is smaller if the picture was reduced.

        Raises
        ------
        DigitsError
            No picture is given, and the reading has none.
        """
        from digit_recognizer.reading.overlay import CONFIDENT, REJECTED, UNCERTAIN, Label, draw_overlay

        scale = (1.0, 1.0) if page is not None else (1 / self.page_scale[0], 1 / self.page_scale[1])
        page = self.page if page is None else page
        if page is None:
            raise DigitsError("the reading has no picture; pass the page that was read")
        frames = [(box.scaled(*scale), REJECTED) for box in self.rejected]
        labels = []
        for number in self.numbers:
            for each in number.characters:
                frames.append(
                    (each.box.scaled(*scale), CONFIDENT if each.confidence >= MIN_CONFIDENCE else UNCERTAIN)
                )
            is_sure = number.sure and all(each.confidence >= MIN_CONFIDENCE for each in number.characters)
            labels.append(Label(number.shown, number.box.scaled(*scale), CONFIDENT if is_sure else UNCERTAIN))
        return draw_overlay(page, frames, labels)

    def __repr__(self) -> str:
        return f"Reading({self.text!r}, rejected={len(self.rejected_marks)})"

    def _repr_html_(self) -> str:
        """Return the drawing and the text, for a notebook."""
        return "".join(self._html())

    def _html(self) -> Iterator[str]:
        text = "\n".join(" ".join(each.shown for each in line.numbers) for line in self.lines)
        if self.page is not None:
            yield picture(self.draw(), "The picture, with what was read")
        yield f"<pre>{escape(text or 'no digits')}</pre>"
