"""How well numbers are read: exactly, by their length, and how many of their characters are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from digit_recognizer.evaluation import accuracy_values

WORST = 20  # numbers that `worst` names


@dataclass(frozen=True, slots=True)
class ReadNumber:
    """A number as it was read.

    Attributes
    ----------
    file
        What the picture is called.
    label, text
        What is written, and what was read; several numbers have blanks between them.
    confidence
        That of the least confident number; 0 if none was read.
    """

    file: str
    label: str
    text: str
    confidence: float

    @property
    def is_right(self) -> bool:
        """Whether it was read exactly."""
        return self.text == self.label

    @property
    def distance(self) -> int:
        """How many characters have to be replaced, added or removed (Levenshtein's distance)."""
        return edit_distance(self.label, self.text)


@dataclass(frozen=True, slots=True)
class NumberEvaluation:
    """All numbers, at least one, as they were read."""

    numbers: tuple[ReadNumber, ...]

    @property
    def errors(self) -> int:
        """How many were not read exactly."""
        return sum(not each.is_right for each in self.numbers)

    @property
    def characters(self) -> int:
        """How many characters are written."""
        return sum(len(each.label) for each in self.numbers)

    @property
    def character_errors(self) -> int:
        """How many characters have to be replaced, added or removed in all."""
        return sum(each.distance for each in self.numbers)

    @property
    def character_error_rate(self) -> float:
        """Changes per character that is written."""
        return self.character_errors / self.characters

    @property
    def lengths(self) -> dict[int, tuple[int, int]]:
        """How many numbers of each length there are, and how many of them were not read exactly."""
        found: dict[int, tuple[int, int]] = {}
        for each in sorted(self.numbers, key=lambda number: len(number.label)):
            count, errors = found.get(len(each.label), (0, 0))
            found[len(each.label)] = count + 1, errors + (not each.is_right)
        return found

    @property
    def worst(self) -> list[ReadNumber]:
        """Those with the most wrong characters, the most confident first."""
        wrong = [each for each in self.numbers if not each.is_right]
        return sorted(wrong, key=lambda each: (-each.distance / len(each.label), -each.confidence))[:WORST]

    def as_dict(self) -> dict[str, Any]:
        """Return what ``--json`` says."""
        by_length = [
            {"length": length, "numbers": count, "errors": errors, "accuracy": 1 - errors / count}
            for length, (count, errors) in self.lengths.items()
        ]
        worst = [
            {"file": each.file, "label": each.label, "text": each.text, "confidence": each.confidence}
            for each in self.worst
        ]
        values = accuracy_values(len(self.numbers), self.errors)
        return {
            "numbers": values["images"],
            **{key: value for key, value in values.items() if key != "images"},
            "character_error_rate": self.character_error_rate,
            "by_length": by_length,
            "worst": worst,
        }


def character_values(characters: int, errors: int) -> dict[str, Any]:
    """Return how many `characters`, at least one, are written, and how many changes what was read needs."""
    return {
        "characters": characters,
        "character_errors": errors,
        "character_error_rate": errors / characters,
    }


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many items have to be replaced, added or removed to make one of the other."""
    row = list(range(len(other) + 1))
    for above, item in enumerate(one):
        diagonal, row[0] = row[0], above + 1
        for place, mate in enumerate(other):
            best = min(row[place] + 1, row[place + 1] + 1, diagonal + (item != mate))
            diagonal, row[place + 1] = row[place + 1], best
    return row[-1]
