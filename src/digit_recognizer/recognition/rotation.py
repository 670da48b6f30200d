"""Find out whether a page lies on its side or upside down, and read it upright."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.imaging.resize import resize
from digit_recognizer.reading import Reading

MIN_SURE_FRACTION = 2 / 3  # of what may be digits; with fewer, a page may be turned
SURE = 0.9  # confidence of a digit
MAYBE = 0.25  # confidence of a rejected mark that may be a digit
MIN_SURE_DIGITS = 2  # of a turned page: a single digit does not tell, a 6 may be a 9
ROTATIONS = (90, 180, 270)  # degrees clockwise
MAX_PIXELS = 800_000  # of the page that is turned
MAX_CONFIDENCE = 1 - 1e-6
P_TURNED = 0.01  # of pages that lie in another way than upright: 18 upside down is 81


def read_upright(page: NDArray[np.uint8], read: Callable[[NDArray[np.uint8]], Reading]) -> Reading:
    """Read a page, (H, W), as it is; if few digits are sure, also turned, and return the surest reading.

    Large pages are made smaller before they are turned to find out how they lie.
    """
    upright = read(page)
    if not _is_doubtful(upright):
        return upright
    small = resize(page, min(1.0, (MAX_PIXELS / page.size) ** 0.5))
    readings = {0: upright}
    for degrees in ROTATIONS:
        reading = read(_turned(small, degrees))
        if len(_sure(reading)) >= MIN_SURE_DIGITS:
            readings[degrees] = reading
    prior = log((1 - P_TURNED) / (P_TURNED / len(ROTATIONS)))  # for upright
    best = max(readings, key=lambda degrees: _log_odds(readings[degrees]) + (prior if degrees == 0 else 0.0))
    if best == 0:
        return upright
    return replace(readings[best] if small is page else read(_turned(page, best)), rotation=best)


def _turned(page: NDArray[np.uint8], degrees: int) -> NDArray[np.uint8]:
    """Return a page turned clockwise."""
    return np.ascontiguousarray(np.rot90(page, -degrees // 90))


def _is_doubtful(reading: Reading) -> bool:
    maybe = sum(guess is not None and guess.confidence >= MAYBE for guess in reading.guesses)
    return len(_sure(reading)) <= MIN_SURE_FRACTION * (len(reading.digits) + maybe)


def _sure(reading: Reading) -> list[float]:
    return [each.confidence for each in reading.digits if each.confidence >= SURE]


def _log_odds(reading: Reading) -> float:
    """Return the sum of the logarithms of the odds of all digits."""
    confidences = [min(each.confidence, MAX_CONFIDENCE) for each in reading.digits]
    return sum(max(0.0, log(each / (1 - each))) for each in confidences if each > 0)
