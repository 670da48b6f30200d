"""Read pictures of whole numbers, to compare them with what is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.number_evaluation import ReadNumber
from digit_recognizer.progress import counted, following
from digit_recognizer.reading import Calibration, Reading
from digit_recognizer.recognition.page_reader import FindCharacters, read_page


def read_pictures(
    find: FindCharacters,
    pictures: Sequence[NDArray[np.uint8]],
    labels: Sequence[str],
    files: Sequence[str],
    calibration: Calibration = Calibration(),  # noqa: B008
) -> list[ReadNumber]:
    """Return what is read in each picture, with what is written."""
    with following("Reading") as tell:
        readings = (read_page(picture, find, calibration=calibration) for picture in pictures)
        return [
            as_number(reading, label, file)
            for reading, label, file in zip(
                counted(readings, len(pictures), tell), labels, files, strict=True
            )
        ]


def as_number(reading: Reading, label: str, file: str) -> ReadNumber:
    """Return the numbers of a reading as one text, with blanks between them."""
    numbers = reading.numbers
    confidence = min((number.confidence for number in numbers), default=0.0)
    return ReadNumber(file, label, " ".join(number.text for number in numbers), confidence)
