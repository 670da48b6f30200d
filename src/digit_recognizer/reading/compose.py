"""Make numbers of characters: their text, value, confidence, alternatives and place in a table.

A reader of pages finds characters and says which of them are a number (`number_of`); `interpret` does the
rest for all numbers of a page, and may be called again with other options.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import prod
from typing import Literal

from digit_recognizer.errors import DigitsError
from digit_recognizer.reading.allowed import Allowed, align, runners_up
from digit_recognizer.reading.calibration import Calibration
from digit_recognizer.reading.characters import Character
from digit_recognizer.reading.decimals import MARKS, DecimalMark, is_ambiguous, usual_mark, value_of
from digit_recognizer.reading.table import find_cells
from digit_recognizer.reading.values import Alternative, Line, Number, Reading

ALTERNATIVES = 3  # of a number


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How the numbers of a page are understood.

    Attributes
    ----------
    decimal_mark
        What separates the decimals; ``auto`` finds out.
    allowed
        What a number may be, a `Pattern` or `Values`; None: anything.
    threshold
        0 to 1; a number whose confidence is lower is not sure.
    """

    decimal_mark: Literal["auto", ".", ","] = "auto"
    allowed: Allowed | None = None
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if self.decimal_mark not in ("auto", *MARKS):
            raise DigitsError(f"expected auto, . or , as the decimal mark, got {self.decimal_mark!r}")
        if not 0 <= self.threshold <= 1:
            raise DigitsError(f"expected a threshold from 0 to 1, got {self.threshold}")


DEFAULT_OPTIONS = ReadingOptions()


def number_of(characters: Iterable[Character], candidates: Iterable[Character] = ()) -> Number:
    """Return the number that characters, from left to right, make; `interpret` completes it.

    Parameters
    ----------
    characters
        At least one, as they are read.
    candidates
        These, and further ones that might belong to the number, from left to right. Default: only these.
    """
    characters = tuple(characters)
    confidence = prod(each.confidence for each in characters)
    return Number(characters, confidence, candidates=tuple(candidates) or characters)


def interpret(reading: Reading, options: ReadingOptions = DEFAULT_OPTIONS) -> Reading:
    """Return a reading whose numbers are understood as the options say.

    If only some texts are allowed, a number is the most probable of these. Its confidence is then the
    fraction of its probability in that of all allowed texts; if none is possible, the number stays as it was
    read, with the confidence 0.
    """
    calibration = reading.calibration
    lines = [[_decide(each, options, calibration) for each in line.numbers] for line in reading.lines]
    texts = [each.text for line in lines for each in line]
    mark = usual_mark(texts) if options.decimal_mark == "auto" else options.decimal_mark
    cells = find_cells([[each.box for each in line] for line in lines])
    placed = tuple(
        Line(
            tuple(
                replace(number, value=_value(number.text, mark, options), row=row, column=column)
                for number, (row, column) in zip(line, places, strict=True)
            )
        )
        for line, places in zip(lines, cells, strict=True)
    )
    return replace(reading, lines=placed, notes=_notes(texts) if mark is None else ())


def _decide(number: Number, options: ReadingOptions, calibration: Calibration) -> Number:
    """Return a number with its most probable allowed text, confidence and alternatives."""
    candidates = number.candidates or number.characters
    if options.allowed is None:
        characters, others = number.characters, runners_up(candidates, ALTERNATIVES)
        raw = prod(each.confidence for each in characters)
    else:
        ranking = options.allowed.rank(candidates, 1 + ALTERNATIVES)
        if not ranking.texts:
            return replace(number, confidence=0.0, sure=False, alternatives=(), candidates=candidates)
        characters = align(ranking.texts[0].text, candidates)
        others = [Alternative(each.text, each.probability / ranking.total) for each in ranking.texts]
        raw = others[0].probability
    confidence = calibration.apply(raw)
    rest = (1 - confidence) / (1 - raw) if raw < 1 else 0.0
    text = "".join(each.text for each in characters)
    alternatives = [Alternative(each.text, each.probability * rest) for each in others if each.text != text]
    return Number(
        characters,
        confidence,
        sure=confidence >= options.threshold,
        alternatives=tuple(alternatives[:ALTERNATIVES]),
        candidates=candidates,
    )


def _value(text: str, mark: DecimalMark | None, options: ReadingOptions) -> Decimal | None:
    """Return the value of a text; `mark` is the usual one of the page, if there is one."""
    if options.decimal_mark == "auto" and not is_ambiguous(text):
        return next((value for each in MARKS if (value := value_of(text, each)) is not None), None)
    return None if mark is None else value_of(text, mark)


def _notes(texts: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence if the value of some texts depends on the decimal mark."""
    unclear = list(dict.fromkeys(filter(is_ambiguous, texts)))
    if not unclear:
        return ()
    first = unclear[0]
    point, comma = (value_of(first, mark) for mark in MARKS)
    rest = f", like {len(unclear) - 1} more" if len(unclear) > 1 else ""
    return (f"{first} may be {point} or {comma}{rest}: no other number shows what the decimal mark is",)
