"""Whether the first line of a table is a header, and which of its names mean a label or an id."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from digit_recognizer.digits import PIXELS

LABEL_NAME = re.compile(
    r"(?:class|true)?[ _-]?labels?(?:[ _-]?id)?|class(?:es)?|targets?|y|digits?|category|number|ground_truth",
    re.IGNORECASE,
)
ID_NAME = re.compile(
    r"(?:image|row)?[ _-]?ids?|index|idx|row|row[ _-]?names|key|uu?id|(?:file|image|img)?[ _-]?(?:name|path)|"
    r"file|image|picture|no|nr|#|unnamed:.*",  # pandas writes "Unnamed: 0"
    re.IGNORECASE,
)


def is_header(cells: Sequence[str]) -> bool:
    """Return whether cells are names of columns: mostly no numbers, or numbers that count the columns."""
    numbers = [cell for cell in cells if is_number(cell)]
    if 2 * len(numbers) <= len(cells):
        return True
    return _is_count(numbers) or is_repaired(numbers)


def is_number(text: str) -> bool:
    """Return whether a cell is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def is_repaired(cells: Sequence[str]) -> bool:
    """Return whether numbers are what pandas makes of a row of pixels as a header (0, 0.1, 0.2)."""
    numbers = [cell for cell in cells if is_number(cell)]
    return sum("." in number for number in numbers) > len(numbers) / 2 and len(set(numbers)) == len(numbers)


def counts_rows(cells: Sequence[str]) -> bool:
    """Return whether the cells of a column go up one by one."""
    if not all(is_number(cell) for cell in cells):
        return False
    values = [float(cell) for cell in cells]
    return all(after - before == 1 for before, after in pairwise(values))


def _is_count(numbers: Sequence[str]) -> bool:
    """Return whether numbers go up one by one, far above the largest pixel."""
    values = [float(number) for number in numbers]
    steps = sum(after - before == 1 for before, after in pairwise(values))
    return len(values) >= PIXELS and steps >= len(values) - 2  # a label may stand before or after
