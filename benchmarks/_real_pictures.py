"""Read a folder of labelled real pictures, and count the correct readings."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from _bench import BenchmarkError
from _result_rows import Row, at_least, proportion
from digit_recognizer import Recognizer
from digit_recognizer.recognition.recognizer import THRESHOLD

LABELS_FILE = "labels.csv"  # columns file and label; the label of a non-digit is empty
TARGETS = {
    "photos": at_least(97),
    "drawn": at_least(99.5),
    "drawn-small": at_least(99.5),
    "cheques": at_least(80),
    "not-digits": at_least(92),
}


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """The path of a picture, its name in the list, its text, and its part, if the list has parts."""

    path: Path
    name: str
    label: str
    part: str = ""

    @property
    def folder(self) -> str:
        return Path(self.name).parent.name


@dataclass(frozen=True, slots=True)
class Answer:
    """What was read in a picture; field names are keys of the output file."""

    folder: str
    name: str
    label: str
    read: str  # the digits, without spaces; empty if a single digit is below the threshold
    likeliest: int | None = None  # the most likely digit, also below the threshold; None for strings
    confidence: float | None = None  # the probability of that digit

    @property
    def is_right(self) -> bool:
        return self.read == self.label


def read_labels(folder: Path) -> list[LabelledPicture]:
    """Return the pictures in the list of a folder; raise `BenchmarkError` if it is missing or incomplete."""
    try:
        with (folder / LABELS_FILE).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return [
            LabelledPicture(folder / row["file"], row["file"], row["label"], row.get("part", ""))
            for row in rows
        ]
    except OSError as error:
        raise BenchmarkError(f"cannot read {folder / LABELS_FILE}: {error.strerror or error}") from error
    except KeyError as error:
        raise BenchmarkError(f"{folder / LABELS_FILE} has no column {error}") from error


def read_pictures(
    recognizer: Recognizer, pictures: Sequence[LabelledPicture], threshold: float
) -> list[Answer]:
    """Read all pictures: as strings in folders that contain strings, otherwise as single digits.

    `threshold` is the confidence below which a non-digit counts as rejected.
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
    """Yield a row for each folder."""
    for folder in dict.fromkeys(answer.folder for answer in answers):
        own = [answer for answer in answers if answer.folder == folder]
        label = folder if any(answer.label for answer in own) else f"{folder}, rejected at the threshold"
        yield proportion("Real pictures", label, [answer.is_right for answer in own], TARGETS.get(folder))


def _read_single(recognizer: Recognizer, picture: LabelledPicture, threshold: float = THRESHOLD) -> Answer:
    single = recognizer.read_single(picture.path, threshold)
    likeliest = max(range(len(single.probabilities)), key=single.probabilities.__getitem__)
    read = "" if single.digit is None else str(single.digit)
    return Answer(picture.folder, picture.name, picture.label, read, likeliest, single.confidence)


def _read_string(recognizer: Recognizer, picture: LabelledPicture) -> Answer:
    read = "".join(recognizer.read(picture.path).text.split())
    return Answer(picture.folder, picture.name, picture.label, read)
