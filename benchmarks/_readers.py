"""Any reader of pictures: load it by name, bring its answers to one form; and time it as a program.

python benchmarks/_readers.py digit_recognizer:read photo.jpg 100    # seconds of each of 100 readings
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _bench import BenchmarkError

Page = NDArray[np.uint8]
DASHES = str.maketrans({"−": "-", "–": "-", "·": ".", "٫": ","})  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class Area:
    """A bounding box in pixels of the picture."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class ReadNumber:
    """A number that was read; without confidence and area if the reader does not tell them."""

    text: str  # digits and separators
    confidence: float | None = None
    area: Area | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reader says about one picture."""

    lines: tuple[tuple[ReadNumber, ...], ...]
    rejected: tuple[Area | None, ...] = ()  # marks that look like digits but were not read

    @property
    def numbers(self) -> tuple[ReadNumber, ...]:
        return tuple(number for line in self.lines for number in line)

    @property
    def text(self) -> str:
        return "\n".join(" ".join(number.text for number in line) for line in self.lines)

    @property
    def confidence(self) -> float | None:
        """The product of the confidences of all numbers."""
        each = [number.confidence for number in self.numbers]
        return prod(c for c in each if c is not None) if each and None not in each else None


Reader = Callable[[Page], Answer]
SingleReader = Callable[[Page], "int | None"]


def load_function(name: str) -> Callable[[Page], Any]:
    """Return the function that ``module:function`` names; `BenchmarkError` if there is none."""
    module, _, function = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Callable[[Page], Any] = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise BenchmarkError(f"cannot load the reader {name}: {error}") from error
    return found


def load_reader(name: str | None) -> Reader:
    """Return a reader by name; None is `Recognizer.read` of the included model."""
    if name is None:
        from digit_recognizer import Recognizer

        read: Callable[[Page], Any] = Recognizer().read
    else:
        read = load_function(name)
    return lambda page: as_answer(read(page))


def load_single_reader(name: str | None, reader: str | None) -> SingleReader | None:
    """Return the reader of single digits; None if another reader is measured and this one was not named."""
    if name is not None:
        read = load_function(name)
    elif reader is None:
        from digit_recognizer import Recognizer

        read = Recognizer().read_single
    else:
        return None
    return lambda page: read(page).digit


def as_answer(reading: Any) -> Answer:
    """Return a `Reading`, or an object with its `text` and `rejected` only, as an answer."""
    lines = getattr(reading, "lines", None)
    rejected = tuple(map(_area, reading.rejected))
    if lines is None:
        texts = [line.split() for line in reading.text.splitlines()]
        return Answer(tuple(tuple(ReadNumber(plain(text)) for text in line) for line in texts), rejected)
    return Answer(tuple(tuple(map(_read_number, line.numbers)) for line in lines), rejected)


def plain(text: str) -> str:
    """Return a text with one kind of dash and point, without spaces."""
    return "".join(text.translate(DASHES).split())


def digits_of(text: str) -> str:
    return "".join(character for character in text if character.isdigit())


def _read_number(number: Any) -> ReadNumber:
    characters = getattr(number, "characters", None) or number.digits
    confidence = getattr(number, "confidence", None)
    if confidence is None:
        confidence = prod(each.confidence for each in characters)
    areas = [area for each in characters if (area := _area(each)) is not None]
    return ReadNumber(plain(number.text), float(confidence), _area(number) or _around(areas))


def _area(box: Any) -> Area | None:
    """Return the area of a box, or of an object that has one; None of anything else."""
    box = getattr(box, "box", box)
    if not hasattr(box, "width"):
        return None
    return Area(box.x, box.y, box.width, box.height)


def _around(areas: Iterable[Area]) -> Area | None:
    corners = [(each.x, each.y, each.x + each.width, each.y + each.height) for each in areas]
    if not corners:
        return None
    lefts, tops, rights, bottoms = zip(*corners, strict=True)
    return Area(min(lefts), min(tops), max(rights) - min(lefts), max(bottoms) - min(tops))


def main(name: str, picture: str, repeats: str = "1") -> None:
    """Read a picture some times in this process and print the seconds of each."""
    from digit_recognizer.imaging import decode

    reader = load_reader(name or None)
    page = decode(picture)
    seconds = []
    for _ in range(int(repeats)):
        started = time.perf_counter()
        reader(page)
        seconds.append(time.perf_counter() - started)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
