"""What a number as it is written amounts to: "1.234,50" and "1,234.50" are both 1234.50.

Points and commas separate the decimals, or groups of three digits. Which of the two is which follows from
most numbers alone; only those such as "1,234" can be read in both ways, and are then read as the others of
the same picture.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

DecimalMark = Literal[".", ","]
MARKS: tuple[DecimalMark, DecimalMark] = (".", ",")
PLAIN = re.compile(r"([+-]?)([\d.,]*\d)%?")  # a sign, and what may be a number
DECIMAL = {
    ".": re.compile(r"(\d+|\d{1,3}(?:,\d{3})+)?(?:\.(\d+))?"),
    ",": re.compile(r"(\d+|\d{1,3}(?:\.\d{3})+)?(?:,(\d+))?"),
}  # by the decimal mark: the digits before it, perhaps in groups of three, and after it


def possible_marks(text: str) -> tuple[DecimalMark, ...]:
    """Return the decimal marks with which a text is a plain number: both, one or none."""
    return tuple(mark for mark in MARKS if value_of(text, mark) is not None)


def is_ambiguous(text: str) -> bool:
    """Return whether the decimal mark changes the value, as of ``1,234``."""
    values = [value_of(text, mark) for mark in MARKS]
    return None not in values and values[0] != values[1]


def value_of(text: str, mark: DecimalMark) -> Decimal | None:
    """Return what a text amounts to with a decimal mark; None if it is not a plain number.

    A sign may be before it, and a percent sign, which does not count, after it.
    """
    plain = PLAIN.fullmatch(text)
    parts = plain and DECIMAL[mark].fullmatch(plain[2])
    if not plain or not parts:
        return None
    whole = re.sub(r"\D", "", parts[1] or "")
    if whole.startswith("0") and whole != parts[1]:
        return None  # no group of three comes after a 0
    return Decimal(f"{plain[1]}{whole or '0'}.{parts[2]}" if parts[2] else f"{plain[1]}{whole}")


def usual_mark(texts: Iterable[str]) -> DecimalMark | None:
    """Return the decimal mark of most numbers that can have only one; None if there is no majority."""
    votes = Counter(marks[0] for text in texts if len(marks := possible_marks(text)) == 1)
    point, comma = (votes[mark] for mark in MARKS)
    if point == comma:
        return None
    return "." if point > comma else ","
