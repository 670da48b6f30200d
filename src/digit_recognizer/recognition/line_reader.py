"""Which digits a line of writing holds, and where: ``lines.onnx`` under ONNX Runtime.

The network looks at a strip column by column and says for each which digit is there, or none. It was trained
with connectionist temporal classification (Graves et al. 2006), so digits that touch need not be cut apart
before they are known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.digits import CLASSES
from digit_recognizer.recognition.session import start_session

FAINT = 0.2  # of the probability that there is none: a digit may be there from this on

MODEL = Path(__file__).with_name("models") / "lines.onnx"
WEIGHTS = np.array([1.0] * CLASSES + [FAINT], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A digit in a strip.

    Attributes
    ----------
    centre
        Its column in the strip.
    probabilities
        float32, shape (10,): of each digit, given that there is one.
    is_digit
        The probability of that.
    """

    centre: float
    probabilities: NDArray[np.float32]
    is_digit: float


class LineReader:
    """The network that reads lines, ready to be asked."""

    def __init__(self) -> None:
        self._session = start_session(MODEL)

    def find_digits(self, strip: NDArray[np.uint8]) -> list[Found]:
        """Find the digits in a strip, uint8 (40, W), from left to right; what is one hardly is among them."""
        (probabilities,) = self._session.run(["probabilities"], {"strips": strip[None]})[0]  # (columns, 11)
        step = strip.shape[1] / len(probabilities)
        return [
            Found((step * (first + behind) - 1) / 2, *_summed_up(probabilities[first:behind]))
            for first, behind in _runs((probabilities * WEIGHTS).argmax(axis=1))
        ]


def _runs(classes: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Give where each run of one and the same digit begins and ends."""
    bounds = np.flatnonzero(np.diff(classes)) + 1
    for first, behind in zip([0, *bounds], [*bounds, len(classes)], strict=True):
        if classes[first] < CLASSES:
            yield int(first), int(behind)


def _summed_up(columns: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """Return what the surest of some columns says: which digit, and whether there is one."""
    surest = columns[columns[:, CLASSES].argmin()]
    return surest[:CLASSES] / surest[:CLASSES].sum(), float(1 - surest[CLASSES])
