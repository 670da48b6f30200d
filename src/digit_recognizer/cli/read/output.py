"""What `digits read` prints and draws: text, JSON, grids and pictures."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from digit_recognizer.cli.read.pages import Page
from digit_recognizer.cli.terminal import print_json, printable
from digit_recognizer.files import replacing

if TYPE_CHECKING:
    from PIL.Image import Image

    from digit_recognizer.reading import Reading, SingleDigit

STANDARD_OUTPUT = Path("-")
GAP = "  "  # between the columns of a grid
DRAWING_FORMATS = {".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG"}


class Summary(NamedTuple):
    """The rows of a table for a page, and what is said about it."""

    rows: list[tuple[Any, ...]]
    lost_marks: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A page, and what was read on it or why nothing could be read.

    A `summary` is what a table needs of that; it takes a hundredth of the memory.
    """

    page: Page
    found: Reading | SingleDigit | None
    error: str | None = None
    summary: Summary | None = None

    @property
    def reading(self) -> Reading | None:
        """What was read, if it is not a single digit."""
        from digit_recognizer.reading import Reading

        return self.found if isinstance(self.found, Reading) else None

    @property
    def lost_marks(self) -> int:
        """The number of marks on a page on which nothing was read."""
        if self.summary is not None:
            return self.summary.lost_marks
        reading = self.reading
        return 0 if reading is None or reading.lines else len(reading.rejected_marks)

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be decided."""
        if self.summary is not None:
            return self.summary.notes
        return () if self.reading is None else tuple(self.reading.notes)


class Printer:
    """Prints entries: JSON, or text with the names of several pictures; notes, each once, as errors."""

    def __init__(self, *, as_json: bool, as_grid: bool, is_only_picture: bool) -> None:
        self._as_json, self._as_grid, self._is_only_picture = as_json, as_grid, is_only_picture
        self._notes: set[str] = set()

    def print(self, entry: Entry) -> None:
        """Print what was read on a page."""
        if self._as_json:
            print_json(_as_json(entry))
        elif entry.found is None:
            print(f"digits: {printable(entry.error or '')}", file=sys.stderr)
        elif self._is_only_picture:
            print(self._text(entry))
        elif self._as_grid:
            print(f"{printable(entry.page.name)}:\n{self._text(entry)}", flush=True)
        else:
            text = " / ".join(self._text(entry).splitlines())
            print(f"{printable(entry.page.name)}: {text}", flush=True)

    def print_notes(self, entry: Entry) -> None:
        """Print what could not be decided, and that all marks of a page were rejected."""
        if entry.lost_marks and not self._as_json:
            name = "" if self._is_only_picture else f"{printable(entry.page.name)}: "
            from digit_recognizer.formatting import count  # imports NumPy, which the help does not need

            marks = f"{count(entry.lost_marks, 'mark')} {'was' if entry.lost_marks == 1 else 'were'}"
            print(f"{name}no digits; {marks} rejected, see --show", file=sys.stderr)
        for note in entry.notes:
            if not self._notes:
                print(f"Note: {printable(note)}; choose with --decimal-mark", file=sys.stderr)
            self._notes.add(note)

    def _text(self, entry: Entry) -> str:
        reading = entry.reading
        if reading is None:
            digit = getattr(entry.found, "digit", None)
            return "not sure" if digit is None else str(digit)
        if self._as_grid:
            return "\n".join(_aligned(grid_of(reading))) or "no digits"
        lines = (" ".join(number.shown for number in line.numbers) for line in reading.lines)
        return "\n".join(lines) or "no digits"


def _as_json(entry: Entry) -> dict[str, object]:
    page = {} if entry.page.number is None else {"page": entry.page.number}
    found: dict[str, object] = {"error": entry.error}
    if entry.reading is not None:
        found = entry.reading.as_dict()
    elif entry.found is not None:
        found = asdict(entry.found)
    return {"picture": entry.page.file, **page, **found}


def grid_of(reading: Reading) -> list[list[str]]:
    """Return the texts of the cells of a page's table."""
    return [[" ".join(each.shown for each in cell) for cell in row] for row in reading.grid]


def _aligned(grid: list[list[str]]) -> Iterator[str]:
    """Yield the rows of a grid, aligned on the right."""
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    for row in grid:
        yield GAP.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def is_standard_output(target: Path | None) -> bool:
    """Return whether a file to write is ``-``, or is where standard output goes, such as ``/dev/stdout``."""
    if target is None or target == STANDARD_OUTPUT:
        return target is not None
    try:
        return os.path.samestat(target.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):  # it does not exist, or standard output is no file
        return False


def write_drawing(image: Image, target: Path) -> None:
    """Write a drawing to a file, in the format that its name says, or to standard output as a PNG."""
    if is_standard_output(target):
        image.save(sys.stdout.buffer, format="PNG")
        sys.stdout.buffer.flush()
        return
    with replacing(target) as partial:
        image.save(partial, format=DRAWING_FORMATS[target.suffix.lower()])
