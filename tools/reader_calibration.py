"""Calibrate the reader on composed pages that it has not seen.

First the probability that there is a character at a place, which becomes part of the network; then the
confidence of whole numbers, which is kept beside it. Both by Platt scaling.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from digit_recognizer.networks.character_network import CharacterNetwork, Finder
from digit_recognizer.reading import CHARACTERS, Calibration, Number, Reading
from digit_recognizer.reading.calibration import fit_calibration
from digit_recognizer.synthetic.pages import ComposedPage
from digit_recognizer.training.numbers.detection import EM_RANGE_PX, TOLERATED_EM_RANGE_PX

CLOSE_PX = 0.25  # of the height of a digit, between two centres that are the same


def calibrate_centres(network: CharacterNetwork, pages: Sequence[ComposedPage]) -> None:
    """Scale and shift the centre map, in place, so that its probabilities are frequencies."""
    calibration = fit_calibration(*zip(*_centres(network, pages), strict=True))
    assert network.heads.bias is not None
    with torch.no_grad():
        network.heads.weight[0] *= calibration.scale
        network.heads.bias[0] = calibration.scale * network.heads.bias[0] + calibration.shift


def calibrate_numbers(readings: Iterable[tuple[Reading, ComposedPage]]) -> Calibration:
    """Return how often numbers of some confidence are right, given readings of pages."""
    outcomes = [outcome for reading, page in readings for outcome in _numbers(reading, page)]
    calibration = fit_calibration(*zip(*outcomes, strict=True))
    return Calibration(round(calibration.scale, 4), round(calibration.shift, 4))


def _centres(network: CharacterNetwork, pages: Sequence[ComposedPage]) -> Iterator[tuple[float, bool]]:
    """Yield the probability of each peak, and whether a character is there, where that is decided."""
    finder = Finder(network.eval())
    for page in pages:
        with torch.inference_mode():
            boxes, _, is_character, _, _ = (each.numpy() for each in finder(torch.from_numpy(page.image)))
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        for middle, probability in zip(middles, is_character.tolist(), strict=True):
            outcome = _is_there(middle, page)
            if outcome is not None:
                yield probability, outcome


def _is_there(middle: NDArray[np.float32], page: ComposedPage) -> bool | None:
    """Return whether a character is to be found at a place; None if it may be found or not."""
    distances = np.abs((page.boxes[:, :2] + page.boxes[:, 2:]) / 2 - middle).max(axis=1)
    near = distances < CLOSE_PX * page.em
    sought = (page.classes >= 0) & (EM_RANGE_PX[0] <= page.em) & (page.em <= EM_RANGE_PX[1])
    if (near & sought).any():
        return True
    inside = ((page.boxes[:, :2] <= middle) & (middle <= page.boxes[:, 2:])).all(axis=1)
    tolerated = (TOLERATED_EM_RANGE_PX[0] <= page.em) & (page.em <= TOLERATED_EM_RANGE_PX[1])
    return None if ((near | inside) & tolerated & ~sought).any() else False


def _numbers(reading: Reading, page: ComposedPage) -> Iterator[tuple[float, bool]]:
    """Yield the confidence of each number, and whether it is right; those that an edge cuts are left out."""
    expected = list(_expected(page))
    for number in reading.numbers:
        here = [text for text, box in expected if _is_beneath(number, box)]
        if None not in here:
            yield number.confidence, here == [number.text]


def _expected(page: ComposedPage) -> Iterator[tuple[str | None, NDArray[np.float32]]]:
    """Yield the text of each number, None if a part of it is cut off, and its box."""
    for start, stop in pairwise([*np.flatnonzero(page.starts), len(page.classes)]):
        classes, boxes = page.classes[start:stop], page.boxes[start:stop]
        text = "".join(CHARACTERS[each] for each in classes) if (classes >= 0).all() else None
        yield text, np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def _is_beneath(number: Number, box: NDArray[np.float32]) -> bool:
    """Return whether a number and a box have the middle of one of them in common."""
    left, top, right, bottom = box
    mine = number.box
    column, row = mine.x + mine.width / 2, mine.y + mine.height / 2
    middle = (left + right) / 2, (top + bottom) / 2
    in_box = left <= column <= right and top <= row <= bottom
    return bool(in_box or (mine.x <= middle[0] <= mine.right and mine.y <= middle[1] <= mine.bottom))
