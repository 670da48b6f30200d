"""A folder of real pictures with what is written on them ► what was read, and rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from _bench import BenchmarkError
from _verdicts import Row, at_least, share
from digit_recognizer import Recognizer
from digit_recognizer.recognition.recognizer import THRESHOLD

__all__ = ["Answer", "Labelled", "picture_rows", "read_labels", "read_pictures"]

LABELS = "labels.csv"  # columns file and label; the label of what is no digit is empty
BARS = {
    "photos": at_least(97),
    "drawn": at_least(99.5),
    "drawn-small": at_least(99.5),
    "cheques": at_least(80),
    "not-digits": at_least(92),
}


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture's path, its name in the list, and the digits on it."""

    path: Path
    name: str
    label: str

    @property
    def folder(self) -> str:
        return Path(self.name).parent.name


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read in a picture.

    Attributes
    ----------
    folder, name, label
        Which picture, and what is written on it.
    read
        The digits, without spaces; none where a single digit is not sure enough.
    likeliest, confidence
        Of a single digit: the likeliest, however sure, and the probability of it; None of a string.
    """

    folder: str
    name: str
    label: str
    read: str
    likeliest: int | None = None
    confidence: float | None = None

    @property
    def is_right(self) -> bool:
        return self.read == self.label


def read_labels(folder: Path) -> list[Labelled]:
    """Return the pictures that a folder's list names.

    Raises
    ------
    BenchmarkError
        There is no list, or it lacks a column.
    """
    try:
        with (folder / LABELS).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return [Labelled(folder / row["file"], row["file"], row["label"]) for row in rows]
    except OSError as error:
        raise BenchmarkError(f"cannot read {folder / LABELS}: {error.strerror or error}") from error
    except KeyError as error:
        raise BenchmarkError(f"{folder / LABELS} has no column {error}") from error


def read_pictures(recognizer: Recognizer, pictures: Sequence[Labelled], threshold: float) -> list[Answer]:
    """Read all pictures: what is no digit or one digit as such, where strings are in the folder as strings.

    Parameters
    ----------
    threshold
        The confidence below which what is no digit counts as rejected.
    """
    longest: dict[str, int] = {}
    for picture in pictures:
        longest[picture.folder] = max(longest.get(picture.folder, 0), len(picture.label))
    answers = []
    for picture in pictures:
        match longest[picture.folder]:
            case 0:
                answers.append(_read_single(recognizer, picture, threshold))
            case 1:
                answers.append(_read_single(recognizer, picture))
            case _:
                answers.append(_read_string(recognizer, picture))
    return answers


def picture_rows(answers: Sequence[Answer]) -> Iterator[Row]:
    """Give a row for each folder."""
    for folder in dict.fromkeys(answer.folder for answer in answers):
        own = [answer for answer in answers if answer.folder == folder]
        label = folder if any(answer.label for answer in own) else f"{folder}, rejected at the threshold"
        yield share("Real pictures", label, [answer.is_right for answer in own], BARS.get(folder))


def _read_single(recognizer: Recognizer, picture: Labelled, threshold: float = THRESHOLD) -> Answer:
    single = recognizer.read_single(picture.path, threshold)
    likeliest = max(range(len(single.probabilities)), key=single.probabilities.__getitem__)
    read = "" if single.digit is None else str(single.digit)
    return Answer(picture.folder, picture.name, picture.label, read, likeliest, single.confidence)


def _read_string(recognizer: Recognizer, picture: Labelled) -> Answer:
    read = "".join(recognizer.read(picture.path).text.split())
    return Answer(picture.folder, picture.name, picture.label, read)
