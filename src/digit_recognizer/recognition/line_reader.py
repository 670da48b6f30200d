"""Find the digits of a text line, and their positions, with ``lines.onnx`` in ONNX Runtime.

The network classifies each column of a strip as one of the ten digits or as blank. It was trained with
connectionist temporal classification (Graves et al. 2006), so touching digits need not be separated first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES
from digit_recognizer.recognition.session import start_session

BLANK_WEIGHT = (
    0.2  # below 1, so that digits with a low probability are found too; the page reader checks them
)
LINE_MODEL = Path(__file__).with_name("models") / "lines.onnx"
CLASS_WEIGHTS = np.array([1.0] * CLASSES + [BLANK_WEIGHT], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class LineDigit:
    """A digit in a strip."""

    centre: float  # its column in the strip
    probabilities: NDArray[np.float32]  # (10,), of each digit, given that there is one
    is_digit: float  # the probability that there is one


class LineReader:
    """The network that reads lines, loaded."""

    def __init__(self) -> None:
        self._session = start_session(LINE_MODEL)

    def find_digits(self, strip: NDArray[np.uint8]) -> list[LineDigit]:
        """Find the digits in a strip, (40, W), from left to right, including low-confidence digits."""
        (probabilities,) = self._session.run(["probabilities"], {"strips": strip[None]})[0]  # (columns, 11)
        step = strip.shape[1] / len(probabilities)
        return [
            LineDigit((step * (start + stop) - 1) / 2, *_most_confident(probabilities[start:stop]))
            for start, stop in _digit_runs((probabilities * CLASS_WEIGHTS).argmax(axis=1))
        ]


def _digit_runs(classes: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Yield the start and the stop of each run of the same digit."""
    bounds = np.flatnonzero(np.diff(classes)) + 1
    for start, stop in zip([0, *bounds], [*bounds, len(classes)], strict=True):
        if classes[start] < CLASSES:
            yield int(start), int(stop)


def _most_confident(columns: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Return the probabilities, (10,), and P(digit) in the column that is least likely blank."""
    best = columns[columns[:, CLASSES].argmin()]
    return best[:CLASSES] / best[:CLASSES].sum(), float(1 - best[CLASSES])
